"""SMRS: sparse modeling representative selection (Elhamifar, Sapiro, Vidal, CVPR 2012).

With a video's clips as the columns of Y,

    min_C  lambda sum_i ||C_i||_2 + 1/2 ||Y - Y C||_F^2   subject to  1^T C = 1^T,

where C_i is the i-th row: clips whose rows stay large represent the others, and a row's norm is the clip's score.
Representatives are the vertices of the clips' convex hull, so clips keep their lengths here: on a sphere every clip is a
vertex, and the norm would rank clips by how little they share with the others. A vertex is an extreme clip, which need
not be a highlight: where the extreme ones are distractors, SMRS chooses those.

Cost: ADMM with one eigendecomposition of the clips' Gram matrix; with at most r = 64 dimensions kept, an iteration
costs n^2 r and the memory is n^2. Above 512 clips the problem is solved for 512 clips spread evenly over the video and
the scores are interpolated, so the cost stays that of 512 clips, whatever the video's length.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from highlight_lit.methods.numerics import TINY, Floats, evenly, few_dimensions, rescaled, spread
from highlight_lit.methods.videos import Videos

CLIPS = 512
DIMENSIONS = 64
ALPHA = 5.0  # lambda = lambda_max / alpha, as in the released code
ITERATIONS = 200
TOLERANCE = 1e-5


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,) in [0, 1] of each video to evaluate; nothing but the video itself is looked at."""
    scores = []
    for video in videos.evaluation:
        at = evenly(len(video), CLIPS)
        norms = np.linalg.norm(coefficients(few_dimensions(video.sized[at], DIMENSIONS)), axis=1)
        scores.append(rescaled(spread(at, norms, len(video))))
    return scores


def coefficients(y: Floats, alpha: float = ALPHA, iterations: int = ITERATIONS) -> Floats:
    """The matrix C, (n, n); every entry 1/n where all clips are the same.

    Args:
        y: (n, r) clips as rows.
        alpha: how far lambda is below the value at which one row alone is not 0; above 1.
        iterations: of ADMM at most.
    """
    n = len(y)
    largest = float(np.linalg.norm(y @ (y - y.mean(0)).T, axis=1).max())  # lambda_max
    if largest <= TINY:
        return np.full((n, n), 1.0 / n)
    threshold = largest / alpha
    mu = threshold  # shrinks rows by threshold / mu = 1 an iteration: the scale of the coefficients
    vector, value, _ = np.linalg.svd(y, full_matrices=False)
    shrink = value**2 / (value**2 + mu)

    def solve(b: Floats) -> Floats:
        """(Y^T Y + mu I)^-1 b."""
        return np.asarray((b - vector @ (shrink[:, None] * (vector.T @ b))) / mu)

    gram, ones = y @ y.T, solve(np.ones((n, 1)))
    Z, dual = np.zeros((n, n)), np.zeros((n, n))
    for _ in range(iterations):
        C = solve(gram + mu * (Z - dual))
        C += ones * ((1.0 - C.sum(0)) / ones.sum())  # onto the columns that add up to 1
        before, Z = Z, shrink_rows(C + dual, threshold / mu)
        dual += C - Z
        if max(np.abs(C - Z).max(), np.abs(Z - before).max()) < TOLERANCE:
            break
    return Z


def shrink_rows(a: Floats, by: float | NDArray[np.float64]) -> Floats:
    """Rows shortened by a length, to 0 at least: the proximal map of the sum of row norms."""
    norms = np.linalg.norm(a, axis=1, keepdims=True)
    return np.asarray(a * np.maximum(1.0 - by / np.maximum(norms, TINY), 0.0))
