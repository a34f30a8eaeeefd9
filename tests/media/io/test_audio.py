"""Audio is as loud as it was, however many channels it comes in: the mean of them, as the published extractors take it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("av")
import av

from highlight_lit.media.extractors import audio_extractor, visual_extractor
from highlight_lit.media.extractors.log_mel import log_mel
from highlight_lit.media.features import ExtractedFeatures, extract_features
from highlight_lit.media.io.audio import Resampled, mixing_weights
from highlight_lit.media.io.audio_clips import RATE, AudioClips
from highlight_lit.media.io.decode import Source
from highlight_lit.media.output.reel import cut_reel
from highlight_lit.media.output.segments import Segment

FLOAT = {"format": "mov", "audio_codec": "pcm_f32le"}
INTEGER = {"format": "mov", "audio_codec": "pcm_s16le"}
# Containers that say nothing of layouts: FFmpeg then knows a number of channels and no more.
UNKNOWN = {"format": "matroska", "audio_codec": "pcm_f32le"}
EIGHT_BITS = {"format": "avi", "audio_codec": "pcm_u8"}
LOSSLESS = {"format": "matroska", "audio_codec": "flac"}
LAYOUTS = [
    ("mono", FLOAT), ("stereo", FLOAT), ("2.1", FLOAT), ("quad", FLOAT), ("5.1", FLOAT), ("7.1", FLOAT),
    ("1 channels", UNKNOWN), ("2 channels", UNKNOWN), ("6 channels", UNKNOWN), ("8 channels", UNKNOWN),
    ("11 channels", UNKNOWN), ("mono", INTEGER), ("stereo", INTEGER), ("5.1", INTEGER), ("stereo", EIGHT_BITS),
    ("stereo", LOSSLESS), ("5.1", LOSSLESS), ("7.1", LOSSLESS),
]  # fmt: skip
NAMES = [f"{layout} {options['audio_codec']}" for layout, options in LAYOUTS]
STEP = {"pcm_f32le": 2**-24, "pcm_s16le": 2**-15, "pcm_u8": 2**-7, "flac": 2**-15}  # of what a sample is rounded to


def chords(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Three tones that come and go, for features that spread."""
    tones = ((220, 0.31), (1370, 0.73), (5200, 0.47))
    return sum(0.15 * np.sin(2 * np.pi * tone * time) * np.cos(2 * np.pi * beat * time) for tone, beat in tones)


def each_its_own(channels: int):
    """A tone of its own for each channel."""
    return lambda time: np.stack([0.6 * np.sin(2 * np.pi * (300 + 250 * k) * time + k) for k in range(channels)])


def samples_of(path: Path) -> NDArray[np.float64]:
    """The audio of a file as extractors get it."""
    with Source(path, 1) as source:
        clips = AudioClips()
        audio_clips = [
            audio for piece in source.pieces() if isinstance(piece.frame, av.AudioFrame) for audio in clips.push(piece)
        ]
        return np.concatenate([audio.samples for audio in [*audio_clips, *clips.finish()]])


def classic(path: Path) -> ExtractedFeatures:
    return extract_features(path, visual_extractor("classic"), audio_extractor("classic"), 1)


@pytest.mark.parametrize(("layout", "options"), LAYOUTS, ids=NAMES)
def test_one_sound_in_every_channel_is_that_sound(tmp_path, made, layout, options):
    path = made.write_video(tmp_path / "video.mkv", 3, audio=chords, rate=RATE, layout=layout, **options)
    found = samples_of(path)
    np.testing.assert_allclose(found, chords(np.arange(3 * RATE) / RATE), rtol=0, atol=STEP[options["audio_codec"]])


@pytest.mark.parametrize("layout", ["stereo", "5.1", "7.1"])
@pytest.mark.parametrize("rate", [RATE, 44_100, 48_000])
def test_features_of_mono_stereo_and_surround_are_the_same(tmp_path, made, layout, rate):
    mono = classic(made.write_video(tmp_path / "mono.mov", 5, audio=chords, rate=rate, **FLOAT))
    other = classic(made.write_video(tmp_path / "other.mov", 5, audio=chords, rate=rate, layout=layout, **FLOAT))
    spread = mono.audio.std(0).mean()
    assert spread > 0.01
    np.testing.assert_allclose(other.audio, mono.audio, rtol=0, atol=1e-3 * spread)
    np.testing.assert_allclose(other.loudness, mono.loudness, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("layout", "options"), [("stereo", FLOAT), ("5.1", FLOAT), ("8 channels", UNKNOWN)])
def test_log_mel_is_that_of_the_mean_of_the_channels(tmp_path, made, layout, options):
    channels = av.AudioLayout(layout).nb_channels
    audio = each_its_own(channels)
    many = made.write_video(tmp_path / "many.mkv", 3, audio=audio, rate=RATE, layout=layout, **options)
    mean = audio(np.arange(3 * RATE) / RATE).astype(np.float32).mean(0, dtype=np.float64)
    np.testing.assert_allclose(log_mel(samples_of(many)), log_mel(mean), rtol=0, atol=1e-6)


def test_at_another_rate_it_is_still_that_of_the_mean(tmp_path, made):
    options = {"rate": 44_100, **FLOAT}
    audio = lambda time: np.round(each_its_own(2)(time) * 2**15) / 2**15  # noqa: E731  so that the mean fits a float32
    stereo = made.write_video(tmp_path / "stereo.mov", 3, audio=audio, layout="stereo", **options)
    mono = made.write_video(tmp_path / "mono.mov", 3, audio=lambda time: audio(time).mean(0), **options)
    np.testing.assert_allclose(log_mel(samples_of(stereo)), log_mel(samples_of(mono)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "codec", [{"format": "mp4", "audio_codec": "aac"}, {"format": "matroska", "audio_codec": "libopus"}]
)
def test_eight_channels_of_a_lossy_codec_are_heard(tmp_path, made, codec):
    """Their decoders give planes, of which PyAV counts eight and more wrongly."""
    path = made.write_video(tmp_path / "video.mkv", 3, rate=48_000, layout="7.1", **codec)
    found = samples_of(path)[RATE : 2 * RATE]
    # All channels but the one for low frequencies hold the tone of 0.3: codecs take that out of it.
    assert 0.9 * 7 / 8 < np.sqrt(2 * np.mean(found**2)) / 0.3 < 1.1


def test_opposite_channels_cancel_out(tmp_path, made):
    audio = lambda time: np.stack([chords(time), -chords(time)])  # noqa: E731
    path = made.write_video(tmp_path / "video.mov", 2, audio=audio, layout="stereo", **FLOAT)
    assert not samples_of(path).any()


def test_a_layout_that_changes_on_the_way_keeps_its_loudness(tmp_path, made):
    resampled, blocks = Resampled(RATE, 1, RATE // 4), []
    for second, layout in enumerate(("mono", "5.1", "stereo", "5 channels")):
        samples = np.full((1, RATE * av.AudioLayout(layout).nb_channels), 0.25, np.float32)
        frame = av.AudioFrame.from_ndarray(samples, "flt", layout)
        frame.sample_rate = RATE
        blocks += resampled.push(_piece(second, frame))
    blocks += resampled.finish()
    assert [at for at, _ in blocks] == list(range(0, 4 * RATE, RATE // 4))
    assert all((samples == 0.25).all() for _, samples in blocks)


def test_samples_that_are_no_numbers_are_silence_and_spoil_no_others(tmp_path):
    samples = np.full((1, RATE), 0.25, np.float32)
    samples[0, 4000:4003] = np.nan, np.inf, -3e38
    frame = av.AudioFrame.from_ndarray(samples, "flt", "mono")
    frame.sample_rate = RATE
    resampled = Resampled(RATE, 1, RATE)
    blocks = [block for _, block in [*resampled.push(_piece(0, frame)), *resampled.finish()]]
    found = np.concatenate(blocks, axis=1)[0]
    assert found[4000:4003].tolist() == [0.0, 1.0, -1e6]
    assert (np.delete(found, range(4000, 4003)) == 0.25).all()


def _piece(second: int, frame: av.AudioFrame):
    from highlight_lit.media.io.decode import Piece

    return Piece(float(second), second + 1.0, frame)


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1", "7.1", "4.0", "2.1", "22.2"])
def test_two_channels_of_one_sound_are_that_sound_whatever_they_were_mixed_from(layout):
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    for channels in (1, 2):
        weights = mixing_weights(names, channels)
        assert weights.shape == (len(names), channels)
        np.testing.assert_allclose(weights.sum(0), 1.0, rtol=0, atol=len(names) * 2**-53)


def test_two_channels_keep_the_sides_apart_and_the_middle_in_both():
    weights = mixing_weights([channel.name for channel in av.AudioLayout("5.1").channels], 2)  # FL FR FC LFE BL BR
    assert (weights > 0).tolist() == [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]]
    assert mixing_weights(["NONE"] * 6, 2).tolist() == [[1 / 6, 1 / 6]] * 6
    assert mixing_weights(["LFE", "FR", "BR"], 2).tolist() == [[1 / 3, 1 / 3]] * 3
    assert mixing_weights(["FC"], 2).tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("mono", FLOAT),
        ("stereo", FLOAT),
        ("5.1", FLOAT),
        ("7.1", INTEGER),
        ("8 channels", UNKNOWN),
        ("stereo", EIGHT_BITS),
    ],
)
def test_a_reel_is_as_loud_as_its_source(tmp_path, made, layout, options):
    source = made.write_video(tmp_path / "source.mkv", 6, rate=48_000, layout=layout, **options)
    cut_reel(source, [Segment(1, 4)], tmp_path / "reel.mp4")
    _, audio, rate = made.seen_and_heard(tmp_path / "reel.mp4")
    level = np.sqrt(2 * np.mean(audio[rate : 2 * rate] ** 2))
    assert level == pytest.approx(0.3, rel=0.02)  # what AAC does to a tone


def test_a_reel_of_surround_sound_keeps_the_sides(tmp_path, made):
    def left_then_right(time: NDArray[np.float64]) -> NDArray[np.float64]:
        audio = np.zeros((6, len(time)))  # FL FR FC LFE BL BR
        audio[[0, 4]] = made.hum(time) * (time < 2)
        audio[[1, 5]] = made.hum(time) * (time >= 2)
        return audio

    source = made.write_video(tmp_path / "source.mov", 4, audio=left_then_right, rate=48_000, layout="5.1", **FLOAT)
    cut_reel(source, [Segment(0, 4)], tmp_path / "reel.mp4")
    blocks = [frame.to_ndarray() for frame in av.open(str(tmp_path / "reel.mp4")).decode(audio=0)]
    left, right = np.concatenate(blocks, axis=1).reshape(2, -1)[:, : 4 * 48_000].reshape(2, 4, -1).std(2).T[[0, 3]]
    assert left[0] > 20 * left[1]
    assert right[1] > 20 * right[0]
