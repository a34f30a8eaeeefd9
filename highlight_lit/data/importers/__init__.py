"""From what others publish to a corpus: one module a source, found by `command` where it says its `PURPOSE`.

A module has `PURPOSE`, a line of help, and `import_corpus(source, out, **options)`; `add_options(parser)` adds options, named as
its arguments are. What modules share lies in `common`. A source that does not write a new corpus names the option in place
of `--out` by `OUT`, a pair of its name and a line of help.

A manifest's `clock` says what the seconds of a benchmark's labels are worth, since some of the sources count frames:
`exact`, `estimated` (a rate derived from the length in whole seconds, or from the labels) or `nominal` (a rate made up: good
for ranking segments, not for laying them over clips of features).
"""
