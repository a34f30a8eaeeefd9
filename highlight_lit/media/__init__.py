"""From raw video to features, scores and a highlight reel: the optional part that decodes video (extra `media`).

`decode` reads a file, `clips` cuts it into one-second clips by timestamps, `extractors` turn clips into rows,
`extract` makes a corpus of a folder, `scoring` scores one video, `segments` chooses what goes into a reel and
`reel` cuts it.
"""
