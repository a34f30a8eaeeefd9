"""KTS: kernel temporal segmentation (Potapov et al., ECCV 2014).

Change points minimise the scatter within segments plus a penalty on their number m,

    1/n sum_segments v(segment) + C m / n (log(n / m) + 1),

where v is the sum of squared distances to the segment's mean in the kernel's feature space. The released code writes the
penalty as vmax m / (2 n) (log(n / m) + 1), so C is half its vmax: C = 1, the default here, is its vmax = 2. The optimum
of every m is found by dynamic programming. Cost: n^2 memory and m_max n^2 time; above 1200 clips runs of clips are
averaged first.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.methods.numerics import Floats

CLIPS = 1200
SEGMENTS = 120  # at most


def segments(x: NDArray[Any], penalty: float = 1.0) -> list[tuple[int, int]]:
    """Cut a video's clips into segments: [start, stop) pairs that cover all of them.

    Args:
        x: (n, D) clips' features; the kernel is their inner product.
        penalty: C, above 0: higher, fewer segments; half the released code's `vmax`.
    """
    run = -(-len(x) // CLIPS)
    starts = np.arange(0, len(x), run)
    means = np.add.reduceat(x, starts, axis=0) / np.diff([*starts, len(x)])[:, None] if run > 1 else x
    bounds = [0, *(int(starts[point]) for point in change_points(np.asarray(means @ means.T), penalty)), len(x)]
    return list(itertools.pairwise(bounds))


def change_points(kernel: NDArray[Any], penalty: float = 1.0) -> list[int]:
    """Change points of a kernel matrix, (n, n): the first clip of each segment but the first.

    >>> change_points(np.kron(np.eye(3), np.ones((4, 4))), 0.5)
    [4, 8]
    """
    n = len(kernel)
    value, last = _optimal_cuts(scatter(kernel), min(n, SEGMENTS))
    m = np.arange(len(value))
    cost = value / n + penalty * m / n * (np.log(n / np.maximum(m, 1)) + 1)
    points: list[int] = []
    stop = n
    for count in range(int(np.argmin(cost)), 0, -1):
        stop = int(last[count, stop])
        points.append(stop)
    return points[::-1]


def scatter(kernel: NDArray[Any]) -> Floats:
    """Scatter v of the segment [i, j) for every i < j, (n, n + 1); infinity elsewhere."""
    n = len(kernel)
    sums = np.pad(np.cumsum(np.cumsum(np.asarray(kernel, np.float64), 0), 1), ((1, 0), (1, 0)))
    diagonal = np.concatenate([[0.0], np.cumsum(np.diag(kernel), dtype=np.float64)])
    i, j = np.arange(n)[:, None], np.arange(n + 1)
    block = np.diag(sums)[None] + np.diag(sums)[:n, None] - sums[:n] - sums[:, :n].T
    v = diagonal[None] - diagonal[:n, None] - block / np.maximum(j - i, 1)
    return np.where(j > i, np.maximum(v, 0.0), np.inf)


def _optimal_cuts(v: Floats, most: int) -> tuple[Floats, NDArray[np.intp]]:
    """Least scatter with m = 0 .. most - 1 change points, and the start of the last segment by (m, stop)."""
    n = len(v)
    best = v[0].copy()  # (n + 1,) by stop, with the change points so far
    value = [float(best[n])]
    last = np.zeros((most, n + 1), np.intp)
    for m in range(1, most):
        total = best[:n, None] + v  # (start of the last segment, stop)
        last[m] = np.argmin(total, axis=0)
        best = total[last[m], np.arange(n + 1)]
        value.append(float(best[n]))
    return np.array(value), last
