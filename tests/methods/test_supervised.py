"""The supervised methods: identities by enumeration, and labels that are linear in the features."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from highlight_lit.methods import METHODS
from highlight_lit.methods.supervised import dpp, submodular
from highlight_lit.methods.supervised.videos import Labelled, SupervisedVideos
from highlight_lit.methods.videos import Clips
from tests.tolerance import FUNCTION, assert_near

SUPERVISED = [name for name, method in METHODS.items() if method.supervision == "full"]


def _subsets(n: int) -> list[torch.Tensor]:
    return [torch.tensor(kept) for kept in itertools.product([False, True], repeat=n)]


def _kernel(n: int, seed: int) -> torch.Tensor:
    x = torch.randn(n, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        L: torch.Tensor = dpp.Kernel(6).double()(x).detach()
    return L


@pytest.mark.parametrize("before", [0, 1, 2])
def test_dpp_likelihood_equals_the_enumeration_of_all_subsets(before: int) -> None:
    L = _kernel(before + 5, before)
    subsets = _subsets(5)
    kept_before = torch.ones(before, dtype=torch.bool)
    weight = torch.stack([torch.linalg.det(L[c][:, c]) for c in (torch.cat([kept_before, s]) for s in subsets)])
    expected = (weight / weight.sum()).log()
    found = torch.stack([dpp.log_likelihood(L, before, subset) for subset in subsets])
    # A determinant of n rows is off by n^2 roundings times the condition of its matrix, no worse than that of L.
    scale = torch.linalg.cond(L).item() + expected.abs().max().item()
    assert_near(found, expected, len(L) ** 2, len(subsets), FUNCTION, scale=scale)


@pytest.mark.parametrize("before", [0, 2])
def test_dpp_marginals_equal_the_enumeration_of_all_subsets(before: int) -> None:
    L = _kernel(before + 4, 7)
    subsets = _subsets(4)
    p = torch.stack([dpp.log_likelihood(L, before, subset) for subset in subsets]).exp()
    expected = (torch.stack(subsets).double() * p[:, None]).sum(0)
    assert_near(
        dpp.marginals(L, before), expected, len(L) ** 2, len(subsets), FUNCTION, scale=torch.linalg.cond(L).item()
    )


def test_dpp_kernel_stays_positive_definite_for_identical_clips() -> None:
    kernel = dpp.Kernel(3).double()
    assert torch.linalg.eigvalsh(kernel(torch.ones(6, 3, dtype=torch.float64))).min() > 0


@pytest.mark.parametrize("seed", range(8))
def test_submodular_greedy_is_within_1_minus_1_over_e_of_the_best_of_all_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = 8, 3
    x = rng.normal(size=(n, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    nearness = np.exp(-np.abs(np.subtract.outer(np.arange(n), np.arange(n))) / 2.0)
    of = submodular.Objectives(rng.random(n), (1 + x @ x.T) / 2, nearness)
    weight = rng.random(3)
    best = max(weight @ of.values(list(s), k) for s in itertools.combinations(range(n), k))
    found = weight @ of.values(submodular.greedy(of, weight, k)[0], k)
    assert best >= found >= (1 - 1 / np.e) * best


def test_submodular_gains_are_the_differences_of_the_objective() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((6, 6)), rng.random((6, 6))
    of = submodular.Objectives(rng.random(6), (a + a.T) / 2, (b + b.T) / 2)
    weight = np.array([0.5, 0.3, 0.2])
    chosen, gain = submodular.greedy(of, weight, 3)
    for other in set(range(6)) - set(chosen):
        difference = weight @ (of.values([*chosen, other], 3) - of.values(chosen, 3))
        assert_near(gain[other], difference, 3 * 36, 3)


def _linear_videos(videos: int) -> tuple[list[Labelled], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    direction = rng.normal(size=12)
    found = []
    for number in range(videos):
        x = rng.normal(size=(40, 12)).astype(np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        span = np.stack([np.arange(40), np.arange(1, 41)], 1).astype(np.float64)
        found.append(Labelled(Clips(f"v{number}", 40.0, span, x), (x @ direction > 0.8).astype(np.float64)))
    return found, [of.label for of in found]


@pytest.mark.parametrize("name", SUPERVISED)
def test_labels_that_are_linear_in_the_features_are_learned(name: str) -> None:
    found, labels = _linear_videos(24)
    videos = SupervisedVideos("t", tuple(found[:16]), tuple(of.video for of in found[16:]))
    for scores, label in zip(METHODS[name].score(videos, 0), labels[16:], strict=True):
        pairs = scores[label > 0][:, None] > scores[label == 0]
        assert pairs.mean() > 0.85  # area under the ROC curve, on videos not trained on


def test_the_gains_of_a_long_video_are_found_some_clips_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    objectives = submodular.Objectives(rng.random(50), rng.random((50, 9)), rng.random((50, 9)))
    chosen, gain = submodular.greedy(objectives, np.array([0.2, 0.5, 0.3]), 7)
    monkeypatch.setattr(submodular, "ROWS", 8)
    few, of_few = submodular.greedy(objectives, np.array([0.2, 0.5, 0.3]), 7)
    assert few == chosen
    np.testing.assert_array_equal(of_few, gain)
