"""Bounds on what is read of a video file: checked before memory is asked for, and named in the line that refuses it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from highlight_lit.errors import InputError

if TYPE_CHECKING:
    import av

# The containers that are read, by FFmpeg's names. All else FFmpeg knows is a list of other files, a single image, text,
# a device, or audio alone.
CONTAINERS = (
    "mov", "mp4", "matroska", "webm", "avi", "asf", "asf_o", "flv", "live_flv", "mpeg", "mpegts", "mpegvideo", "ogg", "rm",
    "mxf", "gxf", "lxf", "nut", "wtv", "dv", "ivf", "obu", "h264", "hevc", "vvc", "m4v", "h263", "vc1", "dirac", "cavsvideo",
    "gif", "yuv4mpegpipe",
)  # fmt: skip
# Sixteen reference frames of this size in 8-bit 4:2:0 are 400 MB. 4096 x 4096: 5.3K of an action camera fits, 8K does not.
MAX_PIXELS = 1 << 24
MAX_SHAPE = 64  # longer side to shorter side, as shown
MAX_SECONDS = 12 * 3600  # of a video, a clip each: the longest that video sites keep
FREE_SECONDS = 3600.0
BYTES_A_SECOND = 8  # of a file, beyond those: stills and silence take more
MAX_GAP_S = 600.0  # between one frame and the next of a stream
MAX_BACK_S = 1.0  # that a frame may start before the one before it
MAX_STREAMS = 64
SAMPLE_RATES = (1_000, 768_000)  # least and most, samples a second
MAX_CHANNELS = 64
SILENCE_DB = -90.0  # least loudness of a clip, relative to full scale
_AT_MOST_PIXELS = (
    f"expected at most {MAX_PIXELS:,} pixels (4096 x 4096), a bound that cannot be raised; scale the video down first"
)
_THREAD_PIXELS = 1 << 24  # of frames in work at once: each decoding thread holds its own


def check_frame(path: Path, stream: av.VideoStream, width: int, height: int) -> None:
    """Refuse frames of more than `MAX_PIXELS`, or longer and thinner than `MAX_SHAPE`.

    Raises:
        InputError: With the bound.
    """
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: frames of {width} x {height}; {_AT_MOST_PIXELS}")
    short, long = sorted((width * float(stream.sample_aspect_ratio or 1), float(height)))
    if long > MAX_SHAPE * short > 0:
        raise InputError(
            f"{path}: frames of {width} x {height}, shown {long / short:.0f} times as long as they are short;"
            f" expected at most {MAX_SHAPE} times, a bound that cannot be raised; crop the video first"
        )


def check_refused(path: Path, stream: av.VideoStream, error: Exception) -> None:
    """Tell a frame that a decoder refused for its size, which it leaves in its context or as 0, from a damaged one.

    Raises:
        InputError: It was refused for its size.
    """
    from av.error import ArgumentError

    width, height = stream.codec_context.width, stream.codec_context.height
    if width == 0 and isinstance(error, ArgumentError):
        raise InputError(f"{path}: frames too large, or of no size; {_AT_MOST_PIXELS}") from error
    check_frame(path, stream, width, height)


def check_audio(path: Path, rate: int, channels: int) -> None:
    """Refuse rates and numbers of channels that no audio has; 0 stands for unknown.

    Raises:
        InputError: With the bounds.
    """
    least, most = SAMPLE_RATES
    if not (rate == 0 or least <= rate <= most) or channels > MAX_CHANNELS:
        raise InputError(
            f"{path}: audio of {channels} channels, {rate} samples a second; expected at most {MAX_CHANNELS} and"
            f" {least} to {most}, bounds that cannot be raised; convert the audio first"
        )


def check_time(path: Path, size: int, expected: float, start: float) -> None:
    """Refuse a frame that starts far from where the one before it ends, or too late: clips are counted by time.

    Args:
        path: The file.
        size: Its bytes.
        expected, start: Seconds at which the frame before it ends, and at which it starts.

    Raises:
        InputError: With the bound.
    """
    if abs(start - expected) > MAX_GAP_S:
        raise InputError(
            f"{path}: timestamps jump from {expected:.0f} s to {start:.0f} s; expected gaps of at most {MAX_GAP_S:.0f} s,"
            " a bound that cannot be raised; put what comes after it into another file"
        )
    if start > FREE_SECONDS + size / BYTES_A_SECOND:
        raise InputError(
            f"{path}: goes on to {start:.0f} s with {size} bytes; expected at least {BYTES_A_SECOND} for each second beyond"
            " the first hour, a bound that cannot be raised"
        )
    if start > MAX_SECONDS:
        raise InputError(
            f"{path}: longer than {MAX_SECONDS // 3600} hours, a bound that cannot be raised; expected shorter parts, each"
            " a file"
        )


def check_back(path: Path, before: float, start: float) -> None:
    """Refuse a frame that starts far before the one before it: of files joined, the second's clips would be lost in the first's.

    Args:
        path: The file.
        before, start: Seconds at which the frame before it starts, and at which it does.

    Raises:
        InputError: With what to do.
    """
    if before - start > MAX_BACK_S:
        raise InputError(
            f"{path}: timestamps go back from {round(before)} s to {round(start)} s, as where files were joined; expected one run"
            " of them: put what comes after it into another file, or write both anew (ffmpeg -i JOINED NEW.mp4)"
        )


def threads_for(stream: av.VideoStream, wanted: int) -> int:
    """Decoding threads (0 wanted: one a core), fewer where frames are large."""
    pixels = max(1, stream.codec_context.width * stream.codec_context.height)
    return max(1, min(wanted or os.cpu_count() or 1, 16, _THREAD_PIXELS // pixels))
