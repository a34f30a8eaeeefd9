"""The labels that an importer gives its videos: those of another corpus, or of a table `labels.csv`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.importers.common.label_table import labels_of, read_labels
from highlight_lit.data.importers.common.report import Say
from highlight_lit.data.video import Labels, Video
from highlight_lit.errors import InputError
from highlight_lit.text import a_few


class LabelSource(NamedTuple):
    """Labels by a video's id, and what the corpus' manifest says of them."""

    labels: Callable[[str], Labels | None]
    benchmark: str | None = None
    clock: str = "exact"


def labels_for(path: Path | None, rows: Sequence[Video], allow_unmatched: bool, report: Say) -> LabelSource:
    """The labels of some videos: `path` is a corpus, a table, or None for no labels.

    Raises:
        InputError: They cannot be used, or are of none of the videos.
    """
    if path is None:
        return LabelSource(lambda name: None)
    if path.is_dir():
        return _of_corpus(path, rows, report)
    table = read_labels(path)
    laid = labels_of(table, {row.id: row.duration for row in rows}, allow_unmatched, report)
    return LabelSource(laid.get, table.kind)


def _of_corpus(path: Path, rows: Sequence[Video], report: Say) -> LabelSource:
    """The labels of a corpus, which must be in seconds and of at least one of the videos."""
    corpus = Corpus(path)
    clock = corpus.manifest.get("clock", "exact")
    if clock == "nominal":
        raise InputError(
            f"{path}: clock: its spans are frames, not seconds; expected a corpus imported with frame rates"
        )
    shared = [(row, index) for row in rows if (index := corpus.index(row.id)) is not None]
    if not shared:
        raise InputError(f"{path}: id: it holds none of the videos, the first of which is {rows[0].id!r}")
    report(f"{path}: labels of {len(shared)} of {len(rows)} videos" + f", at {clock} frame rates" * (clock != "exact"))
    longer = [row.id for row, index in shared if abs(corpus.duration[index] - row.duration) > 2]
    if longer:
        report(f"{path}: {len(longer)} videos differ in duration from the table by more than 2 s: {a_few(longer)}")

    def labels(name: str) -> Labels | None:
        index = corpus.index(name)
        return None if index is None else corpus.labels(index)

    return LabelSource(labels, corpus.manifest.get("benchmark"), clock)
