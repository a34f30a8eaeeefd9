"""Own labels: `labels.csv` with the columns video, start, end (seconds), label, and perhaps annotator.

What the labels are is told by their values:

- *highlights*: all of them 0 or 1. Where all annotators of a video list the same segments and one is labelled 0, these are
  its labelled segments. Elsewhere what is labelled 1 is a highlight and all else is none: the video is cut into units of a
  second, and a unit is an annotator's highlight where at least half of it is covered, or a listed highlight has its middle.
- *importance*: any other numbers. The segments are those that are listed; all annotators of a video rate the same ones.

Rules for rows: a number that is not finite, a start below 0, an end not after its start, a label that float32 cannot hold,
a segment that one annotator labels twice, or that begins after the video's end or ends over 2 s after it, is an error. One
that ends up to 2 s late is cut, and counted. Segments of an annotator that overlap otherwise stay as they are listed, and
are counted. Each video has as many annotators: one who found no highlight has a row that is labelled 0.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.common.report import Say, tell_ties
from highlight_lit.data.video import MAX_LABEL, MAX_LABELS, Labels
from highlight_lit.errors import InputError
from highlight_lit.text import a_few
from highlight_lit.unicode_forms import own_ids, same_form
from highlight_lit.untrusted.csv_tables import cell_number, read_table

COLUMNS = ("video", "start", "end", "label")
MEASURES = {"highlights": "youtube/trapezoid", "importance": "top5/mininet"}
"""By what labels of each kind are judged: the benchmark of that name in `evaluation.benchmarks`."""
UNIT_SECONDS = 1.0
TOLERANCE_S = 2.0  # by which a segment may end after its video: durations in whole seconds
MAX_ROWS = 2_000_000
MAX_PAIRS = 200_000  # of videos and annotators: each is an array
LabelRows = NDArray[np.float64]  # (R, 3): start, end, label


@dataclass(frozen=True)
class LabelTable:
    """A table as it was read.

    Attributes:
        path: The file.
        kind: `highlights` or `importance`.
        rows: By video and annotator, in the order of their starts.
    """

    path: Path
    kind: str
    rows: Mapping[str, Mapping[str, LabelRows]]


def read_labels(path: Path) -> LabelTable:
    """Read a table; ids are kept as they are.

    Raises:
        InputError: The file cannot be read, lacks a column or has a row that breaks a rule; names the line.
    """
    by_video: dict[str, dict[str, array[float]]] = {}
    pairs = 0
    for line, row in read_table(path, COLUMNS, ("annotator",), rows=MAX_ROWS):
        of_video = by_video.setdefault(row["video"], {})
        annotator = same_form(row.get("annotator", ""))
        if annotator not in of_video:
            pairs += 1
            of_video[annotator] = array("d")
        if pairs > MAX_PAIRS:
            raise InputError(f"{path}: over {MAX_PAIRS} pairs of a video and an annotator; part the file")
        of_video[annotator].extend(_numbers(f"{path}: line {line}: video {row['video']!r}", row))
    if not by_video:
        raise InputError(f"{path}: no label; expected a row for each labelled segment")
    rows = {
        video: {name: _in_order(np.frombuffer(rated[name]).reshape(-1, 3)) for name in sorted(rated)}
        for video, rated in by_video.items()
    }
    binary = all(np.isin(each[:, 2], (0, 1)).all() for rated in rows.values() for each in rated.values())
    return LabelTable(path, "highlights" if binary else "importance", rows)


def _numbers(where: str, row: Mapping[str, str]) -> tuple[float, float, float]:
    values = []
    for name in COLUMNS[1:]:
        values.append(cell_number(row[name]))
        if not math.isfinite(values[-1]) or abs(values[-1]) > MAX_LABEL:
            raise InputError(f"{where}: {name}: {row[name]!r}, expected a finite number")
    start, end, label = values
    if not 0 <= start < end:
        raise InputError(f"{where}: start {start:g} and end {end:g}: expected 0 <= start < end, in seconds")
    return start, end, label


def _in_order(rows: LabelRows) -> LabelRows:
    return rows[np.lexsort(rows.T[::-1])]


def labels_of(
    table: LabelTable, durations: Mapping[str, float], allow_unmatched: bool, report: Say
) -> dict[str, Labels]:
    """The labels of some videos, by id; ids are compared as they are, then in one Unicode form.

    Args:
        table: The table.
        durations: The videos' lengths in seconds, by id.
        allow_unmatched: Whether rows of other videos are reported and left out, not refused.
        report: Called with a line for what was found, and one for each rule that changed something.

    Raises:
        InputError: Rows of other videos, of none of these, of what may be two of them, or ones that break a rule; names the video.
    """
    path, meant = table.path, own_ids(table.rows, durations, str(table.path))
    if strange := [name for name in table.rows if name not in meant]:
        rows = sum(len(each) for name in strange for each in table.rows[name].values())
        line = f"{path}: {rows} labels are of {len(strange)} videos that are not here: {a_few(strange)}"
        if len(strange) == len(table.rows):
            raise InputError(f"{line}; expected ids as {next(iter(durations))!r}")
        if not allow_unmatched:
            raise InputError(f"{line}; --allow-unmatched leaves them out")
        report(f"{line}; left out")
    counts = _Counts()
    labels = {}
    for own, by_annotator in _by_id(table, meant).items():
        where = f"{path}: video {own!r}"
        rated = {who: _within(rows, durations[own], where, who, counts) for who, rows in by_annotator.items()}
        labels[own] = _labels(table.kind, rated, durations[own], where, counts)
    annotators = {name: label.score.shape[1] for name, label in labels.items()}
    first = next(iter(labels))
    for name, count in annotators.items():
        if count != annotators[first]:
            advice = ": one who found no highlight has a row with label 0" * (table.kind == "highlights")
            raise InputError(
                f"{path}: video {name!r}: {count} annotators, {annotators[first]} of video {first!r}; expected as many of "
                f"each video{advice}"
            )
    what = "highlights (labels 0 and 1)" if table.kind == "highlights" else "importance (numbers)"
    by = "1 annotator" if annotators[first] == 1 else f"{annotators[first]} annotators each"
    report(f"{path}: {what} of {len(labels)} of {len(durations)} videos by {by}: judged by {MEASURES[table.kind]}")
    counts.tell(path, report)
    return labels


def _by_id(table: LabelTable, meant: Mapping[str, str]) -> dict[str, dict[str, LabelRows]]:
    """The rows of each id and annotator, of all names that mean the id."""
    parts: dict[str, dict[str, list[LabelRows]]] = {}
    for name, own in meant.items():
        for who, rows in table.rows[name].items():
            parts.setdefault(own, {}).setdefault(who, []).append(rows)
    return {own: {who: _in_order(np.concatenate(rated[who])) for who in sorted(rated)} for own, rated in parts.items()}


class _Counts:
    """How often each rule changed something."""

    def __init__(self) -> None:
        self.cut = self.overlapping = self.units = self.tied = 0

    def tell(self, path: Path, report: Say) -> None:
        if self.cut:
            report(f"{path}: {self.cut} labels end up to {TOLERANCE_S:g} s after their video and are cut to its end")
        if self.overlapping:
            report(f"{path}: {self.overlapping} labels overlap another of their annotator, and stay as they are")
        tell_ties(path, self.tied, report)
        if self.units:
            report(
                f"{path}: {self.units} videos have highlights listed alone, or other segments of each annotator: all else is "
                f"none, in units of {UNIT_SECONDS:g} s"
            )


def _within(rows: LabelRows, duration: float, where: str, annotator: str, counts: _Counts) -> LabelRows:
    """An annotator's rows, cut to the video."""
    who = f"{where}: annotator {annotator!r}" if annotator else where
    past = (rows[:, 0] >= duration) | (rows[:, 1] > duration + TOLERANCE_S)
    if past.any():
        start, end, _ = rows[int(np.argmax(past))]
        raise InputError(
            f"{who}: {int(past.sum())} of {len(rows)} labels lie beyond its end at {duration:.2f} s, the first from {start:.2f} to "
            f"{end:.2f}; expected labels of this video, in seconds"
        )
    counts.cut += int((rows[:, 1] > duration).sum())
    counts.overlapping += int((rows[1:, 0] < np.maximum.accumulate(rows[:-1, 1])).sum())
    rows = np.column_stack([rows[:, 0], np.minimum(rows[:, 1], duration), rows[:, 2]])
    same = (np.diff(rows[:, :2], axis=0) == 0).all(axis=1)
    if same.any():
        start, end, _ = rows[int(np.argmax(same))]
        raise InputError(f"{who}: the segment from {start:.2f} to {end:.2f} is labelled twice; expected one label")
    return rows


def _labels(kind: str, rated: Mapping[str, LabelRows], duration: float, where: str, counts: _Counts) -> Labels:
    """A video's labels, from the rows of each annotator."""
    first, *others = rated.values()
    alike = [name for name, rows in rated.items() if not np.array_equal(rows[:, :2], first[:, :2])]
    if kind == "importance" and alike:
        raise InputError(
            f"{where}: annotators {next(iter(rated))!r} and {alike[0]!r} rate other segments; expected a number of each annotator "
            "for each segment"
        )
    score = np.column_stack([first[:, 2], *(rows[:, 2] for rows in others)]) if not alike else None
    if score is not None and (kind == "importance" or (score == 0).any()):
        labels = Labels(first[:, :2], score)
        counts.tied += labels.tied
        return replace(labels, score=score.astype(np.float32))
    counts.units += 1
    return _units(rated, duration, where)


def _units(rated: Mapping[str, LabelRows], duration: float, where: str) -> Labels:
    """Highlights laid over units."""
    if duration / UNIT_SECONDS * len(rated) > MAX_LABELS:
        raise InputError(f"{where}: {duration:.0f} s and {len(rated)} annotators: over {MAX_LABELS} labels of a second")
    start = UNIT_SECONDS * np.arange(math.ceil(duration / UNIT_SECONDS))
    span = np.stack([start, np.minimum(start + UNIT_SECONDS, duration)], axis=1)
    score = np.zeros((len(span), len(rated)), np.float32)
    for column, rows in enumerate(rated.values()):
        covered, upto = np.zeros(len(span)), 0.0
        for begin, end, label in rows:
            if label == 1:
                units = slice(int(begin // UNIT_SECONDS), math.ceil(end / UNIT_SECONDS))
                overlap = np.minimum(span[units, 1], end) - np.maximum(span[units, 0], max(begin, upto))
                covered[units] += np.maximum(overlap, 0)
                upto = max(upto, end)
                score[min(int((begin + end) / 2 // UNIT_SECONDS), len(span) - 1), column] = 1
        score[covered >= np.ptp(span, axis=1) / 2, column] = 1
    return Labels(span, score)
