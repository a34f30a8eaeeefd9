"""Reading a video file with FFmpeg: one picture and one sound stream, on one time axis that starts at 0.

The file is untrusted. FFmpeg is handed the open file and can open no other: no protocol but that is allowed, and no
format but the containers of `CONTAINERS`. Sizes, rates and timestamps are checked before memory is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.error import ArgumentError, FFmpegError
from av.stream import Disposition, Stream

from highlight_lit.errors import InputError
from highlight_lit.files import open_regular

# The containers that are read, by FFmpeg's names. All else FFmpeg knows is a list of other files, a single picture, text,
# a device, or sound alone.
CONTAINERS = (
    "mov", "mp4", "matroska", "webm", "avi", "asf", "asf_o", "flv", "live_flv", "mpeg", "mpegts", "mpegvideo", "ogg", "rm",
    "mxf", "gxf", "lxf", "nut", "wtv", "dv", "ivf", "obu", "h264", "hevc", "vvc", "m4v", "h263", "vc1", "dirac", "cavsvideo",
    "gif", "yuv4mpegpipe",
)  # fmt: skip
# Sixteen reference pictures of this size in 8-bit 4:2:0 are 400 MB. 4096 x 4096: 5.3K of an action camera fits, 8K does not.
MAX_PIXELS = 1 << 24
MAX_SHAPE = 64  # longer side to shorter side, as shown
MAX_CLIPS = 12 * 3600  # one a second: the longest that video sites keep
MAX_GAP_S = 600.0  # between one frame and the next of a stream
MAX_STREAMS = 64
SAMPLE_RATES = (1_000, 768_000)  # least and most, samples a second
MAX_CHANNELS = 64
_AT_MOST_PIXELS = (
    f"expected at most {MAX_PIXELS:,} pixels (4096 x 4096), a bound that cannot be raised; scale the video down first"
)
_THREAD_PIXELS = 1 << 24  # of pictures in work at once: each decoding thread holds its own

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

    Times are the file's presentation times less its first one, with edit lists applied (by FFmpeg), so that sound
    that starts late does. Of several streams FFmpeg's choice is taken; cover art is no video.

    Attributes:
        path: The file.
        video: Its picture stream.
        audio: Its sound stream, None if it has none.
        stated: Duration the container states, in seconds; 0 if it states none. May be wrong.
        rate: Pictures a second, as FFmpeg estimates it; 25 where it cannot.
        damaged: Packets that could not be decoded so far.

    Args:
        path: The file.
        threads: Decoding threads; 0 for as many as the machine has cores.

    Raises:
        InputError: Not a readable video file, or without pictures.
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
        try:
            self.video = self._choose_video()
            best = self._container.streams.best("audio")
            self.audio = best if isinstance(best, av.AudioStream) and best.codec_context is not None else None
            self._check_streams()
        except BaseException:
            self._container.close()
            raise
        for stream in self._streams:
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            stream.codec_context.thread_count = _threads_for(self.video, self._threads)
            stream.codec_context.thread_type = "AUTO"
        self._wraps = {stream.index for stream in self._streams if stream.time_base == _MPEG_TICK}

    def _first_time(self) -> float | None:
        """The presentation time that is 0 here; None if only the first frame can tell."""
        container, video = self._container.start_time, self.video.start_time
        if container is None or video is None:
            return None if container is None else container / MICROSECONDS
        start, pictures = container / MICROSECONDS, video * self._tick
        # A clock that has wrapped around leaves the container's start a day off.
        return start if abs(start - pictures) < _CLOCKS_APART_S else pictures

    def _choose_video(self) -> av.VideoStream:
        best = self._container.streams.best("video")
        for stream in [best, *self._container.streams.video]:
            if stream is None or stream.disposition & Disposition.attached_pic:
                continue
            if stream.codec_context is not None and isinstance(stream, av.VideoStream):
                return stream
        raise InputError(f"{self.path}: no video stream; expected a file with pictures")

    def _check_streams(self) -> None:
        context = self.video.codec_context
        self._check_picture(context.width, context.height)
        if self.audio is not None:
            self._check_sound(self.audio.codec_context.sample_rate, self.audio.codec_context.channels)

    def _check_picture(self, width: int, height: int) -> None:
        if width * height > MAX_PIXELS:
            raise InputError(f"{self.path}: pictures of {width} x {height}; {_AT_MOST_PIXELS}")
        shown = sorted((width * float(self.video.sample_aspect_ratio or 1), float(height)))
        if shown[1] > MAX_SHAPE * shown[0] > 0:
            raise InputError(
                f"{self.path}: pictures of {width} x {height}, shown {shown[1] / shown[0]:.0f} times as long as they are"
                f" short; expected at most {MAX_SHAPE} times, a bound that cannot be raised; crop the video first"
            )

    def _check_refused(self, error: Exception) -> None:
        """A picture over `MAX_PIXELS` that a decoder refused is no damage: its size is left in the context, or 0."""
        width, height = self.video.codec_context.width, self.video.codec_context.height
        if width == 0 and isinstance(error, ArgumentError):
            raise InputError(f"{self.path}: pictures too large, or of no size; {_AT_MOST_PIXELS}") from error
        self._check_picture(width, height)

    def _check_sound(self, rate: int, channels: int) -> None:
        least, most = SAMPLE_RATES
        if not (rate == 0 or least <= rate <= most) or channels > MAX_CHANNELS:
            raise InputError(
                f"{self.path}: audio of {channels} channels, {rate} samples a second; expected at most {MAX_CHANNELS} and"
                f" {least} to {most}, bounds that cannot be raised; convert the audio first"
            )

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

    def pieces(self) -> Iterator[Piece]:
        """Every frame of both streams in the order of the file; a damaged packet is counted and left out.

        Raises:
            InputError: Timestamps jump by more than `MAX_GAP_S`, or go on beyond `MAX_CLIPS` seconds; or pictures or
                sound change to a size or rate that is not taken.
        """
        expected = {stream.index: 0.0 for stream in self._streams}
        for index, frame in self._frames():
            piece = self._timed(index, frame, expected[index])
            if abs(piece.start - expected[index]) > MAX_GAP_S:
                raise InputError(
                    f"{self.path}: timestamps jump from {expected[index]:.0f} s to {piece.start:.0f} s; expected gaps of"
                    f" at most {MAX_GAP_S:.0f} s, a bound that cannot be raised; put what is after it into another file"
                )
            if piece.start > MAX_CLIPS:
                raise InputError(
                    f"{self.path}: longer than {MAX_CLIPS / 3600:.0f} hours, a bound that cannot be raised; expected"
                    " shorter parts, each a file"
                )
            expected[index] = piece.end
            yield piece

    def pieces_from(self, start: float) -> Iterator[Piece]:
        """As `pieces`, from a key frame at or before `start` seconds: for reading part of a long file."""
        found = self._seek(max(0.0, start - 1.0))
        expected = {stream.index: start for stream in self._streams}
        for index, frame in self._frames():
            piece = self._timed(index, frame, expected[index])
            if not found and isinstance(frame, av.VideoFrame):
                found = True
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
        for packet in self._packets():
            index = packet.stream.index
            try:
                frames = packet.decode()
            except (FFmpegError, ValueError) as error:
                if index == self.video.index:
                    self._check_refused(error)
                self.damaged += 1
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    self._check_picture(frame.width, frame.height)
                    yield index, frame
                elif isinstance(frame, av.AudioFrame):
                    self._check_sound(frame.sample_rate, frame.layout.nb_channels)
                    yield index, frame

    def _packets(self) -> Iterator[av.Packet[Stream]]:
        packets = self._container.demux(self._streams)
        while True:
            try:
                yield next(packets)
            except StopIteration:
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
        if isinstance(frame, av.AudioFrame):
            length = frame.samples / max(1, frame.sample_rate)
        else:
            length = frame.duration * self._tick if frame.duration else self._period
        return Piece(start, start + min(length, MAX_GAP_S), frame)


def _open(path: Path) -> InputContainer:
    with open_regular(path, "a video") as file:
        options = {
            "fd": str(file.fileno()),
            "protocol_whitelist": "fd",
            "format_whitelist": ",".join(CONTAINERS),
            "max_streams": str(MAX_STREAMS),
            "max_pixels": str(MAX_PIXELS),
        }
        try:
            return av.open("fd:", options=options, **_METADATA)
        except (FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise InputError(
                f"{path}: not a video FFmpeg can read, or cut off ({reason}); expected a container such as mp4, mkv,"
                " webm, mov, avi or mpeg; a picture, a playlist or text is none"
            ) from error


def _threads_for(video: av.VideoStream, wanted: int) -> int:
    """Decoding threads, fewer where pictures are large."""
    pixels = max(1, video.codec_context.width * video.codec_context.height)
    return max(1, min(wanted or os.cpu_count() or 1, 16, _THREAD_PIXELS // pixels))


def _sane_rate(stream: av.VideoStream) -> Fraction:
    """Pictures a second: the average rate, where it is one that a camera or an animation could have."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and Fraction(1, 10) <= rate <= 240:
            return Fraction(rate)
    return Fraction(25)
