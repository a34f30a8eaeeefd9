"""The training-free teacher: what comes back across a topic's videos, where the picture changes."""

from __future__ import annotations

import numpy as np
import pytest

from highlight_lit.methods.numerics import unit
from highlight_lit.methods.recurrence.recurrence_change import change, ranks, score, smooth, standard, teach
from highlight_lit.methods.videos import Clips, Videos


def clips(name: str, v: np.ndarray, a: np.ndarray | None = None) -> Clips:
    """A video as `ComparableFeatures.clips` gives it, of streams with mean 0 over training."""
    streams = [v] if a is None else [v, a]
    rows = np.concatenate([unit(x) / np.sqrt(len(streams)) for x in streams], axis=1)
    size = np.stack([np.linalg.norm(x, axis=1) for x in streams], axis=1)
    span = np.stack([np.arange(len(v)), np.arange(1, len(v) + 1)], axis=1).astype(np.float64)
    widths = tuple(x.shape[1] for x in streams)
    return Clips(
        name, float(len(v)), span, rows.astype(np.float32), widths, (size * np.sqrt(len(streams))).astype(np.float32)
    )


def test_it_equals_its_formula_clip_by_clip() -> None:
    rng = np.random.default_rng(0)
    raw = {
        name: (rng.normal(size=(n, 6)), rng.normal(size=(n, 4))) for name, n in zip("pqnx", (7, 4, 9, 8), strict=True)
    }
    made = {name: clips(name, *streams) for name, streams in raw.items()}
    videos = Videos("t", (made["p"], made["q"]), (made["n"],), (), (made["x"], made["p"]))

    def row(name: str) -> np.ndarray:
        v, a = raw[name]
        return np.concatenate([unit(v), np.sqrt(0.5) * unit(a - a.mean(axis=0))], axis=1)

    for video, found in zip(videos.evaluation, score(videos), strict=True):
        own, v = row(video.id), raw[video.id][0]
        recurrence, moved = [], []
        for t in range(len(own)):
            near = {name: max(float(own[t] @ other) for other in row(name)) for name in "pqn"}
            recurrence.append(np.mean([near[name] for name in "pq" if name != video.id]) - near["n"])
            steps = [abs(v[t] - v[s]) for s in (t - 1, t + 1) if 0 <= s < len(v)]
            moved.append(np.linalg.norm(sum(steps) / len(steps)))
        wanted = np.zeros(len(own))
        for x in (np.array(recurrence), np.array(moved)):
            smoothed = np.array([x[max(t - 2, 0) : t + 3].mean() for t in range(len(x))])
            wanted += (smoothed - smoothed.mean()) / smoothed.std()
        # Rows are kept in float32: inner products are right to 6e-8, and z divides by a spread of some hundredths.
        np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("clips_of", [1, 2, 3, 5])
def test_short_videos_have_finite_scores(clips_of: int) -> None:
    rng = np.random.default_rng(1)
    video = clips("x", rng.normal(size=(clips_of, 3)))
    other = clips("p", rng.normal(size=(4, 3)))
    (found,) = teach(Videos("t", (other,), (other,), (), ()), [video])
    assert found.shape == (clips_of,)
    assert np.isfinite(found).all()


def test_a_video_that_stands_still_is_left_to_recurrence() -> None:
    still = clips("x", np.ones((6, 3)))
    assert change(still).tolist() == [0.0] * 6
    assert standard(change(still)).tolist() == [0.0] * 6


def test_the_mean_over_five_clips_takes_fewer_at_the_ends() -> None:
    np.testing.assert_allclose(smooth(np.array([0.0, 10, 20])), [10, 10, 10], rtol=1e-15)
    np.testing.assert_allclose(smooth(np.arange(7.0)), [1, 1.5, 2, 3, 4, 4.5, 5], rtol=1e-15)


def test_ranks_run_from_0_to_1_and_an_only_clip_has_0() -> None:
    assert ranks(np.array([3.0, 1.0, 2.0])).tolist() == [1.0, 0.0, 0.5]
    assert ranks(np.array([7.0])).tolist() == [0.0]
