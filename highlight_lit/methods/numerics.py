"""Small numerical pieces that several methods share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Floats = NDArray[np.float64]
TINY = 1e-8


def unit(x: NDArray[Any]) -> NDArray[Any]:
    """Rows scaled to length 1; a row that is zero but for rounding stays zero.

    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.asarray(np.where(length > TINY, x / np.maximum(length, TINY), 0.0), x.dtype)


def few_dimensions(x: NDArray[Any], most: int) -> Floats:
    """Rows (n, D) in at most `most` dimensions, those that keep most of their inner products. (n, r), r >= 1.

    The leading eigenvectors of the Gram matrix: inner products are exact where the rows' rank is not above `most`.
    """
    wide = np.asarray(x, np.float64)
    if wide.shape[1] <= most:
        return wide
    if wide.shape[0] <= wide.shape[1]:
        value, vector = np.linalg.eigh(wide @ wide.T)
        return np.asarray(vector[:, -most:] * np.sqrt(np.maximum(value[-most:], 0.0)))
    return np.asarray(wide @ np.linalg.eigh(wide.T @ wide)[1][:, -most:])


def evenly(n: int, most: int) -> NDArray[np.intp]:
    """At most `most` of the indices below n, spread evenly, first and last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.intp))


def spread(at: NDArray[np.intp], values: Floats, n: int) -> Floats:
    """Values known at some of n clips, interpolated linearly over the clips between. (n,)"""
    return np.asarray(np.interp(np.arange(n), at, values))


def rescaled(values: Floats) -> Floats:
    """Values moved to [0, 1]; all 0 where they are the same but for rounding."""
    low, high = float(values.min()), float(values.max())
    flat = high - low <= 1e-9 * max(abs(low), abs(high), TINY)
    return np.zeros(len(values)) if flat else (values - low) / (high - low)
