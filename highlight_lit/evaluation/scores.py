"""Scores of any system's clips: read from a csv, matched with a corpus' videos, carried over to labelled segments."""

from __future__ import annotations

import csv
import itertools
import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.topics.tags import same_form
from highlight_lit.errors import InputError
from highlight_lit.evaluation.ranking import Floats
from highlight_lit.files import atomic_write
from highlight_lit.text import a_few
from highlight_lit.untrusted.csv_tables import read_table

COLUMNS, LOGIT = ("video", "start", "end", "score"), "logit"
MAX_VIDEOS = 100_000  # of a csv: each is a few arrays
MAX_ROWS = 2_000_000  # of a csv
MAX_WHOLE = 1 << 25  # clips times segments: beyond, a segment is compared with the clips near it alone, for time
TOLERANCE_S = 2.0  # by which clips may run past a video: lengths in whole seconds, frame rates that were estimated


@dataclass(frozen=True)
class ClipScores:
    """A system's scores of one video: higher is more of a highlight.

    Attributes:
        span: (T_n, 2) seconds.
        score: (T_n,) a network's p in [0, 1]; another system's, on any scale.
        logit: (T_n,) a network's z, which ranks clips where p ties; None of a system without.
    """

    span: NDArray[np.float64]
    score: NDArray[np.float64]
    logit: NDArray[np.float64] | None = None

    @classmethod
    def of_logits(cls, span: NDArray[np.float64], logit: NDArray[np.float64]) -> ClipScores:
        """Scores of a network, from its logits (T_n,)."""
        return cls(span, expit(logit), logit)

    @property
    def ranking(self) -> NDArray[np.float64]:
        """(T_n,) what clips are ranked by: the logit where there is one, else the score."""
        return self.score if self.logit is None else self.logit


def read_scores(path: Path) -> dict[str, ClipScores]:
    """Scores of any system from a csv with the columns video, start, end (seconds), score and perhaps logit; others are left out.

    Raises:
        InputError: The file cannot be read, lacks a column, or holds something else than numbers; names the line.
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
    return {video: _in_order(np.frombuffer(rows).reshape(-1, width)) for video, rows in clips.items()}


def _in_order(rows: NDArray[np.float64]) -> ClipScores:
    rows = rows[np.lexsort(rows.T[::-1])]
    return ClipScores(rows[:, :2], rows[:, 2], rows[:, 3] if rows.shape[1] > 3 else None)


def _clip(path: Path, line: int, row: Mapping[str, str]) -> tuple[float, ...]:
    values = tuple(_number(row[name]) for name in (*COLUMNS[1:], LOGIT) if name in row)
    if not all(map(math.isfinite, values)) or not 0 <= values[0] < values[1]:
        raise InputError(
            f"{path}: line {line}: expected finite numbers with 0 <= start < end, found {list(row.values())}"
        )
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def write_scores(path: Path, scores: Mapping[str, ClipScores]) -> None:
    """Write scores as the csv that `read_scores` reads, with the column logit if all have it."""
    logits = all(clips.logit is not None for clips in scores.values())
    rows = (
        (video, f"{start:.3f}", f"{end:.3f}", *(repr(float(number)) for number in numbers))
        for video, clips in scores.items()
        for (start, end), *numbers in zip(clips.span, clips.score, *([clips.ranking] if logits else []), strict=True)
    )
    write_csv(path, (*COLUMNS, LOGIT) if logits else COLUMNS, rows)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a csv file, whole or not at all, line by line: there may be millions."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(itertools.chain([header], rows))


def matched(
    scores: Mapping[str, ClipScores], corpus: Corpus, where: str, report: Callable[[str], None]
) -> dict[str, ClipScores]:
    """The scores of a corpus' videos, under the ids that it has them by; ids are compared in one Unicode form.

    Args:
        scores: By video.
        corpus: The corpus.
        where: What the scores came from, for errors and reports.
        report: Called with a line for what is left out.

    Raises:
        InputError: None of the videos is in the corpus, or clips run past a video's end: they are another video's.
    """
    kept: dict[str, ClipScores] = {}
    unknown = {name: None for name in scores if corpus.index(name) is None}
    by_form = {same_form(name.decode()): name.decode() for name in corpus.ids} if unknown else {}
    for name, clip_scores in scores.items():
        own = by_form.get(same_form(name)) if name in unknown else name
        if own in kept:
            raise InputError(f"{where}: video {own!r}: occurs twice, in two Unicode forms; expected one of them")
        if own is not None:
            kept[own] = clip_scores
    strange = [name for name in unknown if same_form(name) not in by_form]
    if not kept:
        raise InputError(
            f"{where}: none of its {len(scores)} videos is in {corpus.root}: {a_few(strange)}; "
            f"expected ids as {corpus.ids[0].decode()!r}"
        )
    if strange:
        report(
            f"{where}: {len(strange)} of {len(scores)} videos are not in {corpus.root} and are left out: {a_few(strange)}"
        )
    short = [name for name, clip_scores in kept.items() if not _reaches_the_end(name, clip_scores, corpus, where)]
    if short:
        report(
            f"{where}: {len(short)} videos have scores up to before their end alone; what comes later gets that of the nearest "
            f"clip: {a_few(short)}"
        )
    return kept


def _reaches_the_end(name: str, scores: ClipScores, corpus: Corpus, where: str) -> bool:
    """Whether a video's clips go on to its end; refused where they go further."""
    index = corpus.index(name)
    assert index is not None
    duration = float(corpus.duration[index])
    allowed = TOLERANCE_S + min(duration, float(np.median(np.ptp(scores.span, axis=1))))
    past = (scores.span[:, 0] > duration + TOLERANCE_S) | (scores.span[:, 1] > duration + allowed)
    if past.any():
        start, end = scores.span[int(np.argmax(past))]
        raise InputError(
            f"{where}: video {name!r}: {int(past.sum())} of {len(past)} clips lie past its end at {duration:.2f} s, the first from "
            f"{start:.2f} to {end:.2f}; expected scores of this video, in seconds"
        )
    return bool(scores.span[:, 1].max() >= duration - allowed)


def to_segments(clip_span: ArrayLike, clip_scores: ArrayLike, segment_span: ArrayLike) -> Floats:
    """Scores of clips carried over to labelled segments: the mean weighted by the seconds of overlap.

    A segment that no clip overlaps takes the score of the clip whose midpoint is nearest, the earlier one of
    two. Clips may overlap each other. Equal scores stay exactly equal: rounding makes no order among them.

    Args:
        clip_span: (T_n, 2) start and end of each clip in seconds, T_n >= 1.
        clip_scores: (T_n,) finite.
        segment_span: (S, 2) start and end of each segment in seconds.

    Returns:
        (S,) scores, each within the range of the clips it comes from.

    Raises:
        InputError: no clip, shapes that disagree, or a number that is not finite.

    >>> to_segments([[0, 1], [1, 2], [2, 3]], [0.0, 1.0, 4.0], [[0.5, 2.0], [2.0, 3.0], [8.0, 9.0]])
    array([0.66666667, 4.        , 4.        ])
    """
    clips, scores, segments = (np.asarray(a, np.float64) for a in (clip_span, clip_scores, segment_span))
    if scores.ndim != 1 or len(scores) == 0 or clips.shape != (len(scores), 2):
        raise InputError(
            f"clip scores must be (T_n,) and spans (T_n, 2) with T_n >= 1, not {scores.shape} and {clips.shape}"
        )
    if segments.shape != (len(segments), 2):
        raise InputError(f"segment spans must be (S, 2), not {segments.shape}")
    if not all(np.isfinite(a).all() for a in (clips, scores, segments)):
        raise InputError("clip scores, clip spans and segment spans must be finite")
    # Scores beyond these bounds would overflow in a difference or a sum; a power of two changes no other digit.
    scale = 2.0**-100 if np.abs(scores).max() > 2.0**900 else 1.0
    # In blocks of segments, so that hours of video at one clip a second stay within some tens of megabytes.
    cells = len(scores) * len(segments)
    blocks = np.array_split(segments, max(1, math.ceil(cells / 2**20)))
    return np.concatenate([_to_few_segments(clips, scores * scale, each, cells > MAX_WHOLE) for each in blocks]) / scale


def _to_few_segments(clips: Floats, scores: Floats, segments: Floats, near: bool) -> Floats:
    """`to_segments` through the (S, T_n) matrix of overlaps: of all clips, or of those `near` the segments alone."""
    middle, every = clips.mean(axis=1), scores
    if near:
        within = (clips[:, 1] > segments[:, 0].min()) & (clips[:, 0] < segments[:, 1].max())
        clips, scores = clips[within], scores[within]
    overlap = np.maximum(np.minimum(segments[:, 1:], clips[:, 1]) - np.maximum(segments[:, :1], clips[:, 0]), 0.0)
    total = overlap.sum(axis=1)
    alone = total == 0
    nearest = np.argmin(np.abs(segments[alone].mean(axis=1)[:, None] - middle), axis=1)
    # The mean is above the segment's lowest clip score: clips of one score give exactly that, however they are weighted.
    lowest = np.min(np.where(overlap > 0, scores, np.inf), axis=1, initial=np.inf)
    lowest[alone] = every[nearest]
    rise = np.sum(overlap * np.maximum(scores - lowest[:, None], 0.0), axis=1)
    highest = np.max(np.where(overlap > 0, scores, -np.inf), axis=1, initial=-np.inf)
    weighted: Floats = lowest + rise / np.where(total > 0, total, np.inf)
    return np.minimum(weighted, np.where(total > 0, highest, lowest))  # rounding takes none past its clips
