"""Writing an mp4: H.264 at a constant rate and AAC, as every browser and player takes them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from highlight_lit.errors import InputError
from highlight_lit.media.extraction.find_videos import REEL_MARK
from highlight_lit.media.io.clips import upright
from highlight_lit.media.io.decode import Source

MAX_PIXELS = 3840 * 2160  # of what is written; a larger frame is scaled down
_LARGE = 1920 * 1088  # beyond, the encoder looks less far ahead: each frame it waits for is tens of megabytes
_EARLY_S = 60  # of audio that is held until the first frame tells the size of all
_AAC_RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000)


class MovieWriter:
    """Writes frames and audio one after the other, both from time 0; a context manager.

    Args:
        path: The mp4 to write.
        source: The video that is copied from: its shape, rotation and audio stream are those of the movie.
        rate: Frames a second.
        height: Largest height in pixels; None for the source's.
        quality: Options of the H.264 encoder.
    """

    def __init__(
        self,
        path: Path,
        source: Source,
        rate: Fraction,
        height: int | None = None,
        quality: dict[str, str] | None = None,
    ) -> None:
        self.rate, self.frames, self.samples = rate, 0, 0
        self._source, self._height = source, height
        self._container = av.open(f"file:{path.absolute()}", "w", format="mp4", options={"movflags": "+faststart"})
        self._container.metadata["comment"] = REEL_MARK
        options = {"preset": "veryfast", "crf": "20", **(quality or {})}
        self._video = self._container.add_stream("libx264", rate=rate, options=options)
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = 1 / rate
        self._size: tuple[int, int] | None = None
        self._reformatter = VideoReformatter()
        self._audio: av.AudioStream | None = None
        self._early: list[NDArray[np.float64]] = []
        if source.audio is not None:
            self.sample_rate = source.audio.rate if source.audio.rate in _AAC_RATES else _AAC_RATES[0]
            self.layout = "mono" if source.audio.channels == 1 else "stereo"
            self._audio = self._container.add_stream("aac", rate=self.sample_rate, layout=self.layout)

    @property
    def channels(self) -> int:
        """Channels of the audio."""
        return 1 if self.layout == "mono" else 2

    def __enter__(self) -> MovieWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None:
                for stream in (self._video, self._audio):
                    if stream is not None:
                        self._container.mux(stream.encode(None))
        finally:
            self._container.close()

    def add_frame(self, frame: av.VideoFrame, brightness: float = 1.0) -> None:
        """Add a frame, upright, at `brightness` of its own (0 is black)."""
        turned = frame.rotation % 180 != 0
        if self._size is None:
            self._size = self._fitting(frame, turned)
            self._video.width, self._video.height = self._size
            if self._size[0] * self._size[1] > _LARGE:
                self._video.codec_context.options.update({"preset": "superfast", "threads": "4"})
            for samples in self._early:
                self.add_audio(samples)
            self._early.clear()
        width, height = self._size[::-1] if turned else self._size
        plain = not frame.rotation and brightness >= 1.0
        converted = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="yuv420p" if plain else "rgb24",
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        if not plain:
            pixels = upright(np.asarray(converted.to_ndarray(), np.uint8), frame)
            pixels = np.ascontiguousarray(np.round(pixels * np.float32(min(1.0, brightness))).astype(np.uint8))
            converted = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        elif converted is frame:
            converted = av.VideoFrame.from_ndarray(frame.to_ndarray(), format=frame.format.name)
        converted.pts, converted.time_base = self.frames, 1 / self.rate
        converted.pict_type = av.video.frame.PictureType.NONE
        self._container.mux(self._video.encode(converted))
        self.frames += 1

    def _fitting(self, frame: av.VideoFrame, turned: bool) -> tuple[int, int]:
        """Even width and height of the upright frame with square pixels."""
        aspect = self._source.video.sample_aspect_ratio
        width, height = frame.width * (float(aspect) if aspect else 1.0), float(frame.height)
        if turned:
            width, height = height, width
        scale = min(1.0, (MAX_PIXELS / max(1.0, width * height)) ** 0.5)
        if self._height is not None:
            scale = min(scale, self._height / height)
        return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)

    def add_audio(self, samples: NDArray[np.float64]) -> None:
        """Add (channels, n) samples in -1..1."""
        if self._audio is None or samples.shape[1] == 0:
            return
        if self._size is None:  # writing starts with the first frame, which tells the size of all
            self._early.append(samples)
            if sum(block.shape[1] for block in self._early) > _EARLY_S * self.sample_rate:
                raise InputError(
                    f"{self._source.path}: {_EARLY_S} s of audio before the first frame; expected both side by side"
                )
            return
        block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples, np.float32), format="fltp", layout=self.layout)
        block.sample_rate, block.pts = self.sample_rate, self.samples
        block.time_base = Fraction(1, self.sample_rate)
        self._container.mux(self._audio.encode(block))
        self.samples += samples.shape[1]

    @property
    def has_audio(self) -> bool:
        """Whether the movie has an audio stream."""
        return self._audio is not None
