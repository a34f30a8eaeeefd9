"""Which segments an annotator's scores make positive: the label rules of the benchmarks, (S, A) scores to positives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.evaluation.ranking import Bools


def match_labels(score: NDArray[np.floating[Any]]) -> Bools:
    """YouTube Highlights: of the match labels -1, 0 and 1, only 1 is positive. (S, A) to (S, A)."""
    return np.asarray(score > 0)


def top_half(score: NDArray[np.floating[Any]]) -> Bools:
    """MINI-Net's rule for TVSum: each annotator's floor(S / 2) best shots, of equal ones the earlier.

    The scores are whole numbers from 1 to 5, so the half nearly always cuts through a tie. Positive at the
    half and above, ties included, would put chance at 72 in place of 57 (top-5 mAP). (S, A) to (S, A).
    """
    order = np.argsort(-score, axis=0, kind="stable")
    positive = np.zeros(score.shape, np.bool_)
    np.put_along_axis(positive, order[: len(score) // 2], True, axis=0)
    return positive


def above_median(score: NDArray[np.floating[Any]]) -> Bools:
    """UMT's rule for TVSum: strictly above the annotator's lower median. (S, A) to (S, A)."""
    return np.asarray(score > np.sort(score, axis=0)[(len(score) - 1) // 2])


def agreed(score: NDArray[np.floating[Any]]) -> Bools:
    """CoSum: a shot that at least two annotators chose (score > 0) is positive. (S, A) to (S, 1)."""
    return np.asarray(np.sum(score > 0, axis=1, keepdims=True) >= 2)


def both_kinds(score: NDArray[np.floating[Any]]) -> Bools:
    """AVE: seconds of the event are positive, where a labelling has both event and background. (S, A) to (S, A)."""
    return np.asarray((score > 0) & (score <= 0).any(axis=0))
