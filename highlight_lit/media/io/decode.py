"""Reading a video file with FFmpeg: one video and one audio stream, on one time axis that starts at 0.

The file is untrusted. FFmpeg is handed the open file and can open no other: no protocol but that is allowed, and no
format but the containers of `bounds.CONTAINERS`. Sizes, rates and timestamps are checked before memory is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition, Stream

from highlight_lit.errors import InputError
from highlight_lit.files import open_regular
from highlight_lit.media.io import bounds

# PyAV 18 takes no file whose texts are not UTF-8 unless it is told to; PyAV 19 takes any, and knows no such argument.
_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
MICROSECONDS = 1_000_000
_CLOCKS_APART_S = 3600.0  # start times further apart are of a clock that has wrapped around
# The clock of MPEG streams has 33 bits: it starts again after a day, or right after a start below zero.
_MPEG_TICK = Fraction(1, 90_000)
_MPEG_WRAP = 2**33 / 90_000


class Piece(NamedTuple):
    """A decoded frame and when it is shown or heard, in seconds: `start`, and `end` where the next one follows."""

    start: float
    end: float
    frame: av.VideoFrame | av.AudioFrame


class Source:
    """A video file open for decoding; a context manager.

    Times are the file's presentation times less its first one, with edit lists applied (by FFmpeg), so that audio
    that starts late does. Of several streams FFmpeg's choice is taken; cover art is no video.

    Attributes:
        path: The file.
        video: Its video stream.
        audio: Its audio stream, None if it has none.
        stated: Duration the container states, in seconds; 0 if it states none. May be wrong.
        rate: Frames a second, as FFmpeg estimates it; 25 where it cannot.
        damaged: Packets that could not be decoded so far.

    Args:
        path: The file.
        threads: Decoding threads; 0 for as many as the machine has cores.

    Raises:
        InputError: Not a readable video file, or without a video stream.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self.path, self.damaged, self._threads = path, 0, threads
        self._connect()
        self.rate = _sane_rate(self.video)
        self._period, self._tick = 1 / float(self.rate), float(self.video.time_base or 0)
        self._origin = self._first_time()
        self.stated = max(0.0, (self._container.duration or 0) / MICROSECONDS)

    def _connect(self) -> None:
        """Open the file at its start."""
        self._container = _open(self.path)
        self._size = self._container.size
        try:
            self.video = self._choose_video()
            best = self._container.streams.best("audio")
            self.audio = best if isinstance(best, av.AudioStream) and best.codec_context is not None else None
            self._check_streams()
        except BaseException:
            self._container.close()
            raise
        for stream in self._streams:
            stream.codec_context.options = {"max_pixels": str(bounds.MAX_PIXELS)}
            stream.codec_context.thread_count = bounds.threads_for(self.video, self._threads)
            stream.codec_context.thread_type = "AUTO"
        self._before: dict[int, float] = {}  # of each stream, where its last frame starts
        self._wraps = {stream.index for stream in self._streams if stream.time_base == _MPEG_TICK}

    def _first_time(self) -> float | None:
        """The presentation time that is 0 here; None if only the first frame can tell."""
        container, video = self._container.start_time, self.video.start_time
        if container is None or video is None:
            return None if container is None else container / MICROSECONDS
        start, frames = container / MICROSECONDS, video * self._tick
        # A clock that has wrapped around leaves the container's start a day off.
        return start if abs(start - frames) < _CLOCKS_APART_S else frames

    def _choose_video(self) -> av.VideoStream:
        best = self._container.streams.best("video")
        for stream in [best, *self._container.streams.video]:
            if stream is None or stream.disposition & Disposition.attached_pic:
                continue
            if stream.codec_context is not None and isinstance(stream, av.VideoStream):
                return stream
        raise InputError(f"{self.path}: no video stream; expected a file with frames")

    def _check_streams(self) -> None:
        """Refuse what the container says of sizes and rates before anything is decoded."""
        bounds.check_frame(self.path, self.video, self.video.codec_context.width, self.video.codec_context.height)
        if self.audio is not None:
            bounds.check_audio(self.path, self.audio.codec_context.sample_rate, self.audio.codec_context.channels)

    @property
    def _streams(self) -> list[av.VideoStream | av.AudioStream]:
        return [self.video, *([self.audio] if self.audio is not None else [])]

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def length(self) -> float:
        """Seconds to the end of the last packet, of frame or audio, without decoding any; starts the file anew."""
        self._reopen()
        end = 0.0
        for packet in self._packets():
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base) - (self._origin or 0.0))
        self._reopen()
        return end

    def pieces(self) -> Iterator[Piece]:
        """Every frame of both streams in the order of the file; a damaged packet is counted and left out.

        Raises:
            InputError: Timestamps go back, jump by more than `bounds.MAX_GAP_S`, or go on beyond `bounds.MAX_SECONDS` seconds; or frames or
                audio change to a size or rate that is not taken.
        """
        expected = {stream.index: 0.0 for stream in self._streams}
        for index, frame in self._frames():
            piece = self._timed(index, frame, expected[index])
            bounds.check_time(self.path, self._size, expected[index], piece.start)
            expected[index] = piece.end
            yield piece

    def pieces_from(self, start: float) -> Iterator[Piece]:
        """Every frame of both streams from a key frame at or before `start` seconds on: part of a long file."""
        certain = self._seek(max(0.0, start - 1.0))
        expected, begun = {stream.index: start for stream in self._streams}, set[int]()
        for index, frame in self._frames():
            piece = self._timed(index, frame, expected[index])
            # A key frame may lie long before; from there on, frames follow each other.
            before = expected[index] if index in begun else min(start, piece.start)
            bounds.check_time(self.path, self._size, before, piece.start)
            begun.add(index)
            if not certain and isinstance(frame, av.VideoFrame):
                certain = True
                if piece.start > start + 1e-3:  # landed too late, as may happen in a container without an index
                    self._reopen()
                    yield from self.pieces()
                    return
            expected[index] = piece.end
            yield piece

    def _seek(self, target: float) -> bool:
        """Go to a key frame at or before `target`; whether that is certain (the start of the file is)."""
        self._reopen()
        if target <= 0:
            return True
        try:
            offset = int((target + (self._origin or 0.0)) / (self._tick or 1 / MICROSECONDS))
            self._container.seek(offset, backward=True, stream=self.video)
        except FFmpegError:
            self._reopen()
            return True
        return False

    def _reopen(self) -> None:
        self.close()
        self._connect()

    def _frames(self) -> Iterator[tuple[int, av.VideoFrame | av.AudioFrame]]:
        """Frames with the index of their stream."""
        checked: dict[int, tuple[int, ...]] = {}  # of each stream, what its last frame was: most are as the one before
        for packet in self._packets():
            index = packet.stream.index
            try:
                frames = packet.decode()
            except (FFmpegError, ValueError) as error:
                if index == self.video.index:
                    bounds.check_refused(self.path, self.video, error)
                self.damaged += 1
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    size = (frame.width, frame.height)
                    if size != checked.get(index):
                        bounds.check_frame(self.path, self.video, *size)
                elif isinstance(frame, av.AudioFrame):
                    size = (frame.sample_rate, frame.layout.nb_channels)
                    if size != checked.get(index):
                        bounds.check_audio(self.path, *size)
                else:
                    continue
                checked[index] = size
                yield index, frame

    def _packets(self) -> Iterator[av.Packet[Stream]]:
        packets = self._container.demux(self._streams)
        while True:
            try:
                yield next(packets)
            except (StopIteration, IndexError):  # PyAV's at the end of a file in which a stream begins midway
                return
            except FFmpegError:  # the file ends in the middle of something: what came before it counts
                self.damaged += 1
                return

    def _timed(self, index: int, frame: av.VideoFrame | av.AudioFrame, expected: float) -> Piece:
        """Place a frame on the time axis; one without a timestamp follows the one before it."""
        time = frame.time
        if self._origin is None:
            self._origin = time if time is not None else 0.0
        start = expected if time is None else time - self._origin
        if index in self._wraps:
            start -= round((start - expected) / _MPEG_WRAP) * _MPEG_WRAP
        bounds.check_back(self.path, self._before.get(index, start), start)
        self._before[index] = start
        if isinstance(frame, av.AudioFrame):
            length = frame.samples / max(1, frame.sample_rate)
        else:
            length = frame.duration * self._tick if frame.duration else self._period
        return Piece(start, start + min(length, bounds.MAX_GAP_S), frame)


def _open(path: Path) -> InputContainer:
    with open_regular(path, "a video") as file:
        options = {
            "fd": str(file.fileno()),
            "protocol_whitelist": "fd",
            "format_whitelist": ",".join(bounds.CONTAINERS),
            "max_streams": str(bounds.MAX_STREAMS),
            "max_pixels": str(bounds.MAX_PIXELS),
        }
        try:
            return av.open("fd:", options=options, **_METADATA)
        except (FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise InputError(
                f"{path}: not a video FFmpeg can read, or cut off ({reason}); expected a container such as mp4, mkv,"
                " webm, mov, avi or mpeg; an image, a playlist or text is none"
            ) from error


def _sane_rate(stream: av.VideoStream) -> Fraction:
    """Frames a second: the average rate, where it is one that a camera or an animation could have."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and Fraction(1, 10) <= rate <= 240:
            return Fraction(rate)
    return Fraction(25)
