"""Which frames of a second the 3D ResNet reads: 16 consecutive ones around its middle, as it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("av")
import av

from highlight_lit.media.extractors.resnet3d34 import ResNet3d34SpreadVisual, ResNet3d34Visual
from highlight_lit.media.io.clips import FrameClips, Frames
from highlight_lit.media.io.decode import Source

CYCLE, FIRST, STEP = 28, 20, 8  # brightness tells a frame's number, modulo CYCLE
LOSSLESS = {"format": "matroska", "codec": "ffv1"}


def numbered(path: Path, made, times: NDArray[np.float64]) -> Path:
    """A video whose frame k, shown from times[k] on, tells k."""

    def frame(time: float) -> NDArray[np.uint8]:
        return made.grey(FIRST + STEP * (int(np.argmin(np.abs(times - time))) % CYCLE))

    return made.write_video(path, audio=None, frame=frame, times=times, **LOSSLESS)


def numbers_of(path: Path, frames: Frames) -> list[list[int]]:
    """Numbers of the frames in each clip, counted on from the first one's."""
    with Source(path, 1) as source:
        clips, end, shown = FrameClips(frames), 0.0, []
        for piece in source.pieces():
            end = max(end, piece.end)
            if isinstance(piece.frame, av.VideoFrame):
                shown += clips.push(piece)
        shown += clips.finish(end)
    told = [np.round((clip.mean((1, 2, 3)) - FIRST) / STEP).astype(int) for clip in shown]
    return [(each[0] + np.cumsum(np.diff(each, prepend=each[0]) % CYCLE)).tolist() for each in told]


CONSECUTIVE = ResNet3d34Visual.frames
SPREAD = ResNet3d34SpreadVisual.frames


@pytest.mark.parametrize("rate", [16, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 120])
def test_sixteen_consecutive_pictures_around_the_middle_of_each_second(tmp_path, made, rate):
    times = np.arange(round(3 * rate)) / rate
    clips = numbers_of(numbered(tmp_path / "video.mkv", made, times), CONSECUTIVE)
    assert len(clips) == 3
    for second, numbers in enumerate(clips):
        assert np.diff(numbers).tolist() == [1] * 15
        middle = (second + 0.5) * rate  # between the eighth and the ninth
        assert (numbers[8] - np.ceil(middle - 0.001 * rate)) % CYCLE == 0


def test_pictures_that_come_unevenly_are_still_consecutive(tmp_path, made):
    rng = np.random.default_rng(0)
    times = np.arange(90) / 30 + rng.uniform(-0.012, 0.012, 90)
    times[0] = 0.0
    clips = numbers_of(numbered(tmp_path / "video.mkv", made, np.round(times, 3)), CONSECUTIVE)
    assert [np.diff(numbers).tolist() for numbers in clips] == [[1] * 15] * 3


@pytest.mark.parametrize("rate", [1, 5, 10, 12, 15])
def test_fewer_than_sixteen_a_second_are_read_evenly_over_it(tmp_path, made, rate):
    path = numbered(tmp_path / "video.mkv", made, np.arange(3 * rate) / rate)
    clips = numbers_of(path, CONSECUTIVE)
    assert clips == numbers_of(path, SPREAD)
    instants = (np.arange(16) + 0.5) / 16
    assert clips[1] == (rate + np.floor(instants * rate)).astype(int).tolist()


def test_a_second_with_a_gap_is_read_evenly_and_its_neighbours_are_not(tmp_path, made):
    times = np.arange(90) / 30
    times = times[(times < 1.2) | (times > 1.75)]  # nothing new from 1.2 to 1.75 s
    path = numbered(tmp_path / "video.mkv", made, np.round(times, 3))
    consecutive, spread = numbers_of(path, CONSECUTIVE), numbers_of(path, SPREAD)
    assert consecutive[1] == spread[1]
    assert [np.diff(consecutive[clip]).tolist() for clip in (0, 2)] == [[1] * 15] * 2


@pytest.mark.parametrize("seconds", [0.5, 0.96, 2.6])
def test_a_second_that_the_video_ends_in_is_read_to_its_end(tmp_path, made, seconds):
    path = numbered(tmp_path / "video.mkv", made, np.arange(round(25 * seconds)) / 25)
    clips = numbers_of(path, CONSECUTIVE)
    assert len(clips) == max(1, round(seconds))
    assert all(len(numbers) == 16 for numbers in clips)
    if seconds == 2.6:
        assert clips[2] == numbers_of(path, SPREAD)[2]


def test_a_video_that_shows_nothing_at_first_has_its_first_picture_there(tmp_path, made):
    times = 0.9 + np.arange(40) / 25
    path = made.write_video(
        tmp_path / "video.mkv",
        2.5,
        frame=lambda time: made.grey(100),
        times=times,
        audio_seconds=2.5,
        format="matroska",
    )
    assert len(numbers_of(path, CONSECUTIVE)) == 3


def test_spread_over_the_second_is_another_extractor_with_another_name():
    assert (ResNet3d34Visual.name, ResNet3d34SpreadVisual.name) == ("resnet3d34", "resnet3d34_spread")
    assert (CONSECUTIVE.consecutive, SPREAD.consecutive) == (True, False)


@pytest.mark.parametrize("name", ["applausing.mp4", "cockatoo.mp4"])
def test_real_videos_have_sixteen_pictures_a_clip(shared_data, name):
    with Source(shared_data / "videos" / name, 1) as source:
        clips, shown = FrameClips(CONSECUTIVE), []
        for piece in source.pieces():
            if isinstance(piece.frame, av.VideoFrame):
                shown += clips.push(piece)
    assert len(shown) >= 9
    assert {clip.shape for clip in shown} == {(16, 112, 112, 3)}
