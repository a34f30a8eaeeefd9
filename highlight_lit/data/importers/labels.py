"""Labels of one's own into a corpus that is there: `labels.csv`, whose rules `common.label_table` tells.

They go into a file beside the shards, which are not touched: `data.corpus.labels_file` tells how.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.labels_file import set_labels
from highlight_lit.data.importers.common.label_table import labels_of, read_labels
from highlight_lit.data.importers.common.report import Say
from highlight_lit.data.topics.weak_labels import evaluation_set
from highlight_lit.data.video import Labels
from highlight_lit.errors import InputError
from highlight_lit.text import a_few, say

PURPOSE = "labels.csv (video,start,end,label) into a corpus that is there"
OUT = ("--into", "the corpus that gets the labels")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `import labels`."""
    parser.add_argument("--replace", action="store_true", help="drop the labels that the corpus has")
    parser.add_argument("--allow-unmatched", action="store_true", help="leave out labels of videos that are not in it")


def import_corpus(
    source: Path, out: Path, *, replace: bool = False, allow_unmatched: bool = False, report: Say = say
) -> None:
    """Give a corpus labels.

    Args:
        source: The csv.
        out: The corpus.
        replace: Whether labels that it has are dropped, all of them; else they are an error.
        allow_unmatched: Whether labels of other videos are reported and left out, not refused.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: Anything that cannot be used, a corpus that has labels, or one that cannot be written.
    """
    table, corpus = read_labels(source), Corpus(out)
    _check_clock(corpus)
    there = int(corpus.labelled().sum())
    if there and not replace:
        raise InputError(f"{out}: {there} videos have labels already; --replace drops them all")
    durations = _durations(corpus)
    labels = labels_of(table, durations, allow_unmatched, report)
    if there:
        report(f"{out}: the labels of {there} videos are replaced")
    tell_unjudged(corpus, labels, str(source), report)
    try:
        clock = corpus.manifest.get("clock") or "exact"
        set_labels(out, labels, durations, benchmark=table.kind, clock=clock)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    segments = sum(len(label.span) for label in labels.values())
    report(f"{out}: {segments} labelled segments of {len(labels)} of {len(corpus)} videos")


def relabelled(corpus: Corpus, path: Path | None, report: Say) -> Corpus:
    """The corpus, open, with the labels of a csv in place of its own, if one is given; nothing is written.

    Raises:
        InputError: The csv cannot be used, or holds none of the videos.
    """
    if path is not None:
        _check_clock(corpus)
        table = read_labels(path)
        labels = labels_of(table, _durations(corpus), True, report)
        tell_unjudged(corpus, labels, str(path), report)
        corpus.label_by(labels, table.kind)
    return corpus


def _durations(corpus: Corpus) -> dict[str, float]:
    return dict(zip((name.decode() for name in corpus.ids), corpus.duration.tolist(), strict=True))


def _check_clock(corpus: Corpus) -> None:
    if corpus.manifest.get("clock") == "nominal":
        raise InputError(
            f"{corpus.root}: clock: its spans are frames, not seconds; expected one imported with frame rates"
        )


def tell_unjudged(corpus: Corpus, labels: dict[str, Labels], where: str, report: Say) -> None:
    """Report the labelled videos that no evaluation takes: without a tag, or on the training list."""
    tagged = np.concatenate([np.diff(shard.column("tag_offsets")) > 0 for shard in corpus.shards])
    ids = {name.decode() for name in corpus.ids[~(tagged & evaluation_set(corpus.split))]}
    if left := [name for name in labels if name in ids]:
        report(
            f"{where}: {len(left)} labelled videos have no tag, or are not on the validation and test lists: they are not "
            f"judged: {a_few(left)}"
        )
