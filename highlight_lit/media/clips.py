"""One-second clips by timestamps: clip s is what is shown and heard from s to s + 1 seconds.

Pictures are taken at fixed instants, each the picture on display then, so that every clip has the same number of them
whatever the frame rate and however it varies. Sound is put at the sample its timestamp names, resampled to 16 kHz,
one channel. Both hold a few seconds at a time, however long the video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Generic, TypeVar

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from highlight_lit.media.decode import Piece

RATE = 16_000
# Container timestamps are rounded to milliseconds and priming is a few; only a larger step is a gap in the sound.
_GAP_SECONDS = 0.03
Frame = TypeVar("Frame")


def clip_count(duration: float) -> int:
    """Clips of a video: one a second; a rest of less than half a second is left out, unless it is all there is.

    >>> [clip_count(seconds) for seconds in (0.04, 1.49, 1.5, 30.0)]
    [1, 1, 2, 30]
    """
    return max(1, int(np.floor(duration + 0.5)))


def clip_spans(duration: float) -> NDArray[np.float64]:
    """Start and end of each clip in seconds, (T, 2); the last ends with the video."""
    start = np.arange(clip_count(duration), dtype=np.float64)
    return np.stack([start, np.minimum(start + 1, max(duration, 1e-3))], axis=1)


@dataclass(frozen=True)
class Pictures:
    """The pictures an extractor reads of a clip.

    Attributes:
        per_clip: How many, evenly over the second, each in the middle of its share of it.
        size: Height and width in pixels.
        crop: True: the short side is scaled to `size` and the middle cut out; False: the picture is squeezed.
    """

    per_clip: int
    size: int
    crop: bool = False


class Hold(Generic[Frame]):
    """Which frame is on display at instants `first`, `first + step`, ...: each until the next one starts.

    >>> hold = Hold[str](first=0.5, step=1.0)
    >>> list(hold.push(0.0, "a")), list(hold.push(1.2, "b")), list(hold.push(3.0, "c")), list(hold.until(4.0))
    ([], ['a'], ['b', 'b'], ['c'])
    """

    def __init__(self, first: float, step: float) -> None:
        self.first, self.step, self.count = first, step, 0
        self.shown: Frame | None = None

    def push(self, start: float, frame: Frame) -> list[Frame]:
        """Show `frame` from `start`; what was on display at the instants before that."""
        if self.shown is None:
            self.shown = frame  # before the first frame there is none but it
        before = self.until(start)
        self.shown = frame
        return before

    def until(self, end: float) -> list[Frame]:
        """The frame on display, once for each instant left before `end`."""
        left = ceil((end - 1e-9 - self.first) / self.step) - self.count
        if self.shown is None or left <= 0:
            return []
        self.count += left
        return [self.shown] * left


class PictureClips:
    """Collects the pictures of clip after clip.

    Args:
        pictures: Which.
        aspect: Width of a pixel in its height (sample aspect ratio).
    """

    def __init__(self, pictures: Pictures, aspect: float = 1.0) -> None:
        self.pictures, self.aspect = pictures, aspect
        self._hold = Hold[av.VideoFrame](0.5 / pictures.per_clip, 1 / pictures.per_clip)
        self._reformatter = VideoReformatter()
        self._converted: tuple[av.VideoFrame, NDArray[np.uint8]] | None = None
        self._taken: list[NDArray[np.uint8]] = []

    def push(self, piece: Piece) -> Iterator[NDArray[np.uint8]]:
        """Add a picture; the clips that it completes, (n, size, size, 3) RGB."""
        assert isinstance(piece.frame, av.VideoFrame)
        taken = self._hold.push(piece.start, piece.frame)
        return self._collect(taken) if taken else iter(())  # most pictures are not on display at an instant

    def finish(self, end: float) -> Iterator[NDArray[np.uint8]]:
        """Yield the clips that are left when the video ends at `end` seconds; its last picture stays on display."""
        yield from self._collect(self._hold.until(float(clip_count(end))))

    def _collect(self, frames: list[av.VideoFrame]) -> Iterator[NDArray[np.uint8]]:
        for frame in frames:
            if self._converted is None or self._converted[0] is not frame:
                self._converted = (frame, self._convert(frame))
            self._taken.append(self._converted[1])
            if len(self._taken) == self.pictures.per_clip:
                yield np.stack(self._taken)
                self._taken.clear()

    def _convert(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        size = self.pictures.size
        width, height = size, size
        if self.pictures.crop:
            shown = (frame.width * self.aspect, frame.height)
            width, height = (max(size, round(side * size / min(shown))) for side in shown)
        small = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=Interpolation.AREA, threads=1
        )
        top, left = (height - size) // 2, (width - size) // 2
        pixels = np.asarray(small.to_ndarray(), np.uint8)
        return upright(pixels[top : top + size, left : left + size], frame)


def upright(picture: NDArray[np.uint8], frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Turn a picture (height, width, ...) as the frame's rotation flag says, in quarters of a turn."""
    return np.rot90(picture, round(frame.rotation / 90)) if frame.rotation else picture


@dataclass(frozen=True)
class Sound:
    """A clip's sound: its index, (16000,) samples in -1..1 at 16 kHz, and how many of them the file has."""

    index: int
    samples: NDArray[np.float32]
    covered: int


class Resampled:
    """Sound at another rate and layout, in runs without gaps.

    Args:
        rate: Samples a second wanted.
        layout: Channels wanted, FFmpeg's name.
        block: Samples in a block given back, except a run's last.
    """

    def __init__(self, rate: int, layout: str, block: int) -> None:
        self.rate, self.layout, self.block = rate, layout, block
        self._resampler: av.AudioResampler | None = None
        self._waiting: list[av.AudioFrame] = []
        self._waiting_samples = 0
        self._kind: tuple[object, ...] = ()
        self._expected = 0.0
        self._next = 0

    def push(self, piece: Piece) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Add a frame; yield (position of the first sample, (channels, n) samples)."""
        frame = piece.frame
        assert isinstance(frame, av.AudioFrame)
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._kind or abs(piece.start - self._expected) > _GAP_SECONDS:
            yield from self.finish()
            self._resampler = av.AudioResampler("fltp", self.layout, self.rate, frame_size=self.block)
            self._kind, self._next, self._expected = kind, round(piece.start * self.rate), piece.start
        self._expected += frame.samples / frame.sample_rate
        frame.pts = None
        # A second at once: one by one, between pictures, each frame finds the processor's caches full of pictures.
        self._waiting.append(frame)
        self._waiting_samples += frame.samples
        if self._waiting_samples >= frame.sample_rate:
            yield from self._resample_waiting()

    def finish(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield what the run still holds."""
        if self._resampler is not None:
            yield from self._resample_waiting()
            yield from self._resample(None)
            self._resampler = None

    def _resample_waiting(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for frame in self._waiting:
            yield from self._resample(frame)
        self._waiting.clear()
        self._waiting_samples = 0

    def _resample(self, frame: av.AudioFrame | None) -> Iterator[tuple[int, NDArray[np.float32]]]:
        assert self._resampler is not None
        try:
            blocks = self._resampler.resample(frame)
        except (FFmpegError, ValueError):
            return  # a layout that nothing knows how to mix: these samples are missing
        for block in blocks:
            samples = np.asarray(block.to_ndarray(), np.float32)
            if not np.isfinite(samples).all():
                samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).astype(np.float32)
            yield self._next, samples
            self._next += samples.shape[1]


class SoundClips:
    """Collects the sound of clip after clip."""

    def __init__(self) -> None:
        self._resampled = Resampled(RATE, "mono", RATE // 4)
        self._open: dict[int, tuple[NDArray[np.float32], int]] = {}
        self._closed = 0

    def push(self, piece: Piece) -> Iterator[Sound]:
        """Add a frame; yield each clip that can get no more sound."""
        for position, samples in self._resampled.push(piece):
            self._put(position, samples[0])
            yield from self._close(position // RATE - 1)

    def finish(self) -> Iterator[Sound]:
        """Yield the clips that are left."""
        for position, samples in self._resampled.finish():
            self._put(position, samples[0])
        yield from self._close(max(self._open, default=-1) + 1)

    def _put(self, position: int, samples: NDArray[np.float32]) -> None:
        if position < 0:
            samples, position = samples[-position:], 0
        while len(samples):
            clip, offset = divmod(position, RATE)
            part = samples[: RATE - offset]
            if clip >= self._closed:
                wave, covered = self._open.get(clip) or (np.zeros(RATE, np.float32), 0)
                wave[offset : offset + len(part)] = part
                self._open[clip] = (wave, min(RATE, covered + len(part)))
            samples, position = samples[len(part) :], position + len(part)

    def _close(self, stop: int) -> Iterator[Sound]:
        for clip in sorted(clip for clip in self._open if clip < stop):
            wave, covered = self._open.pop(clip)
            yield Sound(clip, wave, covered)
        self._closed = max(self._closed, stop)
