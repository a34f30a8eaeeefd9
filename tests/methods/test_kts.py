"""Kernel temporal segmentation against planted change points and exhaustive search."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.methods.representatives import kts
from tests.tolerance import FUNCTION, assert_near


def _exhaustive(x: np.ndarray, penalty: float) -> float:
    """Least cost over all sets of change points, straight from the formula."""
    n = len(x)
    best = np.inf
    for m in range(n):
        for points in itertools.combinations(range(1, n), m):
            parts = np.split(x, points)
            scatter = sum(np.square(part - part.mean(0)).sum() for part in parts) / n
            best = min(best, scatter + (penalty * m / n * (np.log(n / m) + 1) if m else 0.0))
    return float(best)


def _cost(x: np.ndarray, points: list[int], penalty: float) -> float:
    n, m = len(x), len(points)
    scatter = sum(np.square(part - part.mean(0)).sum() for part in np.split(x, points)) / n
    return float(scatter + (penalty * m / n * (np.log(n / m) + 1) if m else 0.0))


@given(st.integers(1, 9), st.integers(0, 10_000), st.sampled_from([0.02, 0.3, 1.0]))
def test_it_costs_as_little_as_the_best_of_all_segmentations(n: int, seed: int, penalty: float) -> None:
    x = np.random.default_rng(seed).normal(size=(n, 3))
    points = kts.change_points(x @ x.T, penalty)
    apart = (3 * n, n, FUNCTION)  # of the kernel and the scatters; a segmentation that costs the same may be found
    assert_near(_cost(x, points, penalty), _exhaustive(x, penalty), *apart, scale=1 + np.square(x).sum())


def test_it_finds_planted_change_points_under_noise() -> None:
    rng = np.random.default_rng(0)
    lengths = [12, 7, 30, 11]
    x = np.repeat(np.eye(4), lengths, axis=0) + 0.05 * rng.normal(size=(60, 4))
    assert kts.segments(x, 0.5) == [(0, 12), (12, 19), (19, 49), (49, 60)]


@pytest.mark.parametrize("n", [1, 2, 50])
def test_identical_clips_are_one_segment(n: int) -> None:
    assert kts.segments(np.ones((n, 3))) == [(0, n)]


def test_segments_cover_a_video_that_is_longer_than_is_cut_at_once() -> None:
    x = np.repeat(np.eye(3), [999, 900, 801], axis=0)
    assert kts.segments(x, 0.5) == [(0, 999), (999, 1899), (1899, 2700)]
