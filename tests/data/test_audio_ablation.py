"""Ablations of audio: each takes away what its name says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from highlight_lit.data.audio_ablation import AUDIO_ABLATIONS, AudioAblation, with_audio
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.loaders import VideoLoader
from highlight_lit.data.sampling import Draw
from highlight_lit.data.statistics import statistics
from highlight_lit.data.stores.resident import ResidentStore
from highlight_lit.data.video import Stream, Video

CHANGING = [way for way in AUDIO_ABLATIONS if way != "as_is"]


@pytest.fixture
def partly_silent(tmp_path: Path, make_video: Callable[..., Video]) -> Corpus:
    """Three videos of 7, 1 and 5 clips; clips 2 and 3 of the first, and all of the second, have no audio."""
    mask = np.array([True, True, False, False, True, True, True])
    videos = [make_video("a", 7, audio_mask=mask), make_video("b", 1, audio=None), make_video("c", 5)]
    write_corpus(
        tmp_path / "c", videos, {"visual": Stream(4, dtype="float32"), "audio": Stream(3, dtype="float32")},
        name="c", clip_seconds=1.0,
    )  # fmt: skip
    return Corpus(tmp_path / "c")


def test_centred_has_no_mean_mean_has_no_time_and_shuffled_has_the_same_clips(partly_silent: Corpus) -> None:
    as_is = partly_silent.rows(0, "audio")
    there = partly_silent.rows(0, "audio_mask").astype(bool)
    found = {way: with_audio(partly_silent, way, 3).rows(0, "audio") for way in AUDIO_ABLATIONS}
    np.testing.assert_array_equal(found["as_is"], as_is)
    # Rounded once to float32 from a mean in float64 of values under 4: each to 2^-22, and a mean of five of them too.
    np.testing.assert_allclose(found["centred"][there].mean(axis=0, dtype=np.float64), 0, atol=2**-22)
    np.testing.assert_allclose(
        found["mean"][there], np.broadcast_to(as_is[there].mean(axis=0, dtype=np.float64), (5, 3)), atol=2**-22
    )
    assert sorted(map(tuple, found["shuffled"][there])) == sorted(map(tuple, as_is[there]))
    assert not np.array_equal(found["shuffled"], as_is)
    for way in CHANGING:
        np.testing.assert_array_equal(found[way][~there], as_is[~there])


@pytest.mark.parametrize("way", CHANGING)
def test_training_statistics_and_evaluation_read_the_same_rows(partly_silent: Corpus, way: str) -> None:
    view = with_audio(partly_silent, way, 0)
    videos = np.array([2, 0, 1])
    store = ResidentStore(view, videos, ["visual", "audio"])
    bags = store.bags(Draw(videos, np.zeros(3, np.int64), positive=3), tau=7)
    assert bags.audio is not None
    rows, there = [], []
    for bag, (video, whole) in enumerate(VideoLoader(view, videos, ["visual", "audio"])):
        assert whole.audio is not None
        clips = int(view.clips[video])
        assert torch.equal(bags.audio[bag, :clips], whole.audio[0])
        assert torch.equal(bags.audio_mask[bag, :clips], whole.audio_mask[0])
        rows.append(whole.audio[0])
        there.append(whole.audio_mask[0])
    counted = torch.cat(rows)[torch.cat(there)].double()
    mean, _ = statistics(view, videos, "audio")
    torch.testing.assert_close(mean.double(), counted.mean(0), rtol=0, atol=2**-22)
    assert torch.equal(bags.visual[1, :7], torch.from_numpy(partly_silent.rows(0, "visual")))  # type: ignore[index]


def test_an_order_depends_on_the_seed_and_the_video_alone(partly_silent: Corpus) -> None:
    rows, there = np.arange(40.0).reshape(20, 2), np.ones(20, bool)
    first = AudioAblation("shuffled", 1)(rows, there, b"a")
    np.testing.assert_array_equal(first, AudioAblation("shuffled", 1)(rows, there, b"a"))
    for other in (AudioAblation("shuffled", 2)(rows, there, b"a"), AudioAblation("shuffled", 1)(rows, there, b"b")):
        assert not np.array_equal(first, other)


def test_a_detector_tells_the_ways_apart(partly_silent: Corpus) -> None:
    versions = {with_audio(partly_silent, way, 0).streams["audio"].version for way in AUDIO_ABLATIONS}
    assert len(versions) == len(AUDIO_ABLATIONS)
