"""Features that need no weights: colour, gradients and motion of the frames, log-mel statistics of the audio.

They tell a cut from a pan and a cheer from a hum, so that everything works offline at once; they know nothing of what
is to be seen. Where scores matter, use networks.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.media.extractors.log_mel import log_mel
from highlight_lit.media.io.clips import Frames

GRID = 4
ORIENTATIONS = 8
COLOUR_LEVELS = 4
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


class ClassicVisual:
    """256 numbers a frame, and of those the mean and the standard deviation over the clip: 512.

    A frame's are: how many pixels have each of 4 x 4 x 4 colours (64, square roots of shares); gradients by 8
    orientations in 4 x 4 cells (128, as HOG: Dalal and Triggs, CVPR 2005); brightness of the cells (16); how much each
    cell changed since the frame before (16); gradients times that change, by orientation, in four quarters (32:
    which way edges move).
    """

    name, version, width, batch = "classic", "1", 512, 32
    frames = Frames(per_clip=8, size=32)

    def __call__(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, 8, 32, 32, 3) RGB to (B, 512)."""
        return np.stack([self._clip(clip) for clip in clips])

    def _clip(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        grey = np.asarray(frames @ _GREY / 255, np.float32)
        change = np.diff(grey, axis=0, prepend=grey[:1])
        strength, sector = _gradients(grey)
        cells = _histogram(strength, sector, GRID)
        norm = np.sqrt((cells**2).sum(-1, keepdims=True)) + 0.1 * grey[0].size / GRID**2 / 100
        moved = _histogram(strength * change[:, 1:-1, 1:-1], sector, 2)
        rows = [
            _colours(frames),
            (cells / norm).reshape(len(grey), -1),
            _cell_mean(grey),
            np.sqrt(_cell_mean(np.abs(change))),
            (moved * (40.0 / grey[0].size)).reshape(len(grey), -1),
        ]
        described = np.concatenate(rows, axis=1)
        return np.concatenate([described.mean(0), described.std(0)]).astype(np.float32)


def _colours(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Square roots of the shares of 4 x 4 x 4 colours, (n, 64)."""
    red, green, blue = (frames[..., channel] >> 6 for channel in range(3))
    codes = (red << 4 | green << 2 | blue) + np.arange(0, len(frames) * COLOUR_LEVELS**3, COLOUR_LEVELS**3)[
        :, None, None
    ]
    counts = np.bincount(codes.ravel(), minlength=len(codes) * COLOUR_LEVELS**3)
    return np.asarray(np.sqrt(counts.reshape(len(codes), -1) / codes[0].size), np.float32)


def _gradients(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Strength and orientation (of `ORIENTATIONS` over half a turn) of the gradient inside the border, (n, h, w)."""
    down = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    right = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    angle = np.arctan2(down, right)
    sector = np.floor(angle * np.float32(ORIENTATIONS / np.pi)).astype(np.intp) & (ORIENTATIONS - 1)  # a power of 2
    return np.sqrt(down**2 + right**2), sector


def _histogram(weight: NDArray[np.float32], sector: NDArray[np.intp], grid: int) -> NDArray[np.float32]:
    """Weights summed by orientation in grid x grid cells, (n, grid * grid, ORIENTATIONS)."""
    index = _first_bins(weight.shape, grid) + sector
    sums = np.bincount(index.ravel(), weight.ravel(), minlength=len(weight) * grid**2 * ORIENTATIONS)
    return sums.reshape(len(weight), grid**2, ORIENTATIONS).astype(np.float32)


@cache
def _first_bins(shape: tuple[int, ...], grid: int) -> NDArray[np.intp]:
    """Where each pixel's cell starts in a histogram by frame, cell and orientation, (n, h, w)."""
    count, height, width = shape
    row, column = np.arange(height) * grid // height, np.arange(width) * grid // width
    cell = row[:, None] * grid + column
    return np.asarray((np.arange(count)[:, None, None] * grid**2 + cell) * ORIENTATIONS)


def _cell_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of the grid's cells, (n, GRID * GRID)."""
    count, height, width = values.shape
    rows = values.reshape(count, GRID, height // GRID, width).sum(2)
    return np.asarray(rows.reshape(count, GRID**2, width // GRID).sum(2) * np.float32(GRID**2 / (height * width)))


class ClassicAudio:
    """Mean and standard deviation over the clip of the 64 log-mel bands: 128."""

    # Version 2: of the mean of the channels; 1 was of FFmpeg's mix, which is louder.
    name, version, width, batch = "classic", "2", 128, 32

    def __call__(self, waveforms: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """(B, 16000) samples in -1..1 at 16 kHz to (B, 128)."""
        frames = log_mel(waveforms)
        return np.concatenate([frames.mean(-2), frames.std(-2)], axis=-1).astype(np.float32)
