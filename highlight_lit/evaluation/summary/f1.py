"""The measure of video summarization: F1 of a summary against annotators' summaries, in frames.

As published by Zhang et al. (ECCV 2016), after Gygli et al. and Song et al. (CVPR 2015), and since then used on TVSum and SumMe:

1. a segment is worth the mean of its frames' scores;
2. the summary is the set of whole segments that is worth most in sum and no longer than 15 % of the video: a 0/1 knapsack,
   solved exactly by dynamic programming;
3. with P the share of the summary's frames that are in an annotator's summary, and R the share of the annotator's that are in
   the summary, F1 = 2 P R / (P + R), 0 where they share none;
4. the video's value is the mean over annotators (`summary/f1-mean`, as TVSum is quoted) or the best (`summary/f1-max`, as SumMe).

The segments are given: those of KTS (`highlight_lit.methods.representatives.kts`), or the `change_points` of a published file.
A frame may be any unit of time that segments, scores and summaries share. Random scores reach high values on segments of
unequal length (Otani et al., CVPR 2019): set a value beside that of chance. On TVSum's labels, in percent, each annotator
against the others and random scores: over shots of 2 s mean 25.2 and 14.5, best 54.9 and 30; over segments of KTS on I3D's
features (44 a video) mean 45.9 and 42, best 75.9 and 69.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from highlight_lit.evaluation.ranking import Bools, Floats, Integers

SHARE = 0.15
MAX_CELLS = 1 << 31  # of the knapsack's table: a byte each


class SummaryF1(NamedTuple):
    """A video's value: over annotators the mean and the best."""

    mean: float
    best: float


def knapsack(values: ArrayLike, weights: ArrayLike, capacity: int) -> Bools:
    """The items that are worth most in sum and weigh no more than `capacity` together.

    Of equally good choices one is returned, the same at each call. Time and memory: items times capacity.

    Args:
        values: (n,) finite, at least 0.
        weights: (n,) whole numbers, at least 1.
        capacity: At least 0.

    Returns:
        (n,) which items are chosen.

    Raises:
        ValueError: Shapes that disagree, a number out of its range, or a table of over `MAX_CELLS`.

    >>> knapsack([3.0, 2.0, 2.0], [3, 2, 2], 4)
    array([False,  True,  True])
    """
    worth, weight = np.asarray(values, np.float64), np.asarray(weights)
    if worth.ndim != 1 or weight.shape != worth.shape:
        raise ValueError(f"values and weights must be of one shape (n,), not {worth.shape} and {weight.shape}")
    if not (np.isfinite(worth).all() and (worth >= 0).all()):
        raise ValueError("values must be finite and at least 0")
    if not (weight == np.rint(weight)).all() or (weight < 1).any() or capacity < 0:
        raise ValueError("weights must be whole numbers of at least 1, and the capacity at least 0")
    capacity = min(int(capacity), int(weight.sum()))
    if len(worth) * (capacity + 1) > MAX_CELLS:
        raise ValueError(
            f"{len(worth)} items and a capacity of {capacity}: over {MAX_CELLS} cells; expected a coarser unit of time"
        )
    best, taken = np.zeros(capacity + 1), np.zeros((len(worth), capacity + 1), np.bool_)
    for item, (value, heavy) in enumerate(zip(worth.tolist(), weight.astype(int).tolist(), strict=True)):
        if heavy <= capacity:
            more = best[: capacity + 1 - heavy] + value
            taken[item, heavy:] = more > best[heavy:]
            best[heavy:] = np.maximum(best[heavy:], more)
    chosen, left = np.zeros(len(worth), np.bool_), capacity
    for item in range(len(worth) - 1, -1, -1):
        if taken[item, left]:
            chosen[item] = True
            left -= int(weight[item])
    return chosen


def summary_of(scores: ArrayLike, segments: ArrayLike, share: float = SHARE) -> Bools:
    """The summary that scores make: steps 1 and 2 of the definition.

    Args:
        scores: (n,) of each frame, finite, at least 0: probabilities, or numbers that were brought into such a range.
            Samples of a frame in k are first repeated for the frames that they stand for.
        segments: (m, 2) [start, stop) in frames; they follow each other and cover all frames.
        share: Of the frames that may be chosen, from 0 to 1.

    Returns:
        (n,) which frames are chosen: floor(share * n) at most.

    Raises:
        ValueError: Shapes that disagree, segments that leave a frame out, a number out of its range.

    >>> summary_of([0, 1, 1, 0, 0, 0], [[0, 1], [1, 3], [3, 6]], share=0.5)
    array([False,  True,  True, False, False, False])
    """
    frames = np.asarray(scores, np.float64)
    if frames.ndim != 1 or len(frames) == 0:
        raise ValueError(f"scores must be (n,) with n >= 1, not {frames.shape}")
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, not {share}")
    bounds = _checked(np.asarray(segments), len(frames))
    lengths = np.diff(bounds, axis=1)[:, 0]
    mean = np.add.reduceat(frames, bounds[:, 0]) / lengths
    return np.repeat(knapsack(mean, lengths, math.floor(share * len(frames))), lengths)


def _checked(segments: NDArray[Any], frames: int) -> Integers:
    """(m, 2) segments that follow each other from 0 to `frames`."""
    if segments.ndim != 2 or segments.shape[1] != 2 or len(segments) == 0 or segments.dtype.kind not in "iu":
        raise ValueError(f"segments must be (m, 2) whole numbers with m >= 1, not {segments.dtype} {segments.shape}")
    follow = (segments[1:, 0] == segments[:-1, 1]).all() and (segments[:, 0] < segments[:, 1]).all()
    if not follow or segments[0, 0] != 0 or segments[-1, 1] != frames:
        raise ValueError(f"segments must follow each other, [start, stop), from 0 to the {frames} frames' end")
    return segments


def f1(summary: ArrayLike, annotators: ArrayLike) -> Floats:
    """F1 of a summary against each annotator's: step 3 of the definition.

    Args:
        summary: (n,) which frames are chosen.
        annotators: (A, n) which each annotator chose.

    Returns:
        (A,) numbers in [0, 1]; 0 where nothing is shared.

    Raises:
        ValueError: Shapes that disagree.

    >>> f1([True, True, False, False], [[True, False, False, False], [False, False, True, True]]).round(3)
    array([0.667, 0.   ])
    """
    chosen, theirs = np.asarray(summary, np.bool_), np.asarray(annotators, np.bool_)
    if chosen.ndim != 1 or theirs.ndim != 2 or theirs.shape[1] != len(chosen) or len(theirs) == 0:
        raise ValueError(f"expected a summary (n,) and annotators (A, n), not {chosen.shape} and {theirs.shape}")
    shared = (chosen & theirs).sum(axis=1)
    # 2 P R / (P + R) with P = shared / |summary| and R = shared / |annotator's|.
    return np.asarray(2 * shared / np.maximum(chosen.sum() + theirs.sum(axis=1), 1), np.float64)


def summary_f1(summary: ArrayLike, annotators: ArrayLike) -> SummaryF1:
    """A video's value: step 4 of the definition, of a summary (n,) and annotators' (A, n); errors as of `f1`.

    >>> summary_f1([False, True, True, False], [[False, True, True, False], [True] * 4])
    SummaryF1(mean=0.8333333333333333, best=1.0)
    """
    values = f1(summary, annotators)
    return SummaryF1(float(values.mean()), float(values.max()))
