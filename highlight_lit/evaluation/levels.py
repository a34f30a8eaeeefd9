"""Levels: what a measure gives without a model, by chance, the middle of the video, or the annotators themselves.

Measured on the public labels, in points:

- TVSum, shots of 2 s, 50 videos, chance / annotators: `top5/mininet` 57.4 / 89.3, `top5/umt` 41.3 / 80.8,
  `ap5` 36.0 / 81.6; `top5/umt` on UMT's ten validation videos 42.5 / 84.2. UMT's labels and the official ones
  read at each shot's middle frame agree to 0.2.
- YouTube Highlights, every labelled video, `youtube/trapezoid`, chance: dog 46.5, gymnastics 54.4, parkour
  47.2, skiing 51.9; the middle: 48.8, 59.2, 47.7, 57.9. Over UMT's validation lists of these topics chance is
  53.3, and 55.0 over those of the videos that UMT has features of: ten listed ones, seven of them of dogs,
  have none.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from highlight_lit.errors import InputError
from highlight_lit.evaluation.benchmarks import Benchmark, LabelledVideo, Measure, grouped, measured, over_labellings
from highlight_lit.evaluation.ranking import Bools, Floats, Integers
from highlight_lit.evaluation.report import Empty, Report, mean_present, or_none

MAX_DRAWN = 1 << 22  # places of random rankings, each labelling's, that are in memory at once


@dataclass(frozen=True)
class Spread:
    """Exact mean over all rankings of a corpus or topic, and standard deviation over those drawn."""

    mean: float
    std: float

    def to_dict(self) -> dict[str, float | None]:
        """Ready for JSON; NaN becomes None."""
        return {"mean": or_none(self.mean), "std": or_none(self.std)}


@dataclass(frozen=True)
class ChanceMeasure:
    """Chance in one measure: over all topics, and in each."""

    overall: Spread
    topics: Mapping[str, Spread]


@dataclass(frozen=True)
class Chance:
    """Chance on a benchmark, by measure name, from so many random rankings of every video."""

    benchmark: str
    primary: str
    draws: int
    seed: int
    measures: Mapping[str, ChanceMeasure]

    @property
    def value(self) -> float:
        """Chance in the primary measure."""
        return self.measures[self.primary].overall.mean

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; NaN becomes None."""
        measures = {
            name: {**measure.overall.to_dict(), "topics": {topic: s.to_dict() for topic, s in measure.topics.items()}}
            for name, measure in self.measures.items()
        }
        head = {"benchmark": self.benchmark, "primary": self.primary, "draws": self.draws, "seed": self.seed}
        return {**head, "measures": measures}


def chance(
    benchmark: Benchmark, videos: Sequence[LabelledVideo], draws: int = 200, seed: int = 0, empty: Empty | None = None
) -> Chance:
    """Mean and standard deviation of every measure over random rankings.

    The mean is the exact one over all rankings, in closed form; the rankings drawn give the standard
    deviation: how far one random ranking of the corpus strays. A video's rankings depend on the seed, its
    topic and its id alone, so chance in a topic is the same whichever others are counted.

    Args:
        benchmark: the protocol.
        videos: those to count.
        draws: random rankings of every video, at least 2.
        seed: of the rankings.
        empty: what a labelling without a positive counts for; the benchmark's own rule if None.

    Raises:
        InputError: fewer than 2 draws, no video, or one listed twice.
    """
    if draws < 2:
        raise InputError(f"draws must be at least 2, not {draws}")
    names = [measure.name for measure in benchmark.measures]
    topics: dict[str, Floats] = {}
    for topic, members in grouped(videos).items():
        values = [_random_values(benchmark.measures, video, draws, seed, empty or benchmark.empty) for video in members]
        topics[topic] = mean_present(np.stack(values))  # (measures, 1 + draws)
    overall = mean_present(np.stack(list(topics.values())))
    measures = {
        name: ChanceMeasure(_spread(overall[m]), {topic: _spread(values[m]) for topic, values in topics.items()})
        for m, name in enumerate(names)
    }
    return Chance(benchmark.name, benchmark.primary.name, draws, seed, measures)


def _spread(values: Floats) -> Spread:
    """Spread of (1 + draws) values, of which the first is the exact mean and each other that of a draw."""
    return Spread(float(values[0]), float(np.std(values[1:], ddof=1)))


def _random_values(measures: Sequence[Measure], video: LabelledVideo, draws: int, seed: int, empty: Empty) -> Floats:
    """(measures, 1 + draws) values of one video; every measure sees the same rankings."""
    rng = np.random.default_rng([seed, zlib.crc32(f"{video.topic}/{video.id}".encode())])
    positives = [measure.rule(video.score).T for measure in measures]  # (L, S) each
    exact = [
        over_labellings(np.array([[measure.precision.of_chance(each)] for each in positive]), measure.empty or empty)
        for measure, positive in zip(measures, positives, strict=True)
    ]
    segments, annotators = video.score.shape
    deepest = max(measure.precision.depth or segments for measure in measures)
    at_once = max(1, MAX_DRAWN // max(segments, annotators * deepest))
    values = [np.stack(exact)]
    for first in range(0, draws, at_once):
        ranking = np.argsort(rng.random((min(at_once, draws - first), segments)), axis=1)
        drawn = [
            _drawn_values(measure, positive, ranking, empty)
            for measure, positive in zip(measures, positives, strict=True)
        ]
        values.append(np.stack(drawn))
    return np.concatenate(values, axis=1)


def _drawn_values(measure: Measure, positive: Bools, ranking: Integers, empty: Empty) -> Floats:
    """(draws,) values of `ranking` (draws, S), permutations, by labellings (L, S)."""
    hits = positive[:, ranking[:, : measure.precision.depth]]  # (L, draws, depth)
    drawn = measure.precision.of_ranking(hits, positive.sum(axis=1, keepdims=True))  # (L, draws)
    return over_labellings(drawn, measure.empty or empty)


def middle(benchmark: Benchmark, videos: Sequence[LabelledVideo], empty: Empty | None = None) -> Report:
    """Ranking by nearness to the middle of the video: what a habit of filming gives away.

    The score is minus the distance between the segment's midpoint and half the duration, to the microsecond,
    so that two segments on either side tie in spite of rounding.
    """
    scores = {v.id: -np.round(np.abs(v.span.mean(axis=1) - v.duration / 2), 6) for v in videos}
    return measured(benchmark, videos, scores, empty)


def annotators(benchmark: Benchmark, videos: Sequence[LabelledVideo], empty: Empty | None = None) -> Report:
    """Ranking by the mean of the annotators' scores: the ceiling. One annotator ranks perfectly."""
    return measured(benchmark, videos, {v.id: v.score.mean(axis=1, dtype=np.float64) for v in videos}, empty)
