"""Recurrence and change: moments that come back across a topic's videos, where the visual features change. Without training.

A clip's score is z(recurrence) + z(change), each averaged over five clips, z within the video. Recurrence is that of
`recurrence`, over rows in which audio is centred within its video: what a video sounds like as a whole names the video
and not a moment. Change is the norm of half of |v_t - v_{t-1}| + |v_{t+1} - v_t|.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from highlight_lit.methods.numerics import TINY, Floats, unit
from highlight_lit.methods.recurrence.recurrence import recurrence
from highlight_lit.methods.videos import Clips, Videos

WINDOW = 5  # clips that a score is averaged over
AUDIO_WEIGHT = 0.5  # of audio in an inner product of two clips, beside the visual stream's 1


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,) of each video to evaluate."""
    return teach(videos, videos.evaluation)


def teach(videos: Videos, pupils: Sequence[Clips]) -> list[Floats]:
    """Scores (T_n,) of the clips of some of a topic's videos."""
    positive, negative = (tuple(map(_comparable, side)) for side in (videos.positive, videos.negative))
    comparable = replace(videos, positive=positive, negative=negative)
    return [
        standard(smooth(recurrence(_comparable(video), comparable))) + standard(smooth(change(video)))
        for video in pupils
    ]


def change(video: Clips) -> Floats:
    """How much the first stream changes around each clip, (T_n,): the norm of the mean of the steps to its neighbours."""
    v = video.sized[:, : video.widths[0] if video.widths else None].astype(np.float64)
    if len(v) == 1:
        return np.zeros(1)
    step = np.abs(np.diff(v, axis=0))  # (T_n - 1, D)
    before, after = np.concatenate([step[:1], step]), np.concatenate([step, step[-1:]])  # at the ends the one there is
    return np.asarray(np.linalg.norm((before + after) / 2, axis=1))


def smooth(x: Floats) -> Floats:
    """Mean over the `WINDOW` clips around each, fewer at the ends, (T_n,)."""

    def total(y: Floats) -> Floats:
        return np.convolve(y, np.ones(WINDOW))[WINDOW // 2 :][: len(y)]

    return total(x) / total(np.ones(len(x)))


def standard(x: Floats) -> Floats:
    """z within the video: mean 0 and standard deviation 1; 0 where all are the same. (T_n,)"""
    return np.asarray((x - x.mean()) / max(float(x.std()), TINY))


def ranks(x: Floats) -> Floats:
    """Each clip's rank in its video, in [0, 1], the best 1; of equal ones the earlier is lower. (T_n,)"""
    return np.argsort(np.argsort(x, kind="stable"), kind="stable") / max(len(x) - 1, 1)


def _comparable(video: Clips) -> Clips:
    """The clips with audio centred within the video, rows of length 1 a stream, audio weighed by sqrt(AUDIO_WEIGHT)."""
    if len(video.widths) < 2:
        return video
    v, a = np.split(video.sized.astype(np.float64), [video.widths[0]], axis=1)
    there = (a != 0).any(axis=1, keepdims=True)  # a clip without audio has zeros
    centred = (a - a.sum(axis=0) / max(there.sum(), 1)) * there
    x = np.concatenate([unit(v), np.sqrt(AUDIO_WEIGHT) * unit(centred)], axis=1)
    return replace(video, x=x.astype(np.float32))
