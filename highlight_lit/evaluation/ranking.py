"""Average precision of a ranking, in each definition the field uses.

Walking down the ranked items, position i (from 1) has precision P_i = h_i / i and recall R_i = h_i / P, with
h_i the positives among the first i and P all of them. The definitions differ in how they sum the area under
precision over recall:

- `trapezoid`: sum of (R_i - R_{i-1}) (P_{i-1} + P_i) / 2 from R_0 = 0, P_0 = 1 (MINI-Net, UMT and those that
  took over their code);
- `step`: sum of (R_i - R_{i-1}) P_i over the distinct scores (scikit-learn's `average_precision_score`);
- top k: the trapezoid over the first k items, recall relative to the positives *among them*; 0 without one;
- AP@k: sum of P_i over the positives among the first k, divided by min(k, P).

Tied scores carry no order. `step` takes tied items as one threshold; the other definitions return the mean
over all orders of the tied items, in closed form. It rests on two facts about a group of g tied items of
which q are positive: its j-th place holds a positive with probability q / g, and if it does, the j - 1 places
before it in the group hold (j - 1)(q - 1) / (g - 1) positives on average.

Where no item is positive, every function returns NaN: what that counts for is the protocol's decision, not
the ranking's.

Each definition is a `Precision` at the end of this file; `benchmarks` makes measures of a label rule and a definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class _Ties:
    """Groups of equal scores, the best first: first index, size, positives inside, positives before."""

    start: Integers
    size: Integers
    hits: Integers
    before: Integers

    def __getitem__(self, part: slice) -> _Ties:
        return _Ties(self.start[part], self.size[part], self.hits[part], self.before[part])


def _ties(scores: ArrayLike, positive: ArrayLike) -> _Ties:
    """Checks the two arrays and sorts them into groups of equal scores."""
    values, labels = np.asarray(scores, np.float64), np.asarray(positive, np.bool_)
    if values.ndim != 1 or values.shape != labels.shape:
        raise ValueError(f"scores and positive must be of one shape (n,), not {values.shape} and {labels.shape}")
    if np.isnan(values).any():
        raise ValueError(f"scores must not be NaN: {int(np.isnan(values).sum())} of {len(values)} are")
    order = np.argsort(-values)
    ranked = values[order]
    # Compared and not subtracted: the difference of two infinities is NaN, that of two huge scores overflows.
    start = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])[: len(ranked)])
    hits = np.add.reduceat(labels[order].astype(np.int64), start) if len(start) else np.zeros(0, np.int64)
    return _Ties(start, np.diff(start, append=len(ranked)), hits, np.cumsum(hits) - hits)


def _expected(ties: _Ties) -> tuple[Integers, Floats, Floats]:
    """Each place's index, its probability of a positive, and the positives expected before it if so."""
    start, size, hits, before = (np.repeat(x, ties.size) for x in (ties.start, ties.size, ties.hits, ties.before))
    offset = np.arange(len(start)) - np.repeat(np.cumsum(ties.size) - ties.size, ties.size)
    earlier = before + offset * (hits - 1) / np.maximum(size - 1, 1)
    return start + offset, hits / size, earlier


def _trapezoid_area(ties: _Ties) -> float:
    """Expected trapezoid area of the groups, times the number of positives that recall is relative to."""
    index, probability, earlier = _expected(ties)
    previous = np.where(index > 0, earlier / np.maximum(index, 1), 1.0)
    return float(np.sum(probability * (previous + (earlier + 1) / (index + 1)) / 2))


def average_precision(
    scores: ArrayLike, positive: ArrayLike, definition: Literal["trapezoid", "step"] = "trapezoid"
) -> float:
    """Area under precision over recall for the whole ranking.

    Args:
        scores: (n,) any real numbers, the highest ranked first; only their order matters.
        positive: (n,) which items are positives.
        definition: `trapezoid` (ties: the mean over orders) or `step` (ties: one threshold).

    Returns:
        A number in [0, 1]; NaN if no item is positive.

    Raises:
        ValueError: a score is NaN, the shapes differ, or the definition is unknown.

    >>> average_precision([0.9, 0.5, 0.1], [True, False, True], "step").__round__(4)  # (1/1 + 2/3) / 2
    0.8333
    >>> average_precision([0.9, 0.5, 0.1], [True, False, True]).__round__(4)  # ((1 + 1)/2 + (1/2 + 2/3)/2) / 2
    0.7917
    """
    ties = _ties(scores, positive)
    positives = int(ties.hits.sum())
    if definition not in ("trapezoid", "step"):
        raise ValueError(f"definition must be trapezoid or step, not {definition!r}")
    if positives == 0:
        return math.nan
    if definition == "trapezoid":
        return _trapezoid_area(ties) / positives
    precision = (ties.before + ties.hits) / (ties.start + ties.size)
    return float(np.sum(ties.hits * precision)) / positives


def top_average_precision(scores: ArrayLike, positive: ArrayLike, k: int = 5) -> float:
    """Trapezoid over the first k items, recall relative to the positives among them (MINI-Net, UMT).

    The divisor depends on how many positives of a tied group fall above the cut, so the mean over orders is
    taken for each such number t, weighted by its hypergeometric probability; given t, the items above the cut
    are themselves a tied group with t positives.

    Args:
        scores: (n,) any real numbers, the highest ranked first.
        positive: (n,) which items are positives.
        k: length of the list, at least 1; a shorter ranking is taken whole.

    Returns:
        A number in [0, 1]: 0 if no positive is among the first k, NaN if there is none at all.

    Raises:
        ValueError: a score is NaN, the shapes differ, or k is below 1.

    >>> top_average_precision([5, 4, 3, 2, 1, 0], [True, False, False, False, False, True])
    1.0
    """
    ties = _ties(scores, positive)
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if not ties.hits.any():
        return math.nan
    cut = min(k, int(ties.size.sum()))
    last = int(np.searchsorted(ties.start, cut - 1, side="right")) - 1
    start, size, hits, before = (int(x[last]) for x in (ties.start, ties.size, ties.hits, ties.before))
    above, kept = _trapezoid_area(ties[:last]), cut - start
    value = 0.0
    for t in range(max(0, kept - (size - hits)), min(kept, hits) + 1):
        if before + t > 0:
            probability = math.comb(hits, t) * math.comb(size - hits, kept - t) / math.comb(size, kept)
            inside = _Ties(np.array([start]), np.array([kept]), np.array([t]), np.array([before]))
            value += probability * (above + _trapezoid_area(inside)) / (before + t)
    return value


def average_precision_at_k(scores: ArrayLike, positive: ArrayLike, k: int = 5) -> float:
    """AP@k: the precisions at the positives among the first k, summed and divided by min(k, positives).

    Args:
        scores: (n,) any real numbers, the highest ranked first; of ties, the mean over orders.
        positive: (n,) which items are positives.
        k: length of the list, at least 1.

    Returns:
        A number in [0, 1]; NaN if no item is positive.

    Raises:
        ValueError: a score is NaN, the shapes differ, or k is below 1.

    >>> average_precision_at_k([5, 4, 3, 2, 1, 0], [True, False, False, False, False, True])  # misses one
    0.5
    """
    ties = _ties(scores, positive)
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    positives = int(ties.hits.sum())
    if positives == 0:
        return math.nan
    index, probability, earlier = _expected(ties)
    return float(np.sum((probability * (earlier + 1) / (index + 1))[:k])) / min(k, positives)


def _precision(hits: Bools) -> Floats:
    """Precision P_i at each place i = 1..m, along the last axis."""
    return np.asarray(np.cumsum(hits, axis=-1, dtype=np.float64) / np.arange(1, hits.shape[-1] + 1))


def _ratio(area: Floats, divisor: ArrayLike, positives: ArrayLike) -> Floats:
    """area / divisor, 0 where the divisor is, NaN where there are no positives."""
    return np.where(np.asarray(positives) > 0, area / np.maximum(divisor, 1), np.nan)


def ranked_trapezoid(hits: Bools, positives: ArrayLike) -> Floats:
    """`average_precision(..., "trapezoid")` of many orders at once.

    Args:
        hits: (..., m) whether the item at each place, the best first, is a positive; the whole ranking.
        positives: (...) number of positives, which recall is relative to.

    Returns:
        (...) numbers in [0, 1], NaN where there are no positives.
    """
    precision = _precision(hits)
    previous = np.concatenate([np.ones_like(precision[..., :1]), precision[..., :-1]], axis=-1)
    return _ratio(np.sum(hits * (previous + precision), axis=-1) / 2, positives, positives)


def ranked_step(hits: Bools, positives: ArrayLike) -> Floats:
    """`average_precision(..., "step")` of many orders at once; as `ranked_trapezoid`."""
    return _ratio(np.sum(hits * _precision(hits), axis=-1), positives, positives)


def ranked_top(hits: Bools, positives: ArrayLike, k: int = 5) -> Floats:
    """`top_average_precision` of many orders at once; m >= min(k, n) places of `hits` suffice."""
    area = ranked_trapezoid(hits[..., :k], np.ones(hits.shape[:-1]))
    return _ratio(area, np.sum(hits[..., :k], axis=-1), positives)


def ranked_at_k(hits: Bools, positives: ArrayLike, k: int = 5) -> Floats:
    """`average_precision_at_k` of many orders at once; m >= min(k, n) places of `hits` suffice."""
    area = ranked_step(hits[..., :k], np.ones(hits.shape[:-1]))
    return _ratio(area, np.minimum(k, positives), positives)


@dataclass(frozen=True)
class Precision:
    """One definition of average precision: of scores, of many orders at once, and of chance.

    Attributes:
        of_scores: scores (n,) and positives (n,) to a number.
        of_ranking: hits (..., m) in ranked order and the number of positives (...) to numbers (...).
        of_chance: positives (n,) to the mean over all orders, in closed form.
        depth: how many places of a ranking `of_ranking` needs; None for all.
    """

    of_scores: Callable[[ArrayLike, ArrayLike], float]
    of_ranking: Callable[[Bools, ArrayLike], Floats]
    of_chance: Callable[[Bools], float]
    depth: int | None


def _all_tied(of_scores: Callable[[ArrayLike, ArrayLike], float]) -> Callable[[Bools], float]:
    """Chance under a definition that takes ties as the mean over their orders: everything ties."""
    return lambda positive: of_scores(np.zeros(len(positive)), positive)


def _step_chance(positive: Bools) -> float:
    # Without ties, `step` is AP@n; and AP@n, unlike `step`, takes ties as the mean over their orders.
    return average_precision_at_k(np.zeros(len(positive)), positive, k=len(positive))


TRAPEZOID = Precision(average_precision, ranked_trapezoid, _all_tied(average_precision), None)
STEP = Precision(partial(average_precision, definition="step"), ranked_step, _step_chance, None)
TOP5 = Precision(top_average_precision, ranked_top, _all_tied(top_average_precision), 5)
AP5 = Precision(average_precision_at_k, ranked_at_k, _all_tied(average_precision_at_k), 5)
