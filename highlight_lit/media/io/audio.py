"""Audio of any format at one sample rate, in one channel or two, as loud as it was.

Channels are averaged. FFmpeg's own mix of float samples is a weighted sum: stereo of one signal becomes 1.41 times as
loud in one channel, 5.1 up to 2.4 times, and that of 16-bit samples is not.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from highlight_lit.media.io.decode import Piece

# Container timestamps are rounded to milliseconds and priming is a few; only a larger step is a gap in the audio.
_GAP_SECONDS = 0.03
# Float samples may be anything; from here on sums of them stay finite. Full scale is 1.
_LOUDEST = 1e6


class Resampled:
    """Audio at another rate and number of channels, in runs without gaps.

    Args:
        rate: Samples a second wanted.
        channels: 1: the mean of all channels; 2: left and right, see `mixing_weights`.
        block: Samples in a block given back, except a run's last.
    """

    def __init__(self, rate: int, channels: int, block: int) -> None:
        self.rate, self.channels, self.block = rate, channels, block
        self._resampler: av.AudioResampler | None = None
        self._to_float: av.AudioResampler | None = None
        self._weights = np.ones((1, channels))
        self._waiting: list[av.AudioFrame] = []
        self._waiting_samples = 0
        self._kind: tuple[object, ...] = ()
        self._source_rate = rate
        self._expected = 0.0
        self._next = 0

    def push(self, piece: Piece) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Add a frame; yield (position of the first sample, (channels, n) samples)."""
        frame = piece.frame
        assert isinstance(frame, av.AudioFrame)
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or kind != self._kind or abs(piece.start - self._expected) > _GAP_SECONDS:
            yield from self.finish()
            # Packed, since PyAV reads beyond the end of a planar frame of eight channels and more.
            self._to_float = av.AudioResampler("flt", frame_size=frame.sample_rate)
            self._weights = mixing_weights([channel.name for channel in frame.layout.channels], self.channels)
            self._resampler = av.AudioResampler("dblp", self._layout, self.rate, frame_size=self.block)
            self._kind, self._source_rate = kind, frame.sample_rate
            self._next, self._expected = round(piece.start * self.rate), piece.start
        self._expected += frame.samples / frame.sample_rate
        frame.pts = None
        # A second at once: one by one, between frames, each frame finds the processor's caches full of frames.
        self._waiting.append(frame)
        self._waiting_samples += frame.samples
        if self._waiting_samples >= frame.sample_rate:
            yield from self._resample_waiting()

    def finish(self) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """Yield what the run still holds."""
        if self._resampler is not None:
            yield from self._resample_waiting(None)
            yield from self._resample(None)
            self._resampler = None

    @property
    def _layout(self) -> str:
        return "mono" if self.channels == 1 else "stereo"

    def _resample_waiting(self, *end: None) -> Iterator[tuple[int, NDArray[np.float64]]]:
        packed = [block for frame in [*self._waiting, *end] for block in _resampled(self._to_float, frame)]
        self._waiting.clear()
        self._waiting_samples = 0
        for block in packed:
            samples = block.to_ndarray().reshape(-1, len(self._weights)).astype(np.float64)
            yield from self._resample(self._mixed(samples))

    def _mixed(self, samples: NDArray[np.float64]) -> av.AudioFrame:
        mixed = np.ascontiguousarray((samples @ self._weights).T)
        if not np.abs(mixed).max(initial=0.0) <= _LOUDEST:  # as NaN is not
            mixed = np.nan_to_num(mixed, nan=0.0, posinf=1.0, neginf=-1.0).clip(-_LOUDEST, _LOUDEST)
        frame = av.AudioFrame.from_ndarray(mixed, format="dblp", layout=self._layout)
        frame.sample_rate = self._source_rate
        return frame

    def _resample(self, frame: av.AudioFrame | None) -> Iterator[tuple[int, NDArray[np.float64]]]:
        for block in _resampled(self._resampler, frame):
            samples = np.asarray(block.to_ndarray(), np.float64)
            yield self._next, samples
            self._next += samples.shape[1]


def _resampled(resampler: av.AudioResampler | None, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
    assert resampler is not None
    try:
        return list(resampler.resample(frame))
    except (FFmpegError, ValueError):
        return []  # a format that FFmpeg cannot convert: these samples are missing


def mixing_weights(names: list[str], channels: int) -> NDArray[np.float64]:
    """What each channel counts in each of the channels wanted, (len(names), channels); columns sum to 1.

    One channel is the mean of all, as the published extractors take it. Of two, each is the mean of the channels on its
    side and in the middle, without the one for low frequencies; one or two channels stay as they are, and where none is
    known to be on a side, both are the mean of all.

    Args:
        names: FFmpeg's of the channels: FL, FR, FC, LFE, ...
        channels: 1 or 2.

    >>> mixing_weights(["FL", "FR", "FC", "LFE"], 2).tolist()
    [[0.5, 0.0], [0.0, 0.5], [0.5, 0.5], [0.0, 0.0]]
    """
    if channels == 2 and len(names) == 2:
        return np.eye(2)
    weights = np.ones((len(names), channels))
    sides = [("L" in name, "R" in name) if name[:3] != "LFE" else None for name in names]
    if channels == 2 and (True, False) in sides and (False, True) in sides:
        weights[:] = [(0, 0) if side is None else (not side[1], not side[0]) for side in sides]
    return np.asarray(weights / weights.sum(0))
