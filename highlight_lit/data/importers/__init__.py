"""From what others publish to a corpus: one module a source, each with one function `import_corpus`.

A manifest's `clock` says what the seconds of a benchmark's labels are worth, since two of the sources count frames:
`exact`, `estimated` (a rate derived from the length in whole seconds) or `nominal` (a rate made up: good for ranking
segments, not for laying them over clips of features).
"""
