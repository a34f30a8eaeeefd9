"""Raw video: clips and features out of it, and a highlight reel cut from it. Decoding needs the extra `media`.

`io` decodes a file and cuts it into one-second clips by timestamps, `extractors` turn clips into rows of features,
`features` does both for one video, and `extraction` makes a corpus of a folder of videos. `output` writes score files, chooses
a reel's segments and cuts the reel. `inference.raw_video` scores one video.
"""
