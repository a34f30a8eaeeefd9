"""Cutting segments out of a video and joining them, with audio in sync: decoded, put on one clock, encoded again.

Every segment gets a whole number of frames and exactly the samples that play as long, so nothing drifts from join to
join, whatever the frame rate of the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from highlight_lit.errors import InputError
from highlight_lit.files import atomic_write, not_an_input, write_text
from highlight_lit.media.io.audio import Resampled
from highlight_lit.media.io.clips import Hold
from highlight_lit.media.io.decode import Piece, Source
from highlight_lit.media.io.movie import MovieWriter
from highlight_lit.media.output.segments import Segment

# A join without a ramp clicks; this short a one is not heard.
_RAMP_SECONDS = 0.005
# How much later than the frames a file may hold the audio that goes with them.
_SKEW_SECONDS = 5.0


def cut_reel(
    video: Path,
    segments: Sequence[Segment],
    out: Path,
    fade: float = 0.0,
    height: int | None = None,
    rate: Fraction | None = None,
    quality: dict[str, str] | None = None,
) -> float:
    """Write the segments of a video, one after the other, as an mp4.

    Args:
        video: The source.
        segments: In the order they are to have.
        out: The new file.
        fade: Seconds over which each segment comes out of black and silence, and goes back.
        height: Largest height in pixels; None for the source's.
        rate: Frames a second; None for the source's.
        quality: Options of the H.264 encoder.

    Returns:
        Length of the reel in seconds: the segments' within half a frame.

    Raises:
        InputError: The source cannot be read, or `out` written.
    """
    not_an_input(out, video)
    try:
        with Source(video) as source, atomic_write(out) as temporary:
            pace = rate or _pace(source.rate)
            with MovieWriter(temporary, source, pace, height, quality) as movie:
                clock = 0.0
                for segment in segments:
                    clock += segment.length
                    frames = max(1, round(clock * pace)) - movie.frames
                    if frames > 0:
                        _Cut(source, movie, segment.start, frames, fade).run()
                return movie.frames / float(pace)
    except FFmpegError as error:
        raise InputError(f"{out}: cannot be encoded ({error.strerror})") from error


def _pace(rate: Fraction) -> Fraction:
    """The source's frames a second, doubled until half a frame is less than 25 ms: so exact is the sync."""
    pace = min(rate, Fraction(60))
    while pace < 20:
        pace *= 2
    return pace


class _Cut:
    """Copies one segment: `frames` of them from `start` seconds on, and the audio that goes with them."""

    def __init__(self, source: Source, movie: MovieWriter, start: float, frames: int, fade: float) -> None:
        self.source, self.movie, self.start, self.fade = source, movie, start, fade
        self.last = movie.frames + frames
        self.frames = frames
        self.pace = float(movie.rate)
        self.hold = Hold[av.VideoFrame](start + 0.5 / self.pace, 1 / self.pace)
        self.sample = self.samples = 0
        if movie.has_audio:
            self.resampled = Resampled(movie.sample_rate, movie.channels, movie.sample_rate // 4)
            self.first = round(start * movie.sample_rate)
            self.samples = round(self.last / self.pace * movie.sample_rate) - movie.samples

    def run(self) -> None:
        for piece in self.source.pieces_from(self.start):
            if isinstance(piece.frame, av.VideoFrame):
                self._frames(piece)
            elif self.sample < self.samples:
                for position, block in self.resampled.push(piece):
                    self._audio(position, block)
            if self._done(piece):
                break
        if self.hold.shown is None:
            raise InputError(f"{self.source.path}: no frame could be decoded at {self.start:.2f} s")
        while self.movie.frames < self.last:
            self._frame(self.hold.shown)
        if self.movie.has_audio:
            for position, block in self.resampled.finish():
                self._audio(position, block)
            self._silence(self.samples - self.sample)

    def _done(self, piece: Piece) -> bool:
        late = piece.start > self.start + self.frames / self.pace + _SKEW_SECONDS
        return self.movie.frames >= self.last and (self.sample >= self.samples or late)

    def _frames(self, piece: Piece) -> None:
        assert isinstance(piece.frame, av.VideoFrame)
        for frame in self.hold.push(piece.start, piece.frame):
            if self.movie.frames >= self.last:
                return
            self._frame(frame)

    def _frame(self, frame: av.VideoFrame) -> None:
        number = self.movie.frames - (self.last - self.frames)
        self.movie.add_frame(frame, float(self._ramp(np.array([number + 0.5]) / self.pace, self.fade)[0]))

    def _ramp(self, seconds: NDArray[np.float64], fade: float) -> NDArray[np.float64]:
        """Share of brightness or loudness at times into the segment."""
        if fade <= 0:
            return np.ones_like(seconds)
        inwards = np.minimum(seconds, self.frames / self.pace - seconds)
        return np.clip(inwards / min(fade, self.frames / self.pace / 2), 0.0, 1.0)

    def _audio(self, position: int, block: NDArray[np.float64]) -> None:
        """Put a block that starts at `position` of the source's samples where it belongs; silence fills gaps."""
        offset = position - self.first - self.sample
        if offset > 0:
            self._silence(min(offset, self.samples - self.sample))
            offset = 0
        self._emit(block[:, -offset : -offset + self.samples - self.sample])

    def _silence(self, samples: int) -> None:
        for start in range(0, samples, self.movie.sample_rate):  # a second at once, however long it is
            self._emit(np.zeros((self.movie.channels, min(samples - start, self.movie.sample_rate))))

    def _emit(self, block: NDArray[np.float64]) -> None:
        if block.shape[1] > 0:
            seconds = np.arange(self.sample, self.sample + block.shape[1]) / self.movie.sample_rate
            self.movie.add_audio(block * self._ramp(seconds, max(self.fade, _RAMP_SECONDS)))
            self.sample += block.shape[1]


def write_chapters(path: Path, segments: Sequence[Segment]) -> None:
    """Write the segments as WebVTT chapters, which players and browsers show in a video's timeline."""
    cues = [
        f"{number}\n{_timestamp(segment.start)} --> {_timestamp(segment.end)}\nHighlight {number} ({segment.score:.2f})\n"
        for number, segment in enumerate(segments, start=1)
    ]
    write_text(path, "\n".join(["WEBVTT\n", *cues]))


def _timestamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
