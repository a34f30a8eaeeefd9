"""Recurrence: moments that come back across a topic's videos (after Islam et al., WACV 2025), without training.

A clip's score is the mean over the topic's positive videos of its largest cosine similarity to one of their clips,
less the same over the negative videos. Time grows with the clips scored times the clips compared with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from highlight_lit.methods.numerics import Floats, Rows
from highlight_lit.methods.videos import Clips, Videos

MAX_CELLS = 1 << 24  # similarities that are in memory at once: 64 MiB


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,) of each video to evaluate, in [-2, 2]."""
    return [recurrence(video, videos) for video in videos.evaluation]


def recurrence(video: Clips, videos: Videos) -> Floats:
    """Recurrence of a video's clips among the topic's other videos, (T_n,)."""
    return closeness(video, videos.peers(video)) - closeness(video, [v for v in videos.negative if v.id != video.id])


def closeness(video: Clips, others: Sequence[Clips]) -> Floats:
    """Mean over some videos of the largest cosine similarity of each clip to one of theirs; 0 without any. (T_n,)"""
    if not others:
        return np.zeros(len(video))
    nearest = [_nearest(video.x, other.x) for other in others]
    return np.asarray(np.mean(nearest, axis=0, dtype=np.float64))


def _nearest(x: Rows, y: Rows) -> Rows:
    """The largest inner product of each row of x (n, D) with one of y's (m, D), some rows of x at a time. (n,)"""
    rows = max(1, MAX_CELLS // len(y))
    return np.concatenate([(x[start : start + rows] @ y.T).max(axis=1) for start in range(0, len(x), rows)])
