"""Average precision agrees with its definitions, spelled out as loops over every order of the ties."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby, permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.evaluation.ranking import (
    AP5,
    STEP,
    TOP5,
    TRAPEZOID,
    Bools,
    Floats,
    Precision,
    average_precision,
    average_precision_at_k,
    top_average_precision,
)
from tests.tolerance import FUNCTION, assert_near, rounding

ORDERS = 5040  # of seven items, the most whose mean is taken


def trapezoid_loop(ranked: list[bool], positives: int) -> float:
    """The definition walked down place by place, from recall 0 and precision 1."""
    area, hits, recall, precision = 0.0, 0, 0.0, 1.0
    for place, hit in enumerate(ranked, start=1):
        hits += hit
        area += (hits / positives - recall) * (precision + hits / place) / 2
        recall, precision = hits / positives, hits / place
    return area


def top_loop(ranked: list[bool], k: int) -> float:
    return trapezoid_loop(ranked[:k], sum(ranked[:k])) if any(ranked[:k]) else 0.0


def at_k_loop(ranked: list[bool], k: int) -> float:
    precisions = [sum(ranked[: i + 1]) / (i + 1) for i in range(min(k, len(ranked))) if ranked[i]]
    return sum(precisions) / min(k, sum(ranked))


def mean_over_orders(scores: list[int], positive: list[bool], of_order: Callable[[list[bool]], float]) -> float:
    """Mean of a measure over every order that the scores allow."""
    items = sorted(zip(scores, positive, strict=True), key=lambda item: -item[0])
    groups = [[hit for _, hit in tied] for _, tied in groupby(items, key=lambda item: item[0])]
    orders = product(*(permutations(group) for group in groups))
    return float(np.mean([of_order([hit for group in order for hit in group]) for order in orders]))


@st.composite
def tied_rankings(draw: st.DrawFn, most: int = 7) -> tuple[list[int], list[bool]]:
    """Few items of few distinct scores, at least one of them a positive."""
    n = draw(st.integers(1, most))
    scores = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    positive = draw(st.lists(st.booleans(), min_size=n, max_size=n).filter(any))
    return scores, positive


@given(tied_rankings())
def test_trapezoid_is_the_mean_over_all_orders_of_tied_items(ranking: tuple[list[int], list[bool]]) -> None:
    scores, positive = ranking
    expected = mean_over_orders(scores, positive, lambda ranked: trapezoid_loop(ranked, sum(positive)))
    assert_near(average_precision(scores, positive), expected, ORDERS, 7, FUNCTION)


@given(tied_rankings(), st.integers(1, 8))
def test_top_k_is_the_mean_over_all_orders_of_tied_items(ranking: tuple[list[int], list[bool]], k: int) -> None:
    expected = mean_over_orders(*ranking, lambda ranked: top_loop(ranked, k))
    assert_near(top_average_precision(*ranking, k), expected, ORDERS, 7, FUNCTION)


@given(tied_rankings(), st.integers(1, 8))
def test_ap_at_k_is_the_mean_over_all_orders_of_tied_items(ranking: tuple[list[int], list[bool]], k: int) -> None:
    expected = mean_over_orders(*ranking, lambda ranked: at_k_loop(ranked, k))
    assert_near(average_precision_at_k(*ranking, k), expected, ORDERS, 7, FUNCTION)


@given(tied_rankings())
def test_chance_is_the_mean_over_all_orders(ranking: tuple[list[int], list[bool]]) -> None:
    positive = np.array(ranking[1])
    for precision in (TRAPEZOID, STEP, TOP5, AP5):
        orders = np.array(list(permutations(positive)))
        mean = precision.of_ranking(orders, np.full(len(orders), positive.sum())).mean()
        assert_near(precision.of_chance(positive), mean, ORDERS, 7, FUNCTION)


@given(
    st.lists(
        st.tuples(st.sampled_from([-1e300, -7.5, -1.0, 0.0, 1e-300, 0.5, 0.5000001, 3.0, 1e300]), st.booleans()),
        min_size=1,
        max_size=40,
    ).filter(lambda items: any(hit for _, hit in items))
)
def test_step_equals_scikit_learn_with_ties_negative_and_huge_scores(items: list[tuple[float, bool]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra methods")
    scores, positive = (np.array(column) for column in zip(*items, strict=True))
    expected = metrics.average_precision_score(positive, scores)
    assert_near(average_precision(scores, positive, "step"), expected, 40, FUNCTION)


@pytest.mark.parametrize("definition", [TRAPEZOID, STEP, TOP5, AP5], ids=["trapezoid", "step", "top5", "ap5"])
def test_many_orders_at_once_equal_one_at_a_time(definition: Precision) -> None:
    rng = np.random.default_rng(0)
    for n in (1, 3, 5, 30):
        positive = rng.random(n) < 0.4
        positive[0] = True
        ranking = np.argsort(rng.random((20, n)), axis=1)
        together = definition.of_ranking(positive[ranking][:, : definition.depth], np.full(20, positive.sum()))
        alone = [definition.of_scores(-np.argsort(order), positive) for order in ranking]
        assert_near(together, alone, n, FUNCTION)


def test_trapezoid_equals_the_released_loop_on_long_rankings_without_ties() -> None:
    rng = np.random.default_rng(1)
    for n in (10, 200, 1000):
        scores, positive = rng.normal(size=n), rng.random(n) < 0.3
        positive[0] = True
        ranked = positive[np.argsort(-scores)].tolist()
        expected = trapezoid_loop(ranked, int(positive.sum()))
        assert_near(average_precision(scores, positive), expected, n, FUNCTION)


@given(tied_rankings(most=30), st.randoms(use_true_random=False))
def test_only_the_order_of_the_scores_counts(ranking: tuple[list[int], list[bool]], random: object) -> None:
    scores, positive = np.array(ranking[0], np.float64), np.array(ranking[1])
    shuffle = np.random.default_rng(random.getrandbits(32)).permutation(len(scores))  # type: ignore[attr-defined]
    for definition in (TRAPEZOID, STEP, TOP5, AP5):
        value = definition.of_scores(scores, positive)
        assert 0 <= value <= 1 + rounding(30, FUNCTION)
        for same in (np.exp(scores) - 5, -1e300 + 1e299 * scores, np.where(scores == 2, np.inf, scores)):
            assert_near(definition.of_scores(same, positive), value, 30, FUNCTION)
        assert_near(definition.of_scores(scores[shuffle], positive[shuffle]), value, 30, FUNCTION)


@given(st.integers(1, 30), st.integers(1, 30))
def test_all_positives_first_is_perfect(positives: int, negatives: int) -> None:
    positive = np.arange(positives + negatives) < positives
    for definition in (TRAPEZOID, STEP, TOP5, AP5):
        assert_near(definition.of_scores(-np.arange(len(positive)), positive), 1.0, 60, FUNCTION)


def test_recall_is_relative_to_the_hits_inside_the_top_k() -> None:
    one_of_many: Bools = np.array([True, False, False, False, False, True, True, True])
    falling: Floats = -np.arange(8.0)
    assert top_average_precision(falling, one_of_many) == 1.0
    assert average_precision_at_k(falling, one_of_many) == 0.25
    assert top_average_precision(-falling, [True] + [False] * 7) == 0.0


def test_a_tie_across_the_cut_of_a_long_ranking_is_weighed_exactly() -> None:
    n, positives = 3000, 1200
    rng = np.random.default_rng(2)
    positive = np.arange(n) < positives
    drawn = TOP5.of_ranking(positive[rng.integers(n, size=(400_000, 5))], np.full(400_000, positives))
    apart = 4 * drawn.std() / len(drawn) ** 0.5  # four standard deviations of the mean of what was drawn
    assert top_average_precision(np.zeros(n), positive) == pytest.approx(drawn.mean(), abs=apart)


def test_no_positive_is_nan_in_every_definition() -> None:
    for definition in (TRAPEZOID, STEP, TOP5, AP5):
        assert np.isnan(definition.of_scores([1.0, 2.0], [False, False]))
        assert np.isnan(definition.of_chance(np.zeros(2, np.bool_)))
        assert np.isnan(definition.of_ranking(np.zeros((3, 2), np.bool_), np.zeros(3))).all()
    assert np.isnan(average_precision([], []))


def test_bad_input_is_refused() -> None:
    for definition in (TRAPEZOID, STEP, TOP5, AP5):
        with pytest.raises(ValueError, match="NaN: 1 of 2"):
            definition.of_scores([0.0, np.nan], [True, False])
        with pytest.raises(ValueError, match="shape"):
            definition.of_scores([0.0], [True, False])
    with pytest.raises(ValueError, match="definition"):
        average_precision([0.0], [True], "area")  # type: ignore[arg-type]
    for function in (top_average_precision, average_precision_at_k):
        with pytest.raises(ValueError, match="at least 1"):
            function([0.0], [True], 0)
