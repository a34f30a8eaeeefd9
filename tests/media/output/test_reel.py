"""Reels: as long as asked, in sync, upright, cut at shot changes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("av")
import av

from highlight_lit.cli import main
from highlight_lit.errors import InputError
from highlight_lit.media.io.shots import shot_changes
from highlight_lit.media.output.reel import cut_reel, write_chapters
from highlight_lit.media.output.segments import Segment

FLASHES = (1.5, 5.2, 9.0, 12.6)


def flash(time: float) -> NDArray[np.uint8]:
    """White for a tenth of a second from each of `FLASHES` on, dark before and after."""
    lit = any(at - 1e-6 <= time < at + 0.1 - 1e-6 for at in FLASHES)
    return np.full((64, 96, 3), 235 if lit else 30, np.uint8)


def click(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """A loud tenth of a second from each of `FLASHES` on, silence before and after."""
    lit = np.zeros(len(time), bool)
    for at in FLASHES:
        lit |= (time >= at) & (time < at + 0.1)
    return 0.8 * np.sin(2 * np.pi * 1500 * time) * lit


def onsets(path: Path, made) -> tuple[list[float], list[float]]:
    """Times at which flashes and clicks begin in a file, measured by decoding it."""
    frames, audio, rate = made.seen_and_heard(path)
    bright = [time for (_, before), (time, now) in itertools.pairwise(frames) if now > 130 >= before]
    loud = np.abs(audio) > 0.25
    starts = np.flatnonzero(loud & ~np.array([loud[max(0, at - rate // 20) : at].any() for at in range(len(loud))]))
    return bright, [start / rate for start in starts]


@pytest.mark.parametrize(
    "case", ["25 fps", "10 fps", "30 fps late audio", "24 fps webm", "variable", "44.1 kHz", "opus"]
)
def test_sound_and_picture_of_a_reel_are_in_sync_within_40_ms(tmp_path, made, case):
    options = {
        "25 fps": {},
        "10 fps": {"fps": 10},
        "30 fps late audio": {"fps": 30, "audio_from": 1.0, "audio_seconds": 13.0},
        "24 fps webm": {"fps": 24, "format": "matroska", "codec": "libvpx"},
        "variable": {"times": np.cumsum(np.tile([0.02, 0.02, 0.06], 140)) - 0.02},
        "44.1 kHz": {"rate": 44_100, "layout": "stereo"},
        "opus": {"rate": 48_000, "format": "matroska", "audio_codec": "libopus"},
    }[case]
    source = made.write_video(tmp_path / "source.mkv", 14, flash, click, **options)
    segments = [Segment(1.0, 3.3), Segment(4.87, 6.17), Segment(8.53, 9.75), Segment(11.9, 13.4)]
    cut_reel(source, segments, tmp_path / "reel.mp4")
    flashes, clicks = onsets(tmp_path / "reel.mp4", made)
    starts = np.cumsum([0.0, *(each.length for each in segments[:-1])])
    expected = [start + at - each.start for start, each, at in zip(starts, segments, FLASHES, strict=True)]
    assert len(flashes) == len(clicks) == 4
    apart = np.abs(np.array(flashes) - np.array(clicks))
    print(f"{case}: audio and frame {1000 * apart.max():.0f} ms apart at most")
    assert apart.max() <= 0.04
    np.testing.assert_allclose(clicks, expected, atol=0.04)


@pytest.mark.parametrize("lengths", [(30.0 / 7,) * 3, (1.0, 2.5), (0.37, 0.41, 0.43, 3.0), (13.9,)])
def test_a_reel_is_as_long_as_asked_within_a_frame(tmp_path, made, lengths):
    source = made.write_video(tmp_path / "source.mp4", 14, flash, click, fps=30)
    starts = np.cumsum([0.0, *lengths[:-1]]) if sum(lengths) <= 14 else []
    segments = [Segment(float(start), float(start + length)) for start, length in zip(starts, lengths, strict=True)]
    told = cut_reel(source, segments, tmp_path / "reel.mp4")
    container = av.open(str(tmp_path / "reel.mp4"))
    frame = 1 / 30 + 1e-3
    assert told == pytest.approx(sum(lengths), abs=frame)
    assert container.duration / 1e6 == pytest.approx(sum(lengths), abs=frame)
    for stream in container.streams:
        assert float(stream.duration * stream.time_base) == pytest.approx(sum(lengths), abs=frame)


def test_a_reel_holds_the_seconds_that_were_chosen(tmp_path, made):
    source = made.write_video(tmp_path / "source.mp4", 10)
    cut_reel(source, [Segment(6, 8), Segment(2, 3)], tmp_path / "reel.mp4")
    frames, _, _ = made.seen_and_heard(tmp_path / "reel.mp4")
    np.testing.assert_allclose([value for _, value in frames][5::25], [140, 160, 60], atol=5)


def test_a_fade_is_dark_and_silent_at_the_joins_and_full_in_between(tmp_path, made):
    source = made.write_video(tmp_path / "source.mp4", 8, lambda time: np.full((64, 96, 3), 200, np.uint8))
    plain, faded = tmp_path / "plain.mp4", tmp_path / "faded.mp4"
    for path, fade in ((plain, 0.0), (faded, 0.5)):
        assert cut_reel(source, [Segment(0, 2), Segment(5, 7)], path, fade=fade) == pytest.approx(4.0)
    frames, audio, rate = made.seen_and_heard(faded)
    values = [value for _, value in frames]
    level = np.sqrt(np.convolve(audio**2, np.ones(800) / 800, "same"))
    assert values[0] < 30 > values[50]
    assert values[49] < 30
    assert values[25] == pytest.approx(200, abs=6)
    assert values[6] == pytest.approx(100, abs=25)
    assert level[2 * rate] < 0.02 < 0.18 < level[rate]
    unfaded, _, _ = made.seen_and_heard(plain)
    assert min(value for _, value in unfaded) > 190


def test_a_video_without_sound_gives_a_reel_without(tmp_path, made):
    source = made.write_video(tmp_path / "mute.mp4", 5, audio=None)
    cut_reel(source, [Segment(1, 3)], tmp_path / "reel.mp4")
    assert [stream.type for stream in av.open(str(tmp_path / "reel.mp4")).streams] == ["video"]


def test_sound_that_is_missing_is_silence_of_the_same_length(tmp_path, made):
    source = made.write_video(tmp_path / "source.mp4", 8, audio_seconds=3)
    cut_reel(source, [Segment(2, 4), Segment(5, 6), Segment(0, 1)], tmp_path / "reel.mp4")
    _, audio, rate = made.seen_and_heard(tmp_path / "reel.mp4")
    assert len(audio) == pytest.approx(4 * rate, abs=1100)
    loud = [np.abs(audio[int(at * rate) : int((at + 0.5) * rate)]).max() > 0.1 for at in (0.2, 1.4, 2.2, 3.3)]
    assert loud == [True, False, False, True]


def test_a_turned_video_gives_an_upright_reel(tmp_path, made):
    def bright_left(_: float) -> NDArray[np.uint8]:
        frame = np.full((64, 96, 3), 20, np.uint8)
        frame[:, :48] = 220
        return frame

    source = made.write_video(tmp_path / "turned.mp4", 3, bright_left)
    made.set_rotation(source)
    cut_reel(source, [Segment(1, 2)], tmp_path / "reel.mp4")
    frame = next(av.open(str(tmp_path / "reel.mp4")).decode(video=0))
    assert (frame.width, frame.height, frame.rotation) == (64, 96, 0)
    frame = frame.to_ndarray(format="gray")
    assert frame[:40].mean() > 190 > 60 > frame[-40:].mean()


def test_a_reel_of_real_videos_is_whole(tmp_path, shared_data):
    for name in ("nasa_13013.mp4", "cockatoo.mp4"):
        cut_reel(shared_data / "videos" / name, [Segment(1.5, 3), Segment(9, 10)], tmp_path / "reel.mp4")
        container = av.open(str(tmp_path / "reel.mp4"))
        assert {stream.type for stream in container.streams} == {"video", "audio"}
        assert container.duration / 1e6 == pytest.approx(2.5, abs=0.055)


def test_a_reel_never_replaces_its_own_source(tmp_path, made):
    source = made.write_video(tmp_path / "source.mp4", 2)
    before = source.read_bytes()
    with pytest.raises(InputError, match="which this command reads"):
        cut_reel(source, [Segment(0, 1)], source)
    assert source.read_bytes() == before


def test_a_reel_that_fails_leaves_nothing_behind(tmp_path, made):
    source = made.write_video(tmp_path / "source.mp4", 2)
    source.write_bytes(source.read_bytes()[:3000])
    with pytest.raises(InputError, match="source.mp4"):
        cut_reel(source, [Segment(0, 1)], tmp_path / "reel.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["source.mp4"]


def scenes(time: float) -> NDArray[np.uint8]:
    """Four shots that start at 0, 2.2, 5.08 and 7 s, a flash at 4 s, a slow pan all along."""
    number = sum(time >= at - 1e-6 for at in (2.2, 5.08, 7.0))
    frame = np.full((64, 96, 3), 235 if 4.0 <= time + 1e-6 < 4.04 else (40, 120, 200, 80)[number], np.uint8)
    frame[:, int(time * 6) : int(time * 6) + 30, number % 3] //= 2
    return frame


def test_shot_changes_are_found_to_the_picture_and_flashes_are_none(tmp_path, made):
    source = made.write_video(tmp_path / "scenes.mp4", 9, scenes, audio=None)
    assert shot_changes(source, [2.5, 4.0, 5.0, 7.6], 0.75) == pytest.approx([2.2, 5.08, 7.0], abs=0.001)
    assert shot_changes(source, [3.5], 0.75) == []


def test_chapters_are_webvtt(tmp_path):
    write_chapters(tmp_path / "list.vtt", [Segment(61.25, 65, 0.91), Segment(3723, 3725.5, 0.5)])
    assert (tmp_path / "list.vtt").read_text() == (
        "WEBVTT\n\n1\n00:01:01.250 --> 00:01:05.000\nHighlight 1 (0.91)\n"
        "\n2\n01:02:03.000 --> 01:02:05.500\nHighlight 2 (0.50)\n"
    )


CONTAINERS = {
    "mpegts": {"format": "mpegts", "audio_codec": "mp2"},
    "avi": {"format": "avi", "codec": "mpeg4", "audio_codec": "mp2"},
    "mov": {"format": "mov", "audio_codec": "pcm_s16le"},
    "webm": {"format": "webm", "codec": "libvpx", "audio_codec": "libopus", "rate": 48_000},
    "asf": {"format": "asf", "codec": "mpeg4", "audio_codec": "mp2"},
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_reel_of_any_container_is_in_sync_and_holds_what_was_chosen(tmp_path, made, container):
    source = made.write_video(tmp_path / f"source.{container}", 14, flash, click, **CONTAINERS[container])
    cut_reel(source, [Segment(8.1, 9.9), Segment(4.4, 6.0)], tmp_path / "reel.mp4")
    flashes, clicks = onsets(tmp_path / "reel.mp4", made)
    # Some containers carry an encoder's delay along unsaid: what a file plays is what its reel has to play.
    seen, audio_mask = onsets(source, made)
    assert flashes == pytest.approx([seen[2] - 8.1, 1.8 + seen[1] - 4.4], abs=0.025)
    assert clicks == pytest.approx([audio_mask[2] - 8.1, 1.8 + audio_mask[1] - 4.4], abs=0.04)


@pytest.mark.parametrize("folder", [".", "/", ".."])
def test_a_folder_in_the_place_of_the_video_is_one_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.csv").write_text("start,end,score\n0,1,1\n")
    assert main(["reel", folder, "--scores", "s.csv"]) == 2
    assert capsys.readouterr().err == f"highlight-lit: {folder}: a folder; expected a video\n"
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]
