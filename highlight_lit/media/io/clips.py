"""One-second clips by timestamps: clip s is what is shown and heard from s to s + 1 seconds.

Frames are taken at fixed instants, each the frame on display then, or as consecutive ones around the middle of the
clip: every clip has the same number of them whatever the frame rate and however it varies. A few seconds are held at a
time, however long the video.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, Generic, TypeVar

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from highlight_lit.media.io.decode import Piece

_ROUNDING = 1e-3  # containers round times to milliseconds
Frame = TypeVar("Frame")


def clip_count(duration: float) -> int:
    """Clips of a video: one a second; a rest of less than half a second is left out, unless it is all there is.

    >>> [clip_count(seconds) for seconds in (0.04, 1.49, 1.5, 30.0)]
    [1, 1, 2, 30]
    """
    return max(1, int(np.floor(duration + 0.5)))


def clip_spans(duration: float) -> NDArray[np.float64]:
    """Start and end of each clip in seconds, (T_n, 2); the last ends with the video."""
    start = np.arange(clip_count(duration), dtype=np.float64)
    return np.stack([start, np.minimum(start + 1, max(duration, 1e-3))], axis=1)


@dataclass(frozen=True)
class Frames:
    """The frames an extractor reads of a clip.

    Attributes:
        per_clip: How many. An even number, if `consecutive`.
        size: Height and width in pixels.
        crop: True: the short side is scaled to `size` and the middle cut out; False: the frame is squeezed.
        prepare: In place of `size` and `crop`: makes of a whole frame (h, w, 3) what the extractor takes of it.
        consecutive: False: evenly over the second, each the one on display in the middle of its share of it. True:
            the last `per_clip / 2` that start before the middle of the second, and the first `per_clip / 2` from it
            on; a second in which not as many start in each half, as at a low frame rate, in a gap of a variable one or
            where the video ends, is read evenly.
    """

    per_clip: int
    size: int = 0
    crop: bool = False
    consecutive: bool = False
    prepare: Callable[[NDArray[np.uint8]], NDArray[Any]] | None = None


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


class FrameClips:
    """Collects the frames of clip after clip.

    Args:
        frames: Which.
        aspect: Width of a pixel in its height (sample aspect ratio).
    """

    def __init__(self, frames: Frames, aspect: float = 1.0) -> None:
        self.frames, self.aspect = frames, aspect
        self._hold = Hold[av.VideoFrame](0.5 / frames.per_clip, 1 / frames.per_clip)
        self._reformatter = VideoReformatter()
        self._converted: tuple[av.VideoFrame, NDArray[Any]] | None = None
        self._even: list[NDArray[Any]] = []
        half = frames.per_clip // 2
        self._before, self._after = deque[NDArray[Any]](maxlen=half), list[NDArray[Any]]()

    def push(self, piece: Piece) -> Iterator[NDArray[Any]]:
        """Add a frame; the clips that it completes, (n, size, size, 3) RGB or of prepared frames."""
        assert isinstance(piece.frame, av.VideoFrame)
        taken = self._hold.push(piece.start, piece.frame)
        if taken:  # most frames are not on display at an instant
            yield from self._collect(taken)
        if self.frames.consecutive:
            self._put_around_the_middle(piece.start, piece.frame)

    def finish(self, end: float) -> Iterator[NDArray[Any]]:
        """Yield the clips that are left when the video ends at `end` seconds; its last frame stays on display."""
        yield from self._collect(self._hold.until(float(clip_count(end))))

    def _put_around_the_middle(self, start: float, frame: av.VideoFrame) -> None:
        """Keep a frame of the open clip that may be one of the consecutive ones."""
        into = start - self._hold.count // self.frames.per_clip  # seconds into the open clip
        if -_ROUNDING <= into < 0.5 - _ROUNDING:
            self._before.append(self._convert(frame))
        elif into >= 0.5 - _ROUNDING and len(self._after) < self.frames.per_clip // 2:
            self._after.append(self._convert(frame))

    def _collect(self, frames: list[av.VideoFrame]) -> Iterator[NDArray[Any]]:
        for frame in frames:
            self._even.append(self._convert(frame))
            if len(self._even) == self.frames.per_clip:
                around = [*self._before, *self._after]
                yield np.stack(around if len(around) == self.frames.per_clip else self._even)
                for kept in (self._even, self._before, self._after):
                    kept.clear()

    def _convert(self, frame: av.VideoFrame) -> NDArray[Any]:
        if self._converted is None or self._converted[0] is not frame:
            self._converted = (frame, self._scaled(frame))
        return self._converted[1]

    def _scaled(self, frame: av.VideoFrame) -> NDArray[Any]:
        if self.frames.prepare is not None:
            return self.frames.prepare(self._whole(frame))
        size = self.frames.size
        width, height = size, size
        if self.frames.crop:
            shown = (frame.width * self.aspect, frame.height)
            width, height = (max(size, round(side * size / min(shown))) for side in shown)
        top, left = (height - size) // 2, (width - size) // 2
        pixels = rgb(self._reformatter, frame, width, height)
        return upright(pixels[top : top + size, left : left + size], frame)

    def _whole(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """All of a frame as it is shown, its pixels square and none of them made up."""
        wide = self.aspect > 1
        width = frame.width if wide else max(1, round(frame.width * self.aspect))
        height = max(1, round(frame.height / self.aspect)) if wide else frame.height
        return np.ascontiguousarray(upright(rgb(self._reformatter, frame, width, height), frame))


def rgb(reformatter: VideoReformatter, frame: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    """A frame's pixels (height, width, 3), scaled by the mean over areas."""
    scaled = reformatter.reformat(
        frame, width=width, height=height, format="rgb24", interpolation=Interpolation.AREA, threads=1
    )
    return np.asarray(scaled.to_ndarray(), np.uint8)


def upright(pixels: NDArray[np.uint8], frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Turn pixels (height, width, ...) as the frame's rotation flag says, in quarters of a turn."""
    return np.rot90(pixels, round(frame.rotation / 90)) if frame.rotation else pixels
