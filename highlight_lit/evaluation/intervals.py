"""Intervals over seeds, paired differences over videos, and correction for many comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # type: ignore[import-untyped,unused-ignore]

from highlight_lit.errors import InputError
from highlight_lit.evaluation.ranking import Floats

CONFIDENCE = 0.95  # of every interval
DRAWS = 10_000  # bootstrap samples


@dataclass(frozen=True)
class Interval:
    """Mean over n runs, their standard deviation (over n - 1), and the bounds of the mean."""

    mean: float
    std: float
    low: float
    high: float
    n: int


def t_interval(values: ArrayLike) -> Interval:
    """Student's interval of a mean over seeds: mean -/+ t_{n-1} std / sqrt(n).

    Args:
        values: (n,) one number a seed, n >= 1. A single one has neither spread nor bounds: they are NaN.

    Raises:
        InputError: no value, or one that is not finite.

    >>> t_interval([1.0, 2.0, 3.0]).high.__round__(3)  # 2 + 4.303 / sqrt(3)
    4.484
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or len(x) == 0 or not np.isfinite(x).all():
        raise InputError(f"an interval needs a list of one or more finite numbers, not {values!r}")
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, math.nan, math.nan, math.nan, 1)
    std = float(x.std(ddof=1))
    half = float(special.stdtrit(len(x) - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(len(x))
    return Interval(mean, std, mean - half, mean + half, len(x))


@dataclass(frozen=True)
class Difference:
    """Difference of two means of topic means, its interval, two-sided p, and the videos it rests on."""

    difference: float
    low: float
    high: float
    p: float
    videos: int


def paired_bootstrap(ours: ArrayLike, theirs: ArrayLike, topics: Sequence[str]) -> Difference:
    """Whether two rankings of the same videos differ.

    Videos are drawn with replacement within each topic. Topics with a single video have no spread of their
    own (TVSum's validation lists are all such): they are drawn from together, as one stratum that weighs as
    much as its topics; a lone one stays as it is. The p value is twice the smaller share of drawn differences
    on either side of 0, with one added to each count (Davison and Hinkley 1997), so it is never below 2 /
    (DRAWS + 1).

    Args:
        ours: (n,) one measure's value for each video.
        theirs: (n,) the other's for the same videos; a video left out (NaN) in both is ignored.
        topics: (n) the topic of each video.

    Raises:
        InputError: lengths differ, a video counts in one only, or fewer than two videos count.
    """
    a, b, names = np.asarray(ours, np.float64), np.asarray(theirs, np.float64), np.asarray(topics, np.str_)
    if not (a.ndim == 1 and a.shape == b.shape == names.shape):
        raise InputError(f"paired values and topics must be of one length, not {a.shape}, {b.shape} and {names.shape}")
    if (np.isnan(a) != np.isnan(b)).any():
        raise InputError("paired values must be of the same videos: a video is left out (NaN) in one of the two only")
    counted = ~np.isnan(a)
    if counted.sum() < 2:
        raise InputError(f"a paired test needs two videos or more, not {int(counted.sum())}")
    rng = np.random.default_rng(0)
    observed, drawn = 0.0, np.zeros(DRAWS)
    for difference, weight in _strata((a - b)[counted], names[counted]):
        observed += weight * float(difference.mean())
        sample = rng.integers(len(difference), size=(DRAWS, len(difference)))
        drawn += weight * difference[sample].mean(axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    # A drawn difference of 0 but for rounding counts on both sides.
    slack = 1e-12 * float(np.abs(a - b)[counted].max())
    smaller = min(np.sum(drawn <= slack), np.sum(drawn >= -slack))
    p = min(1.0, 2 * (int(smaller) + 1) / (DRAWS + 1))
    return Difference(observed, float(low), float(high), p, int(counted.sum()))


def _strata(differences: Floats, topics: np.ndarray[tuple[int], np.dtype[np.str_]]) -> list[tuple[Floats, float]]:
    """Differences and weight of each stratum: a topic of several videos, or all topics of one."""
    names, topic, size = np.unique(topics, return_inverse=True, return_counts=True)
    strata = [(differences[topic == t], 1 / len(names)) for t in np.flatnonzero(size > 1)]
    single = differences[size[topic] == 1]
    return [*strata, (single, len(single) / len(names))] if len(single) else strata


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down correction (1979): adjusted p values, in the order given.

    The i-th smallest of m is multiplied by m - i + 1, made no smaller than those before it, and cut at 1.

    Raises:
        InputError: a value outside [0, 1].

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"p values must be a list of numbers in [0, 1], not {p_values!r}")
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted
