"""Intervals, paired tests and corrections against scipy and results known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped,unused-ignore]

from highlight_lit.errors import InputError
from highlight_lit.evaluation import intervals
from highlight_lit.evaluation.intervals import holm, paired_bootstrap, t_interval
from tests.tolerance import FUNCTION, assert_near, rounding


@given(st.lists(st.integers(0, 1000).map(lambda i: i / 1000), min_size=2, max_size=10))
def test_the_interval_holds_the_means_that_a_t_test_would_not_reject(values: list[float]) -> None:
    interval = t_interval(values)
    assert_near(interval.mean, np.mean(values), len(values))
    if interval.std > 1e-9:
        for bound in (interval.low, interval.high):
            # t is known to the roundings of the means over half the interval; scipy inverts its distribution to 1e-10.
            apart = 1e-10 + rounding(len(values), FUNCTION) / (interval.high - interval.mean)
            assert stats.ttest_1samp(values, bound).pvalue == pytest.approx(0.05, abs=apart)


def test_one_seed_has_no_interval() -> None:
    interval = t_interval([0.6])
    assert (interval.mean, interval.n) == (0.6, 1)
    assert all(map(math.isnan, (interval.std, interval.low, interval.high)))
    for bad in ([], [0.1, math.nan], [[0.1]]):
        with pytest.raises(InputError):
            t_interval(bad)


def test_the_bootstrap_of_one_topic_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.62, 0.1, 60), rng.normal(0.58, 0.1, 60)
    result = paired_bootstrap(ours, theirs, ["dog"] * 60)
    peer = stats.bootstrap((ours - theirs,), np.mean, method="percentile", n_resamples=10_000, rng=1)
    assert_near(result.difference, np.mean(ours - theirs), 60)
    # 10,000 draws know a 2.5 % quantile of a normal distribution to sqrt(0.025 0.975 / 10,000) / 0.0584 = 0.027 of its
    # standard deviation; four times that, for two such samples.
    apart = 4 * 2**0.5 * 0.027 * np.std(ours - theirs) / 60**0.5
    assert (result.low, result.high) == pytest.approx(peer.confidence_interval, abs=apart)
    assert result.p == pytest.approx(stats.ttest_rel(ours, theirs).pvalue, abs=0.03)  # two tests, alike for 60 videos


def test_topics_weigh_the_same_and_are_drawn_from_separately() -> None:
    """Two topics that differ from each other but not within: nothing is left to chance."""
    result = paired_bootstrap([0.5] * 8, [0.4] * 2 + [0.2] * 6, ["a"] * 2 + ["b"] * 6)
    assert_near([result.difference, result.low, result.high], [0.2, 0.2, 0.2], 8, FUNCTION)
    assert_near(result.p, 2 / 10_001, FUNCTION)


def test_topics_of_one_video_are_drawn_from_together() -> None:
    rng = np.random.default_rng(3)
    ours, theirs = rng.random(10), rng.random(10)
    single = paired_bootstrap(ours, theirs, list("abcdefghij"))
    assert single == paired_bootstrap(ours, theirs, ["a"] * 10)
    assert single.high - single.low > 0.1


def test_equal_rankings_do_not_differ_and_swapping_them_turns_the_sign() -> None:
    rng = np.random.default_rng(4)
    ours, theirs, topics = rng.random(12), rng.random(12), ["a"] * 5 + ["b"] * 7
    assert paired_bootstrap(ours, ours, topics).p == 1.0
    one, other = paired_bootstrap(ours, theirs, topics), paired_bootstrap(theirs, ours, topics)
    assert_near([one.difference, one.low, one.high], [-other.difference, -other.high, -other.low], 12, FUNCTION)
    assert one.p == other.p


def test_the_p_value_is_near_uniform_where_nothing_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 400)
    rng = np.random.default_rng(5)
    topics = ["a"] * 20 + ["b"] * 30
    pairs = rng.normal(size=(300, 2, 50))
    p = [paired_bootstrap(ours, theirs, topics).p for ours, theirs in pairs]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.10
    assert np.mean(p) == pytest.approx(0.5, abs=4 / (12 * 300) ** 0.5)  # four standard deviations of 300 uniform p


def test_a_video_left_out_of_both_is_ignored_and_of_one_refused() -> None:
    topics = ["a", "a", "a"]
    whole = paired_bootstrap([0.5, 0.7], [0.4, 0.2], ["a", "a"])
    assert paired_bootstrap([0.5, math.nan, 0.7], [0.4, math.nan, 0.2], topics) == whole
    with pytest.raises(InputError, match="same videos"):
        paired_bootstrap([0.5, math.nan, 0.7], [0.4, 0.3, 0.2], topics)
    with pytest.raises(InputError, match="one length"):
        paired_bootstrap([0.5, 0.7], [0.4, 0.2], topics)
    with pytest.raises(InputError, match="two videos"):
        paired_bootstrap([0.5], [0.4], ["a"])


def test_holm_on_a_worked_example() -> None:
    assert_near(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02], 1)
    assert holm([]).shape == (0,)
    for bad in ([1.1], [math.nan], [[0.5]]):
        with pytest.raises(InputError):
            holm(bad)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.2))
def test_holm_rejects_what_stepping_down_rejects(p: list[float], level: float) -> None:
    rejected = set()
    for step, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if p[i] * (len(p) - step) > level:
            break
        rejected.add(i)
    assert {i for i, adjusted in enumerate(holm(p)) if adjusted <= level} == rejected
