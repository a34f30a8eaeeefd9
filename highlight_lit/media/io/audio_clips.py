"""The audio of one-second clips: each sample where its timestamp says, resampled to 16 kHz, the mean of its channels.

A few seconds are held at a time, however long the video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highlight_lit.media.io.audio import Resampled
from highlight_lit.media.io.decode import Piece

RATE = 16_000


@dataclass(frozen=True)
class AudioClip:
    """A clip's audio: its index, (16000,) samples in -1..1 at 16 kHz, and how many of them the file has."""

    index: int
    samples: NDArray[np.float64]
    covered: int


class AudioClips:
    """Collects the audio of clip after clip."""

    def __init__(self) -> None:
        self._resampled = Resampled(RATE, 1, RATE)
        self._open: dict[int, tuple[NDArray[np.float64], int]] = {}
        self._closed = 0

    def push(self, piece: Piece) -> Iterator[AudioClip]:
        """Add a frame; yield each clip that can get no more audio."""
        for position, samples in self._resampled.push(piece):
            self._put(position, samples[0])
            yield from self._close(position // RATE - 1)

    def finish(self) -> Iterator[AudioClip]:
        """Yield the clips that are left."""
        for position, samples in self._resampled.finish():
            self._put(position, samples[0])
        yield from self._close(max(self._open, default=-1) + 1)

    def _put(self, position: int, samples: NDArray[np.float64]) -> None:
        if position < 0:
            samples, position = samples[-position:], 0
        while len(samples):
            clip, offset = divmod(position, RATE)
            part = samples[: RATE - offset]
            if clip >= self._closed:
                wave, covered = self._open.get(clip) or (np.zeros(RATE), 0)
                wave[offset : offset + len(part)] = part
                self._open[clip] = (wave, min(RATE, covered + len(part)))
            samples, position = samples[len(part) :], position + len(part)

    def _close(self, stop: int) -> Iterator[AudioClip]:
        for clip in sorted(clip for clip in self._open if clip < stop):
            wave, covered = self._open.pop(clip)
            yield AudioClip(clip, wave, covered)
        self._closed = max(self._closed, stop)
