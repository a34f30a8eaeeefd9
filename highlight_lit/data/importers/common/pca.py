"""Principal components of clip features, fitted in one pass in memory that does not grow with the corpus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.errors import InputError

MAX_WIDTH = 1 << 12  # of features: the covariance is 128 MB of that, held some five times


@dataclass(frozen=True)
class Projection:
    """An affine map onto the first principal components.

    Attributes:
        mean: (D,) mean of the rows it was fitted on.
        basis: (D, k) orthonormal columns, in the order of falling variance.
    """

    mean: NDArray[np.float64]
    basis: NDArray[np.float64]

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """(T_n, D) features to (T_n, k) components."""
        return ((rows.astype(np.float64) - self.mean) @ self.basis).astype(np.float32)


def fit(blocks: Iterable[NDArray[Any]], width: int, where: str) -> Projection:
    """Fit a projection: the leading eigenvectors of the covariance, which is summed up in float64.

    A component's sign is chosen so that its largest entry is positive, and so does not depend on the machine.

    Args:
        blocks: Features of one video after another, (T_n, D) each, finite.
        width: k, from 1 to D.
        where: What is projected, for the error.

    Raises:
        InputError: `width` is not in 1..D, or there are no more than `width` rows to fit on.
    """
    rows = 0
    # About the first block's mean: sums about 0 lose the digits in which large features differ.
    shift = total = scatter = np.zeros(0)
    for block in blocks:
        values = block.astype(np.float64)
        if rows == 0:
            if values.shape[1] > MAX_WIDTH:
                raise InputError(
                    f"{where}: {values.shape[1]} wide; expected at most {MAX_WIDTH} for a pca, a bound that cannot be raised"
                )
            if not 1 <= width <= values.shape[1]:
                raise InputError(f"{where}: pca {width}: expected a number from 1 to the width {values.shape[1]}")
            shift, total = values.mean(axis=0), np.zeros(values.shape[1])
            scatter = np.zeros((values.shape[1], values.shape[1]))
        values -= shift
        total += values.sum(axis=0)
        scatter += values.T @ values
        rows += len(values)
    if rows <= width:
        raise InputError(f"{where}: pca {width}: {rows} clips to fit on, expected more than {width}")
    covariance = (scatter - np.outer(total, total) / rows) / (rows - 1)
    _, vectors = np.linalg.eigh(covariance)
    basis = vectors[:, ::-1][:, :width]
    largest = np.take_along_axis(basis, np.abs(basis).argmax(axis=0)[None], axis=0)
    return Projection(shift + total / rows, basis * np.sign(largest))
