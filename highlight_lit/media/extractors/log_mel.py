"""The log-mel front end of VGGish: audio to a time-frequency image.

The definition is Hershey et al., "CNN architectures for large-scale audio classification" (ICASSP 2017), as released with
AudioSet: 16 kHz, periodic Hann window of 25 ms every 10 ms, magnitude of a 512-point DFT, 64 triangles evenly spaced on
the mel scale from 125 to 7500 Hz, log(x + 0.01).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.media.io.audio_clips import RATE

WINDOW = 400
HOP = 160
DFT = 512
BANDS = 64
LOWEST, HIGHEST = 125.0, 7500.0
OFFSET = 0.01


def mel(frequency: NDArray[np.float64] | float) -> Any:
    """The mel scale, ``1127 ln(1 + f / 700)``, of a frequency in Hz."""
    return 1127.0 * np.log1p(np.asarray(frequency) / 700.0)


@cache
def mel_filters() -> NDArray[np.float64]:
    """Weights of the DFT's bins in each band, (DFT / 2 + 1, BANDS): triangles on the mel scale, none on the constant."""
    bins = mel(np.linspace(0.0, RATE / 2, DFT // 2 + 1))[:, None]
    edges = np.linspace(mel(LOWEST), mel(HIGHEST), BANDS + 2)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0.0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    weights[0] = 0.0
    return np.asarray(weights)


@cache
def _window() -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))


def log_mel(waveform: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Log-mel frames of a waveform.

    Args:
        waveform: (..., n) samples in -1..1 at 16 kHz, n at least `WINDOW`.

    Returns:
        (..., 1 + (n - WINDOW) // HOP, BANDS), at least log(0.01). Computed in float64: near silence the logarithm makes
        100 times as much of an error of the DFT.

    >>> log_mel(np.zeros(16_000)).shape
    (98, 64)
    """
    if waveform.ndim > 1:  # one after the other: the arrays of one stay in the processor's cache
        return np.stack([log_mel(each) for each in waveform])
    frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP]
    padded = np.zeros((len(frames), DFT))
    np.multiply(frames, _window(), out=padded[:, :WINDOW])
    parts = np.fft.rfft(padded).view(np.float64)
    np.square(parts, out=parts)
    magnitude = parts[:, 0::2] + parts[:, 1::2]
    bands = np.sqrt(magnitude, out=magnitude) @ mel_filters()
    bands += OFFSET
    return np.asarray(np.log(bands, out=bands))
