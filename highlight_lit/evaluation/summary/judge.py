"""A system judged as a summarizer, as `evaluate --summary` does: `f1`'s measure beside chance and the annotators.

Time is cut into units of `UNIT_S`. A unit scores what the clips or labelled segments under it do. Segments are those of KTS on
the visual features. An annotator whose labels are 0 and 1 has chosen the summary; of any other labels it is made as a system's is.
A system's scores are scaled to the video's range, since a knapsack needs numbers of at least 0.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.evaluation.benchmarks import LabelledVideo
from highlight_lit.evaluation.ranking import Bools, Floats, Integers
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.evaluation.summary.f1 import SummaryF1, summary_f1, summary_of
from highlight_lit.evaluation.to_segments import to_segments
from highlight_lit.methods.representatives.kts import segments as kts

UNIT_S = 0.5
MAX_UNITS = 1 << 17  # of a video: 18 hours
PENALTY = 0.3  # of KTS on rows of length 1: some 44 segments a video of TVSum
MAX_DRAWS = 20  # random scores of each video behind chance


class SummaryJudgement(NamedTuple):
    """Means over topics of means over videos, each the mean over annotators and the best: in [0, 1]."""

    system: SummaryF1
    chance: SummaryF1
    annotators: SummaryF1
    videos: Mapping[str, SummaryF1]


def judge_summaries(
    corpus: Corpus, videos: Sequence[LabelledVideo], scores: Mapping[str, ClipScores], draws: int = MAX_DRAWS
) -> SummaryJudgement:
    """Judge scores of clips as summaries of 15 %.

    Args:
        corpus: Whose visual features are cut into segments.
        videos: Those to judge.
        scores: By video id.
        draws: Random scores behind chance; `MAX_DRAWS` at most are drawn.

    Raises:
        InputError: No visual features, a video of over `MAX_UNITS`, or no scores of one.
    """
    if "visual" not in corpus.streams:
        raise InputError(f"{corpus.root}: no visual features; --summary needs them, which KTS cuts into segments")
    by_topic: dict[str, list[tuple[SummaryF1, SummaryF1, SummaryF1]]] = {}
    by_video: dict[str, SummaryF1] = {}
    for video in videos:
        if video.id not in scores:
            raise InputError(f"video {video.id!r}: no scores")
        values = _judged(corpus, video, scores[video.id], min(draws, MAX_DRAWS))
        by_video[video.id] = values[0]
        by_topic.setdefault(video.topic, []).append(values)
    means = np.mean([np.mean(of_topic, axis=0) for of_topic in by_topic.values()], axis=0)
    system, chance, annotators = (SummaryF1(*row) for row in means.tolist())
    return SummaryJudgement(system, chance, annotators, by_video)


def _judged(
    corpus: Corpus, video: LabelledVideo, scores: ClipScores, draws: int
) -> tuple[SummaryF1, SummaryF1, SummaryF1]:
    """F1 of a video's summaries: the system's, the mean of random ones, and the mean of each annotator against the others."""
    units = math.ceil(video.duration / UNIT_S)
    if units > MAX_UNITS:
        raise InputError(f"video {video.id!r}: lasts {video.duration:.0f} s, over {MAX_UNITS * UNIT_S:.0f} s")
    start = UNIT_S * np.arange(units)
    grid = np.stack([start, start + UNIT_S], axis=1)
    segments = _segments(corpus, video, units)
    binary = bool(np.isin(video.score, (0, 1)).all())
    theirs = np.stack([_chosen(to_segments(video.span, column, grid), segments, binary) for column in video.score.T])
    rng = np.random.default_rng(zlib.crc32(f"{video.topic}/{video.id}".encode()))
    clips = len(scores.span)
    drawn = [to_segments(scores.span, rng.random(clips), grid) for _ in range(draws)]
    chance = [summary_f1(summary_of(random_scores, segments), theirs) for random_scores in drawn]
    alone = len(theirs) == 1
    others = [summary_f1(own, theirs if alone else np.delete(theirs, at, axis=0)) for at, own in enumerate(theirs)]
    system = summary_f1(summary_of(_scaled(to_segments(scores.span, scores.ranking, grid)), segments), theirs)
    mean, best = np.mean(chance, axis=0)
    return system, SummaryF1(float(mean), float(best)), SummaryF1(*np.mean(others, axis=0).tolist())


def _chosen(labels: Floats, segments: Integers, binary: bool) -> Bools:
    """An annotator's summary: what the labels choose if they are 0 and 1, else what a knapsack of them as they are does."""
    if binary:
        return labels >= 0.5
    return summary_of(labels if labels.min() >= 0 else _scaled(labels), segments)


def _scaled(scores: Floats) -> Floats:
    """Scores in [0, 1] over the video's range; all 0 where they are equal."""
    low, high = scores.min(), scores.max()
    return (scores / 2 - low / 2) / (high / 2 - low / 2) if high > low else np.zeros_like(scores)


def _segments(corpus: Corpus, video: LabelledVideo, units: int) -> Integers:
    """(m, 2) units: KTS on the visual rows of length 1, its cuts at the unit nearest to the clip's start."""
    index = corpus.index(video.id)
    assert index is not None
    rows = corpus.rows(index, "visual").astype(np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    span = corpus.rows(index, "span")
    cuts = [round(float(span[first, 0]) / UNIT_S) for first, _ in kts(rows, PENALTY)[1:]]
    edges = np.unique([0, *(cut for cut in cuts if 0 < cut < units), units])
    return np.stack([edges[:-1], edges[1:]], axis=1)
