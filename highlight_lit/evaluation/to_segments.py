"""Scores of clips carried over to labelled segments."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from highlight_lit.errors import InputError
from highlight_lit.evaluation.ranking import Floats

MAX_OVERLAPS = 1 << 25  # clips times segments: beyond, a segment is compared with the clips near it alone, for time


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
    return (
        np.concatenate([_to_few_segments(clips, scores * scale, each, cells > MAX_OVERLAPS) for each in blocks]) / scale
    )


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
