"""Bags are drawn as stated, and hold the rows of their videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.data.sampling import Draw, EpochPlan
from highlight_lit.data.shards.hdf5 import HDF5
from highlight_lit.data.shards.reader import Shard
from highlight_lit.data.stores.resident import ResidentStore
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError


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


def test_a_bag_holds_consecutive_rows_of_its_video_and_masks_what_lies_beyond(corpus: Corpus) -> None:
    videos = np.array([3, 0, 7])
    store = ResidentStore(corpus, videos, ("visual", "audio"))
    short = int(corpus.clips[0])
    bags = store.bags(Draw(np.array([7, 0]), np.array([2, 0]), positive=1), tau=short + 3)
    assert bags.visual is not None
    assert bags.audio is not None
    assert bags.mask.sum(1).tolist() == [min(int(corpus.clips[7]) - 2, short + 3), short]
    np.testing.assert_array_equal(bags.visual[1, :short].numpy(), corpus.rows(0, "visual"))
    np.testing.assert_array_equal(bags.audio[0, :5].numpy(), corpus.rows(7, "audio")[2:7])
    assert not bags.audio_mask[~bags.mask].any()
    assert bags.label.tolist() == [1.0, 0.0]


def test_the_resident_store_holds_each_videos_rows_and_where_it_is_heard(
    tmp_path: Path, make_video: Callable[..., Video]
) -> None:
    audio_mask = {clips: np.arange(clips) % 3 != clips % 2 for clips in (5, 9, 16, 33, 70)}
    videos = [make_video(str(clips), clips, audio_mask=audio_mask[clips]) for clips in audio_mask]
    streams = {"visual": Stream(4), "audio": Stream(3)}
    write_corpus(tmp_path / "c", videos, streams, name="c", clip_seconds=1.0, shard_bytes=400)
    corpus = Corpus(tmp_path / "c")
    assert len(corpus.shards) > 2
    order = np.array([3, 0, 4, 2])
    store = ResidentStore(corpus, order, ("visual", "audio"))
    for name in ("visual", "audio"):
        expected = np.concatenate([corpus.rows(int(video), name) for video in order])
        np.testing.assert_array_equal(store.rows[name].numpy(), expected)
    assert (
        store.rows["audio_mask"].bool().tolist()
        == np.concatenate([audio_mask[int(corpus.clips[video])] for video in order]).tolist()
    )


def test_training_never_reads_a_clip_label(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise AssertionError("training read a label")

    monkeypatch.setattr(Shard, "labels", raises)
    dataset = HDF5.__getitem__
    monkeypatch.setattr(
        HDF5, "__getitem__", lambda f, name: raises() if name.startswith("label_s") else dataset(f, name)
    )
    data = HighlightData(corpus, "topic01", ("visual", "audio"), tau=8, pairs=4)
    data.statistics()
    assert [bags.visual.dtype for bags in data.train_dataloader()] == [torch.float16] * len(data.plan)


def test_a_stream_the_corpus_lacks_is_refused(corpus: Corpus) -> None:
    corpus.streams = {"visual": corpus.streams["visual"]}
    with pytest.raises(InputError, match="audio: no such stream; the corpus has visual"):
        HighlightData(corpus, "topic01", ("visual", "audio"))
