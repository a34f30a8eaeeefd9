"""Bags hold the rows of their videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.sampling import Draw
from highlight_lit.data.stores.resident import ResidentStore
from highlight_lit.data.video import Stream, Video


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
