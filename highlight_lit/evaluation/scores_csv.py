"""Scores as csv, of many videos: what `train`, `evaluate` and `score` write, and what any system's are read from."""

from __future__ import annotations

import csv
import itertools
import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highlight_lit.errors import InputError
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.files import atomic_write
from highlight_lit.untrusted.csv_tables import cell_number, read_table

COLUMNS, LOGIT = ("video", "start", "end", "score"), "logit"
MAX_VIDEOS = 100_000  # of a csv: each is a few arrays
MAX_ROWS = 2_000_000  # of a csv


def read_scores(path: Path) -> dict[str, ClipScores]:
    """Scores of any system from a csv with the columns video, start, end (seconds), score and perhaps logit; others are left out.

    Raises:
        InputError: The file cannot be read, lacks a column, or holds something else than numbers; names the line. Or a clip
            is scored twice; names the video and the clip.
    """
    clips: dict[str, array[float]] = {}
    width = 3
    for line, row in read_table(path, COLUMNS, (LOGIT,), rows=MAX_ROWS, others=True):
        width = len(row) - 1
        if row["video"] not in clips and len(clips) == MAX_VIDEOS:
            raise InputError(f"{path}: over {MAX_VIDEOS} videos, the most that are read of it; part the file")
        clips.setdefault(row["video"], array("d")).extend(_clip(path, line, row))
    if not clips:
        raise InputError(f"{path}: no score; expected a line for each clip")
    return {video: _in_order(path, video, np.frombuffer(rows).reshape(-1, width)) for video, rows in clips.items()}


def _in_order(path: Path, video: str, rows: NDArray[np.float64]) -> ClipScores:
    rows = rows[np.lexsort(rows.T[::-1])]
    same = (np.diff(rows[:, :2], axis=0) == 0).all(axis=1)
    if same.any():
        start, end = rows[int(np.argmax(same)), :2]
        raise InputError(
            f"{path}: video {video!r}: the clip from {start:.3f} to {end:.3f} is scored twice; expected one score"
        )
    return ClipScores(rows[:, :2], rows[:, 2], rows[:, 3] if rows.shape[1] > 3 else None)


def _clip(path: Path, line: int, row: Mapping[str, str]) -> tuple[float, ...]:
    values = tuple(cell_number(row[name]) for name in (*COLUMNS[1:], LOGIT) if name in row)
    if not all(map(math.isfinite, values)) or not 0 <= values[0] < values[1]:
        raise InputError(f"{path}: line {line}: expected finite numbers with 0 <= start < end, found {dict(row)}")
    return values


def write_scores(path: Path, scores: Mapping[str, ClipScores]) -> None:
    """Write scores as the csv that `read_scores` reads, with the column logit if all have it."""
    logits = all(clips.logit is not None for clips in scores.values())
    rows = (
        (video, _seconds(start), _seconds(end), *(repr(float(number)) for number in numbers))
        for video, clips in scores.items()
        for (start, end), *numbers in zip(clips.span, clips.score, *([clips.ranking] if logits else []), strict=True)
    )
    write_csv(path, (*COLUMNS, LOGIT) if logits else COLUMNS, rows)


def _seconds(value: float) -> str:
    """A time to the millisecond where that is all of it; cut, two clips could become one, or one of no length."""
    short = f"{value:.3f}"
    return short if float(short) == value else repr(float(value))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a csv file, whole or not at all, line by line: there may be millions."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(itertools.chain([header], rows))
