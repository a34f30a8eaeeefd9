"""How well a ranking of a video's segments finds its highlights.

`ranking` holds average precision in each named definition, `benchmarks` the protocols of the public
corpora, `levels` what chance, the middle of the video and the annotators reach, `statistics` intervals and
paired tests, `summaries` the F1 of video summarization. Only numpy and scipy are needed here.
"""
