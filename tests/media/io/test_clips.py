"""Clips by timestamps, whatever the container does with time."""

from __future__ import annotations

import socket
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("av")
import av

from highlight_lit.errors import InputError
from highlight_lit.media.extractors import audio_extractor, visual_extractor
from highlight_lit.media.features import ExtractedFeatures, extract_features
from highlight_lit.media.io.audio_clips import RATE, AudioClip, AudioClips
from highlight_lit.media.io.clips import FrameClips, Frames, Hold
from highlight_lit.media.io.decode import Source

SMALL = Frames(8, 16)
NEAR = 4  # of 255: what a lossy frame, and its way from RGB to YUV and back, may be off by


def clips_of(path: Path, frames: Frames = SMALL) -> tuple[list[NDArray[np.uint8]], dict[int, AudioClip], float]:
    with Source(path, 1) as source:
        seen, collected, end = FrameClips(frames), AudioClips(), 0.0
        shown: list[NDArray[np.uint8]] = []
        audio_clips: list[AudioClip] = []
        for piece in source.pieces():
            end = max(end, piece.end)
            if isinstance(piece.frame, av.VideoFrame):
                shown += seen.push(piece)
            else:
                audio_clips += collected.push(piece)
        shown += seen.finish(end)
        audio_clips += collected.finish()
    return shown, {audio.index: audio for audio in audio_clips}, end


def classic(path: Path) -> ExtractedFeatures:
    return extract_features(path, visual_extractor("classic"), audio_extractor("classic"), 1)


def brightness(clips: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return np.array([clip.mean((1, 2, 3)) for clip in clips])


def click_at(second: float):
    return lambda time: 0.8 * np.sin(2 * np.pi * 1000 * time) * ((time >= second) & (time < second + 0.05))


def loudest(audio_clips: dict[int, AudioClip]) -> float:
    wave = np.concatenate([audio_clips[clip].samples for clip in range(max(audio_clips) + 1)])
    power = np.convolve(wave.astype(np.float64) ** 2, np.ones(RATE // 20), "valid")
    return float(power.argmax()) / RATE


def test_a_clip_holds_what_is_on_display_during_its_second_at_a_variable_frame_rate(tmp_path, made):
    times = [0.0, 0.04, 0.3, 0.95, 1.0, 2.0, 2.5, 2.52, 2.54, 2.6, 3.0, 3.9]
    path = made.write_video(tmp_path / "vfr.mp4", 4, audio=None, times=times)
    clips, _, _ = clips_of(path)
    expected = 20 + 20 * np.arange(4)
    np.testing.assert_allclose(brightness(clips), np.tile(expected[:, None], 8), atol=NEAR)


def test_every_frame_rate_gives_the_same_clips(tmp_path, made):
    at = {fps: made.write_video(tmp_path / f"{fps}.mp4", 3, audio=None, fps=fps) for fps in (5, 24, 60)}
    brightnesses = [brightness(clips_of(path)[0]) for path in at.values()]
    for other in brightnesses[1:]:
        np.testing.assert_allclose(other, brightnesses[0], atol=NEAR)


def test_sound_that_starts_late_is_heard_where_it_starts(tmp_path, made):
    path = made.write_video(tmp_path / "late.mp4", 4, audio=click_at(2.5), audio_from=2.0, audio_seconds=2.0)
    _, audio_clips, _ = clips_of(path)
    assert (
        abs(
            loudest({clip: audio_clips.get(clip, AudioClip(clip, np.zeros(RATE, np.float32), 0)) for clip in range(4)})
            - 2.5
        )
        < 0.01
    )
    assert classic(path).audio_mask.tolist() == [False, False, True, True]


def test_an_edit_list_that_cuts_the_beginning_moves_the_pictures(tmp_path, made):
    path = made.write_video(tmp_path / "edited.mp4", 4, audio=None, options={"g": "10"})
    whole = brightness(clips_of(path)[0])[:, 0]
    made.cut_beginning(path, 1.0)
    cut = brightness(clips_of(path)[0])[:, 0]
    np.testing.assert_allclose(whole, [20, 40, 60, 80], atol=NEAR)
    np.testing.assert_allclose(cut, [40, 60, 80], atol=NEAR)


def test_a_rotation_flag_turns_the_pictures(tmp_path, made):
    def bright_left(_: float) -> NDArray[np.uint8]:
        frame = made.grey(20)
        frame[:, : frame.shape[1] // 2] = 220
        return frame

    path = made.write_video(tmp_path / "turned.mp4", 1, bright_left, audio=None)
    plain = clips_of(path)[0][0].mean((0, 3))
    made.set_rotation(path)
    for frames in (Frames(8, 16), Frames(8, 16, crop=True)):
        turned = clips_of(path, frames)[0][0].mean((0, 3))
        assert turned[:6].min() > 190 > 60 > turned[-6:].max()  # the left side is above now
    assert plain[:, :6].min() > 190 > 60 > plain[:, -6:].max()


def test_a_cropped_picture_keeps_its_proportions_and_its_middle(tmp_path, made):
    def bright_middle(_: float) -> NDArray[np.uint8]:
        frame = made.grey(20)
        frame[:, 16:80] = 200  # as wide as high
        return frame

    path = made.write_video(tmp_path / "wide.mp4", 1, bright_middle, audio=None)
    assert clips_of(path, Frames(16, 32, crop=True))[0][0].min() > 150
    assert clips_of(path, Frames(16, 32))[0][0].min() < 60


def test_hold_shows_each_frame_until_the_next_and_the_first_before_it_starts():
    hold = Hold[str](0.25, 0.5)
    shown = [*hold.push(1.0, "a"), *hold.push(1.1, "b"), *hold.push(2.3, "c"), *hold.until(3.0)]
    assert shown == ["a", "a", "b", "b", "b", "c"]  # at 0.25, 0.75, 1.25, 1.75, 2.25, 2.75


@pytest.mark.parametrize(("rate", "layout"), [(8_000, "mono"), (44_100, "stereo"), (48_000, "5.1")])
def test_sound_of_any_rate_and_layout_becomes_16_khz_at_its_time(tmp_path, made, rate, layout):
    path = made.write_video(
        tmp_path / "audio.mkv",
        3,
        audio=click_at(1.75),
        rate=rate,
        layout=layout,
        format="matroska",
        audio_codec="pcm_f32le",
    )
    _, audio_clips, _ = clips_of(path)
    assert abs(loudest(audio_clips) - 1.75) < 0.003
    assert all(audio_clips[clip].covered >= RATE - 80 for clip in range(3))


def test_a_video_without_sound_has_no_audio(tmp_path, made):
    features = classic(made.write_video(tmp_path / "mute.mp4", 3, audio=None))
    assert features.audio is None
    assert features.audio_mask is None
    assert features.visual is not None
    assert features.visual.shape == (3, 512)


def test_sound_shorter_than_the_video_is_not_heard_after_its_end(tmp_path, made):
    features = classic(made.write_video(tmp_path / "short.mp4", 5, audio_seconds=2.2))
    assert features.audio_mask.tolist() == [True, True, False, False, False]
    assert not features.audio[2:].any()
    assert features.audio[:2].any(1).all()


def test_the_last_picture_stays_while_sound_goes_on(tmp_path, made):
    features = classic(made.write_video(tmp_path / "long.mp4", 2, audio_seconds=5))
    assert features.visual.shape == (5, 512)
    assert features.audio_mask.all()
    assert features.span[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_video_shorter_than_a_second_is_one_clip_that_ends_with_it(tmp_path, made):
    features = classic(made.write_video(tmp_path / "brief.mp4", 0.4))
    assert features.visual.shape == (1, 512)
    assert features.span[0, 1] == pytest.approx(features.duration, abs=1e-6)


def test_loudness_is_in_decibels_of_full_scale(tmp_path, made):
    path = made.write_video(tmp_path / "tone.mkv", 2, format="matroska", audio_codec="pcm_f32le")
    np.testing.assert_allclose(classic(path).loudness, 20 * np.log10(0.3 / np.sqrt(2)), atol=0.1)


def test_of_several_streams_one_picture_and_one_sound_are_taken(shared_data):
    features = classic(shared_data / "videos" / "nasa_13013.mp4")
    assert features.visual.shape == (13, 512)
    assert features.audio_mask.all()


@pytest.mark.parametrize(
    ("name", "clips"), [("applausing.mp4", 10), ("big_buck_bunny_0_30.webm", 30), ("cockatoo.mp4", 14)]
)
def test_real_videos_have_a_clip_a_second(shared_data, name, clips):
    features = classic(shared_data / "videos" / name)
    assert features.visual.shape == (clips, 512)
    assert features.audio.shape == (clips, 128)
    assert features.audio_mask.all()
    assert np.isfinite(features.visual).all()
    assert np.isfinite(features.audio).all()


def no_frames(path: Path, made: SimpleNamespace) -> None:
    made.write_video(path, 0, audio_seconds=2, format="matroska")


def cut_in_the_middle(path: Path, made: SimpleNamespace) -> None:
    made.write_video(path, 20, format="matroska")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cut_mp4(path: Path, made: SimpleNamespace) -> None:
    made.write_video(path, 3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD = {
    "text": (lambda path, made: path.write_text("hello\n" * 400), "not a video"),
    "empty": (lambda path, made: path.write_bytes(b""), "not a video"),
    "noise": (lambda path, made: path.write_bytes(np.random.default_rng(0).bytes(40_000)), "not a video"),
    "playlist": (
        lambda path, made: path.write_text(
            "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
        ),
        "",
    ),
    "script": (lambda path, made: path.write_text("ffconcat version 1.0\nfile other.mp4\n"), ""),
    "audio alone": (lambda path, made: made.write_video(path, 2, frame=None), "no video stream"),
    "no frames": (no_frames, "zero frames"),
    "cut": (cut_in_the_middle, "cut off"),
    "cut mp4": (cut_mp4, "cut off"),
    "folder": (lambda path, made: path.mkdir(), "a folder"),
    "missing": (lambda path, made: None, "no such file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_one_line_that_names_the_file(tmp_path, made, kind):
    path = tmp_path / "clip one.mp4"
    write, reason = BAD[kind]
    write(path, made)
    with pytest.raises(InputError) as raised:
        classic(path)
    message = str(raised.value)
    assert "clip one.mp4" in message
    assert reason in message
    assert "\n" not in message


def test_a_picture_is_no_video(tmp_path):
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 64, 64, "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24").reformat(format="yuvj420p")
    path = tmp_path / "still.jpg"
    path.write_bytes(b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)]))
    with pytest.raises(InputError, match="an image"):
        classic(path)


def test_a_damaged_packet_is_left_out_and_the_rest_kept(tmp_path, made):
    path = made.write_video(tmp_path / "scratched.ts", 6, format="mpegts", audio_codec="mp2", rate=16_000)
    content = bytearray(path.read_bytes())
    for at in range(len(content) // 2, len(content) // 2 + 188 * 4):
        content[at] ^= 0x5A
    path.write_bytes(content)
    features = classic(path)
    assert features.visual.shape == (6, 512)


@pytest.mark.parametrize(
    "name", ["-dash.mp4", "a b.mp4", 'it\'s "quoted".mp4', "ünï.mp4", "http:x.mp4", "concat:a|b.mp4", "50%d.mp4"]
)
def test_any_file_name_can_be_read(tmp_path, made, name, monkeypatch):
    made.write_video(tmp_path / "plain.mp4", 1).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert classic(Path(name)).visual.shape == (1, 512)


def test_a_jump_in_time_is_refused_before_anything_is_sized_by_it(tmp_path, made):
    path = made.write_video(tmp_path / "jump.mkv", audio=None, times=[0.0, 0.04, 2_000_000.0], format="matroska")
    with pytest.raises(InputError, match="timestamps jump"):
        classic(path)


def test_a_playlist_makes_the_reader_ask_no_server(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        path = tmp_path / "list.m3u8"
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(InputError, match=r"list\.m3u8"):
            classic(path)
        with pytest.raises(TimeoutError):
            server.accept()
