"""How well a ranking of a video's segments finds its highlights.

Clip scores (`scores`) become segment scores (`to_segments`). An annotator's scores make segments positive (`label_rules`), a definition of
average precision (`ranking`) compares the two, and a protocol (`benchmarks`) says which of both a corpus is judged by.
`levels` holds what chance, the middle of the video and the annotators reach, `judge` sets a system beside them,
`intervals` holds confidence intervals and paired tests, `summary` the F1 of video summarization.
"""
