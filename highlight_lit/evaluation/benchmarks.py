"""The protocols of YouTube Highlights, TVSum, CoSum and AVE: from segment scores and labels to a report.

A measure is a label rule (which segments an annotator's scores make positive) and a definition of average
precision from `ranking`. Its value is the mean over annotators, then over a topic's videos, then over topics,
each counting the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from highlight_lit.errors import InputError
from highlight_lit.evaluation.label_rules import above_median, agreed, both_kinds, match_labels, top_half
from highlight_lit.evaluation.ranking import AP5, STEP, TOP5, TRAPEZOID, Bools, Floats, Precision
from highlight_lit.evaluation.report import Empty, MeasureReport, Report, mean_present


@dataclass(frozen=True, eq=False)
class LabelledVideo:
    """A video's labelled segments.

    Attributes:
        id: the video's id, unique within its topic.
        topic: the topic whose highlights are labelled.
        duration: seconds.
        span: (S, 2) start and end of each segment in seconds; segments may overlap.
        score: (S, A) each annotator's score of each segment, in the corpus' own unit.

    Raises:
        InputError: no segment, no annotator, shapes that disagree, or a number that is not finite.
    """

    id: str
    topic: str
    duration: float
    span: NDArray[np.floating[Any]]
    score: NDArray[np.floating[Any]]

    def __post_init__(self) -> None:
        segments = len(self.span)
        if self.span.shape != (segments, 2) or segments == 0:
            raise InputError(f"video {self.id}: span must be (S, 2) with S >= 1, not {self.span.shape}")
        if self.score.ndim != 2 or len(self.score) != segments or self.score.shape[1] == 0:
            raise InputError(f"video {self.id}: score must be ({segments}, A) with A >= 1, not {self.score.shape}")
        if not (np.isfinite(self.span).all() and np.isfinite(self.score).all() and math.isfinite(self.duration)):
            raise InputError(f"video {self.id}: span, score and duration must be finite")


@dataclass(frozen=True)
class Measure:
    """A label rule and a definition of average precision.

    Attributes:
        name: as it appears in tables, for instance `youtube/trapezoid`.
        description: one line.
        rule: scores (S, A) to positives (S, L): a labelling an annotator, or one they agree on.
        precision: the definition.
        empty: what a labelling without a positive counts for in this measure, whatever was asked; None: as asked.
    """

    name: str
    description: str
    rule: Callable[[NDArray[np.floating[Any]]], Bools]
    precision: Precision
    empty: Empty | None = None

    def __call__(self, video: LabelledVideo, scores: ArrayLike, empty: Empty = "zero") -> float:
        """Value of one video's ranking: the mean over its labellings.

        Args:
            video: the video.
            scores: (S,) a score for each labelled segment.
            empty: whether a labelling without a positive counts 0 or is left out.

        Returns:
            A number in [0, 1]; NaN if every labelling is left out.
        """
        positive = self.rule(video.score)
        values = [self.precision.of_scores(scores, labelling) for labelling in positive.T]
        return float(over_labellings(np.array(values), self.empty or empty))

    def labellings(self, video: LabelledVideo) -> tuple[int, int]:
        """How many labellings the video has, and how many of them without a positive."""
        positive = self.rule(video.score)
        return positive.shape[1], int(np.sum(~positive.any(axis=0)))


def over_labellings(values: Floats, empty: Empty) -> Floats:
    """Mean over the first axis; NaN, a labelling without a positive, counts 0 or is left out."""
    return mean_present(np.nan_to_num(values, nan=0.0) if empty == "zero" else values)


@dataclass(frozen=True)
class Benchmark:
    """A corpus' protocol.

    Attributes:
        name: as in a corpus' manifest.
        measures: by what the benchmark is measured; the first is the one to quote.
        empty: whether a labelling without a positive counts 0 (as in UMT's code) or is left out.
    """

    name: str
    measures: tuple[Measure, ...]
    empty: Empty = "zero"

    @property
    def primary(self) -> Measure:
        """The measure to quote."""
        return self.measures[0]


_WHOLE, _WHOLE_STEP = "whole video, trapezoid AP", "whole video, step AP"
_FIRST, _FIRST_AP5 = "trapezoid AP of the first five", "AP@5 over min(5, positives)"
_MATCHING = "clips with match > 0"
_HALF, _ABOVE = "each annotator's top half of the shots", "shots above each annotator's lower median"
_CHOSEN = "shots chosen by two annotators or more"
_EVENT = "event seconds of videos that have both kinds"
YOUTUBE_HIGHLIGHTS = Benchmark("youtube-highlights", (
    Measure("youtube/trapezoid", f"{_MATCHING}, {_WHOLE}", match_labels, TRAPEZOID),
    Measure("youtube/step", f"{_MATCHING}, {_WHOLE_STEP}", match_labels, STEP),
))  # fmt: skip
TVSUM = Benchmark("tvsum", (
    Measure("top5/mininet", f"{_HALF}, {_FIRST}", top_half, TOP5),
    Measure("top5/umt", f"{_ABOVE}, {_FIRST}", above_median, TOP5),
    Measure("ap5", f"{_HALF}, {_FIRST_AP5}", top_half, AP5),
))  # fmt: skip
COSUM = Benchmark("cosum", (
    Measure("cosum/top5", f"{_CHOSEN}, {_FIRST}", agreed, TOP5),
    Measure("cosum/ap5", f"{_CHOSEN}, {_FIRST_AP5}", agreed, AP5),
    Measure("cosum/step", f"{_CHOSEN}, {_WHOLE_STEP}", agreed, STEP),
))  # fmt: skip
AVE = Benchmark("ave", (
    Measure("ave/trapezoid", f"{_EVENT}, {_WHOLE}", both_kinds, TRAPEZOID, "leave_out"),
    Measure("ave/step", f"{_EVENT}, {_WHOLE_STEP}", both_kinds, STEP, "leave_out"),
), "leave_out")  # fmt: skip
OWN_HIGHLIGHTS = Benchmark("highlights", YOUTUBE_HIGHLIGHTS.measures)
OWN_IMPORTANCE = Benchmark("importance", TVSUM.measures)
BENCHMARKS = {
    benchmark.name: benchmark for benchmark in (YOUTUBE_HIGHLIGHTS, TVSUM, COSUM, AVE, OWN_HIGHLIGHTS, OWN_IMPORTANCE)
}


def for_labels(name: str | None, annotators: int) -> Benchmark:
    """The benchmark of a corpus: the one it names, else by its number of annotators.

    One annotator: YouTube Highlights; three: CoSum; otherwise TVSum.

    Raises:
        InputError: there is no benchmark of that name.

    >>> for_labels(None, 20).name
    'tvsum'
    """
    if name is None:
        return {1: YOUTUBE_HIGHLIGHTS, 3: COSUM}.get(annotators, TVSUM)
    if name not in BENCHMARKS:
        raise InputError(f"benchmark {name!r} is unknown: expected one of {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def grouped(videos: Sequence[LabelledVideo]) -> dict[str, list[LabelledVideo]]:
    """Videos by topic, in the order given.

    Raises:
        InputError: no video, or one id twice in a topic.
    """
    if not videos:
        raise InputError("there is no labelled video to evaluate on")
    (topic, video), count = Counter((v.topic, v.id) for v in videos).most_common(1)[0]
    if count > 1:
        raise InputError(f"video {video}: {count} times in topic {topic}")
    return {topic: [v for v in videos if v.topic == topic] for topic in dict.fromkeys(v.topic for v in videos)}


def _scores_of(video: LabelledVideo, segment_scores: Mapping[str, NDArray[Any]]) -> Floats:
    """The video's segment scores, checked."""
    if video.id not in segment_scores:
        raise InputError(f"video {video.id} (topic {video.topic}): no scores")
    scores = np.asarray(segment_scores[video.id], np.float64)
    if scores.shape != (len(video.span),):
        raise InputError(f"video {video.id}: expected {len(video.span)} segment scores, found shape {scores.shape}")
    if np.isnan(scores).any():
        raise InputError(f"video {video.id}: segment {int(np.argmax(np.isnan(scores)))} scores NaN")
    return scores


def measured(
    benchmark: Benchmark,
    videos: Sequence[LabelledVideo],
    segment_scores: Mapping[str, NDArray[Any]],
    empty: Empty | None = None,
) -> Report:
    """Every measure of the benchmark for a ranking of each video's segments.

    Args:
        benchmark: the protocol.
        videos: those to count, of one topic or several.
        segment_scores: by video id, (S,) scores of its segments (see `to_segments`); others are ignored.
        empty: what a labelling without a positive counts for; the benchmark's own rule if None.

    Raises:
        InputError: a video without scores, of another length, with a NaN, or listed twice; no video at all.
    """
    empty = empty or benchmark.empty
    topics = grouped(videos)
    scores = {video.id: _scores_of(video, segment_scores) for video in videos}
    measures = {}
    for measure in benchmark.measures:
        values = {t: {v.id: measure(v, scores[v.id], empty) for v in members} for t, members in topics.items()}
        counts = np.array([measure.labellings(video) for video in videos])
        labellings, without = (int(n) for n in counts.sum(axis=0))
        measures[measure.name] = MeasureReport(measure.name, measure.description, values, labellings, without)
    return Report(benchmark.name, benchmark.primary.name, empty, measures)
