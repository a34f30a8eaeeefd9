"""SMRS, Quasi, CVS and MBF on videos whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from highlight_lit.methods.representatives import cvs, mbf, quasi, smrs
from highlight_lit.methods.videos import Clips, Videos
from tests.tolerance import FUNCTION, assert_near


def test_smrs_recovers_the_vertices_that_all_other_clips_are_mixtures_of() -> None:
    rng = np.random.default_rng(0)
    vertices = 3.0 * np.eye(4, 8)
    mixtures = rng.dirichlet(np.ones(4), 40) @ vertices
    y = np.concatenate([mixtures[:20], vertices, mixtures[20:]])
    norms = np.linalg.norm(smrs.coefficients(y, alpha=50.0, iterations=3000), axis=1)
    assert set(np.argsort(-norms)[:4]) == {20, 21, 22, 23}
    assert norms[20:24].min() > 2 * np.delete(norms, [20, 21, 22, 23]).max()


def test_smrs_coefficients_add_up_to_one_a_clip_and_reach_the_objective_of_a_general_solver() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(1)
    y = rng.normal(size=(5, 3))
    alpha = 3.0
    lam = np.linalg.norm(y @ (y - y.mean(0)).T, axis=1).max() / alpha

    def objective(C: NDArray[np.float64]) -> float:
        return float(lam * np.linalg.norm(C, axis=1).sum() + 0.5 * np.square(y.T - y.T @ C).sum())

    C = smrs.coefficients(y, alpha=alpha, iterations=5000)
    assert np.abs(C.sum(0) - 1.0).max() <= 5 * smrs.TOLERANCE  # five coefficients, each as near as it iterates to
    constraint = {"type": "eq", "fun": lambda c: c.reshape(5, 5).sum(0) - 1.0}
    best = min(
        minimize(
            lambda c: objective(c.reshape(5, 5)), rng.random(25), constraints=constraint, options={"maxiter": 500}
        ).fun
        for _ in range(3)
    )
    assert objective(C) == pytest.approx(best, rel=25 * smrs.TOLERANCE)  # flat at its minimum but for the constraint


def test_smrs_finds_clips_that_are_extreme_by_their_length_alone() -> None:
    along = np.array([0.2, -0.4, 0.5, 3.0, -0.3, 0.4, -3.0, -0.2, 0.3, -0.5])
    x = np.sign(along)[:, None] * np.array([[0.6, 0.8]], np.float32)
    size = np.abs(along)[:, None].astype(np.float32)
    video = Clips("v", 10.0, np.zeros((10, 2)), x.astype(np.float32), (2,), size)
    (scores,) = smrs.score(Videos("t", (), (), (), (video,)))
    assert set(np.argsort(-scores)[:2]) == {3, 6}  # the ends of the line that all clips are on
    assert np.delete(scores, [3, 6]).max() < 0.1


def test_smrs_solves_for_512_clips_of_a_video_of_many_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes grows with their square; what is left for the others is to lie between two of them."""
    coefficients, n = smrs.coefficients, 20_000
    solved = []

    def noted(y: NDArray[np.float64]) -> NDArray[np.float64]:
        solved.append(len(y))
        return coefficients(y, iterations=2)

    monkeypatch.setattr(smrs, "coefficients", noted)
    x = np.random.default_rng(0).normal(size=(n, 16)).astype(np.float32)
    span = np.stack([np.arange(n), np.arange(1, n + 1)], 1).astype(np.float64)
    (scores,) = smrs.score(Videos("t", (), (), (), (Clips("v", float(n), span, x),)))
    assert scores.shape == (n,)
    assert solved == [512]


def test_quasi_scores_what_has_not_been_seen_above_what_has() -> None:
    rng = np.random.default_rng(0)
    scenes = np.eye(16)
    scene = np.repeat([0, 1, 0, 1, 2, 0, 1, 2], 10)
    x = scenes[scene] + 0.01 * rng.normal(size=(80, 16))
    error = quasi.novelty(x / np.linalg.norm(x, axis=1, keepdims=True))
    new = [*range(10, 15), *range(40, 45)]  # the first segment of the second scene, and of the third
    assert set(np.argsort(-error)[:10]) == set(new)
    assert np.delete(error, new).max() < 0.5 * error[new].min()  # they are known when they come back


def test_cvs_prefers_the_scene_that_the_topics_other_videos_show() -> None:
    rng = np.random.default_rng(0)

    def scenes(which: list[int]) -> NDArray[np.float64]:
        return np.eye(6)[which] + 0.02 * rng.normal(size=(len(which), 6))

    norms = cvs.row_norms(scenes([0] * 8 + [1] * 8 + [2] * 8), scenes([1] * 40))
    assert norms[8:16].mean() > 2 * max(norms[:8].mean(), norms[16:].mean())


def test_cvs_without_other_videos_still_finds_representatives() -> None:
    norms = cvs.row_norms(np.eye(3)[[0, 0, 1, 1, 2, 2]], np.zeros((0, 3)))
    assert (norms > 0).all()
    assert_near(norms, np.full(6, norms[0]), 6 * 6, 6 * FUNCTION)  # alike by symmetry, however long it iterates


def test_mbf_finds_a_planted_biclique_under_random_edges() -> None:
    rng = np.random.default_rng(0)
    edges = rng.random((40, 30)) < 0.15
    rows, columns = np.array([3, 8, 9, 20, 21, 33, 37]), np.array([1, 2, 7, 11, 25, 29])
    edges[np.ix_(rows, columns)] = True
    found = mbf.biclique(edges)
    assert found[0].tolist() == rows.tolist()
    assert found[1].tolist() == columns.tolist()


def _largest_biclique(edges: NDArray[np.bool_]) -> int:
    best = 0
    for k in range(1, len(edges) + 1):
        for rows in itertools.combinations(range(len(edges)), k):
            best = max(best, k * int(edges[list(rows)].all(0).sum()))
    return best


@pytest.mark.parametrize("seed", range(10))
def test_mbf_gives_maximal_bicliques_near_the_largest(seed: int) -> None:
    edges = np.random.default_rng(seed).random((9, 8)) < 0.5
    rows, columns = mbf.biclique(edges)
    assert edges[np.ix_(rows, columns)].all()
    assert not any(edges[i, columns].all() for i in set(range(9)) - set(rows))
    assert not any(edges[rows, j].all() for j in set(range(8)) - set(columns))
    assert len(rows) * len(columns) >= 0.6 * _largest_biclique(edges)


def test_mbf_scores_the_clips_that_both_videos_share() -> None:
    rng = np.random.default_rng(0)
    similarity = 0.1 * rng.random((20, 15))
    similarity[5:9, 3:8] = 0.9
    found = mbf.shared(similarity)
    assert set(np.argsort(-found)[:4]) == {5, 6, 7, 8}
