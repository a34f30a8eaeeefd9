"""Videos and windows are drawn as stated."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from highlight_lit.data.sampling import EpochPlan


@settings(deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 90), st.integers(1, 50), st.integers(0, 9), st.integers(0, 3)
)
def test_an_epoch_deals_positives_and_negatives_evenly(
    positives: int, negatives: int, tau: int, pairs: int, seed: int, epoch: int
) -> None:
    clips = np.random.default_rng(0).integers(1, 120, positives + negatives)
    positive, negative = np.arange(positives), np.arange(positives, positives + negatives)
    plan = EpochPlan(clips, positive, negative, tau=tau, pairs=pairs, seed=seed)
    draws = list(plan.draws(epoch))
    assert len(draws) == len(plan)
    halves = [np.split(draw.video, 2) for draw in draws]
    for dealt, deck in (
        (np.concatenate([h[0] for h in halves]), positive),
        (np.concatenate([h[1] for h in halves]), negative),
    ):
        counts = Counter(dealt.tolist())
        assert set(counts) <= set(deck.tolist())
        assert max(counts.values()) - min(counts.get(int(v), 0) for v in deck) <= 1
    dealt_positives = sum(len(h[0]) for h in halves)
    assert dealt_positives == max(positives, pairs)
    for draw in draws:
        assert (draw.start >= 0).all()
        assert (draw.start <= np.maximum(clips[draw.video] - tau, 0)).all()


def test_the_batches_of_an_epoch_depend_on_seed_and_epoch_alone() -> None:
    clips = np.full(20, 100)
    make = lambda seed: EpochPlan(clips, np.arange(8), np.arange(8, 20), tau=5, pairs=3, seed=seed)  # noqa: E731
    same, again = (np.concatenate([np.concatenate(d[:2]) for d in make(0).draws(2)]) for _ in range(2))
    np.testing.assert_array_equal(same, again)
    for other in (make(1).draws(2), make(0).draws(3)):
        assert not np.array_equal(same, np.concatenate([np.concatenate(d[:2]) for d in other]))


def test_every_window_of_a_long_video_is_drawn_about_as_often() -> None:
    plan = EpochPlan(np.array([14, 14]), np.array([0]), np.array([1]), tau=10, pairs=1000, seed=0)
    starts = np.bincount(next(iter(plan.draws(0))).start, minlength=5)
    assert len(starts) == 5
    assert starts.min() > 330
