"""Videos made for the tests: what is seen and heard at each second is known."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.real_processes import python

try:
    import av
except ImportError:  # the tests of this folder then skip themselves, each module with its reason
    av = None

Frame = Callable[[float], NDArray[np.uint8]]
Audio = Callable[[NDArray[np.float64]], NDArray[np.float64]]
HEIGHT, WIDTH = 64, 96


def grey(value: float) -> NDArray[np.uint8]:
    """A frame of one brightness in 0..255."""
    return np.full((HEIGHT, WIDTH, 3), round(value) % 256, np.uint8)


def second_as_brightness(time: float) -> NDArray[np.uint8]:
    """Brightness that tells the second: 20 in the first, 40 in the next."""
    return grey(20 + 20 * int(time + 1e-6))


def hum(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """A steady tone of 440 Hz."""
    return 0.3 * np.sin(2 * np.pi * 440 * time)


def write_video(
    path: Path,
    seconds: float = 4.0,
    frame: Frame | None = second_as_brightness,
    audio: Audio | None = hum,
    *,
    fps: int = 25,
    times: Iterable[float] | None = None,
    audio_from: float = 0.0,
    audio_seconds: float | None = None,
    rate: int = 16_000,
    layout: str = "mono",
    format: str = "mp4",
    codec: str = "libx264",
    audio_codec: str = "aac",
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video: `frame(t)` at each time, `audio(t)` from `audio_from` on for `audio_seconds`.

    `audio(t)` is one waveform for all channels, or a row for each.
    """
    container = av.open(f"file:{path.absolute()}", "w", format=format)
    frames = audio_stream = None
    if frame is not None:
        shown = {"preset": "ultrafast", "crf": "12"} if codec == "libx264" else {}
        frames = container.add_stream(codec, rate=fps, options={**shown, **(options or {})})
        first = frame(0.0)
        frames.height, frames.width = first.shape[:2]
        frames.pix_fmt = "yuv420p"
        frames.codec_context.time_base = Fraction(1, 1000)
    if audio is not None:
        audio_stream = container.add_stream(audio_codec, rate=rate, layout=layout)
    if seconds == 0:
        container.start_encoding()
    if frames is not None and frame is not None:
        every = np.arange(round(seconds * fps)) / fps if times is None else times
        for time in every:
            encoded = av.VideoFrame.from_ndarray(frame(float(time)), format="rgb24")
            encoded.pts, encoded.time_base = round(float(time) * 1000), Fraction(1, 1000)
            container.mux(frames.encode(encoded))
        container.mux(frames.encode(None))
    if audio_stream is not None and audio is not None:
        length = seconds if audio_seconds is None else audio_seconds
        at = audio_from + np.arange(round(length * rate)) / rate
        channels = av.AudioLayout(layout).nb_channels
        samples = np.broadcast_to(audio(at), (channels, len(at)))
        for start in range(0, samples.shape[1], rate):
            # Packed, since PyAV reads beyond the end of a planar frame of eight channels.
            packed = np.ascontiguousarray(samples[:, start : start + rate].T, np.float32).reshape(1, -1)
            block = av.AudioFrame.from_ndarray(packed, "flt", layout)
            block.sample_rate, block.time_base = rate, Fraction(1, rate)
            block.pts = round(audio_from * rate) + start
            container.mux(audio_stream.encode(block))
        container.mux(audio_stream.encode(None))
    container.close()
    return path


def set_rotation(path: Path) -> None:
    """Mark an mp4's first track as to be turned clockwise by a quarter."""
    content = bytearray(path.read_bytes())
    plain = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    turned = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, HEIGHT << 16, 0, 0x40000000)
    at = content.index(plain, content.index(b"tkhd"))
    content[at : at + len(plain)] = turned
    path.write_bytes(content)


def cut_beginning(path: Path, seconds: float) -> None:
    """Move the edit list of an mp4's first track by `seconds`: it then starts that much later in the media."""
    content = bytearray(path.read_bytes())
    header = content.index(b"mdhd")
    timescale = struct.unpack_from(">I", content, header + 4 + 12)[0]
    at = content.index(b"elst") + 4
    version, count = content[at], struct.unpack_from(">I", content, at + 4)[0]
    assert (version, count) == (0, 1)
    start = struct.unpack_from(">i", content, at + 12)[0]
    struct.pack_into(">i", content, at + 12, start + round(seconds * timescale))
    path.write_bytes(content)


def seen_and_heard(path: Path) -> tuple[list[tuple[float, float]], NDArray[np.float64], int]:
    """A file decoded independently: (time, mean brightness) of its frames, its audio from time 0, sample rate."""
    container = av.open(f"file:{path.absolute()}")
    frames, rate, blocks = [], 0, []
    for frame in container.decode(*container.streams.get(video=0), *container.streams.get(audio=0)):
        if isinstance(frame, av.VideoFrame):
            frames.append((frame.time, float(frame.to_ndarray(format="gray").mean())))
        else:
            rate = frame.sample_rate
            samples = frame.to_ndarray().astype(np.float64).mean(0)
            at = round((frame.time - 2**33 / 90_000 * (frame.time > 90_000)) * rate)  # MPEG's clock begins anew
            blocks.append((at, samples))
    container.close()
    audio = np.zeros(max((at + len(samples) for at, samples in blocks), default=0))
    for at, samples in blocks:
        audio[max(0, at) : at + len(samples)] = samples[max(0, -at) :]
    return frames, audio, rate


def command(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in another process."""
    return subprocess.run(
        python("-m", "highlight_lit", *words),
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """What the tests of this folder make and measure videos with."""
    helpers = (write_video, grey, second_as_brightness, hum, set_rotation, cut_beginning, seen_and_heard, command)
    return SimpleNamespace(**{helper.__name__: helper for helper in helpers})
