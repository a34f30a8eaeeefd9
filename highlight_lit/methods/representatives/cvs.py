"""CVS: collaborative summarisation of topic-related videos (Panda and Roy-Chowdhury, CVPR 2017).

A few clips of a video X are to represent it and the topic's other videos X~ together:

    min  1/2 ||X - X Z||^2 + a/2 ||X~ - X Z~||^2 + s (sum_i ||Z_i|| + sum_i ||Z~_i||) + b sum_i ||[Z Z~]_i||

over the rows i of Z and Z~; the norm of row i of [Z Z~] is the clip's score. Solved by FISTA, whose proximal map of
nested row norms is exact (the parts, then the whole; Jenatton et al. 2011).

Cost: an iteration is n (n + m) r, with at most 512 clips of the video (interpolated beyond), m = 256 of the others.
"""

from __future__ import annotations

import numpy as np

from highlight_lit.methods.numerics import TINY, Floats, evenly, few_dimensions, rescaled, spread
from highlight_lit.methods.representatives.smrs import shrink_rows
from highlight_lit.methods.videos import Videos

CLIPS, OTHERS, DIMENSIONS = 512, 256, 64
WEIGHT = 0.5  # a
ALPHA = 10.0  # s = b = the least value at which nothing is selected, over 2 alpha
ITERATIONS = 100


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,) in [0, 1] of each video to evaluate, beside the topic's positive videos."""
    scores = []
    for video in videos.evaluation:
        at = evenly(len(video), CLIPS)
        pool = np.concatenate([video.x[:0], *(peer.x for peer in videos.peers(video))])
        others = pool[evenly(len(pool), OTHERS)] if len(pool) else pool
        both = few_dimensions(np.concatenate([video.x[at], others]), DIMENSIONS)
        scores.append(rescaled(spread(at, row_norms(both[: len(at)], both[len(at) :]), len(video))))
    return scores


def row_norms(x: Floats, others: Floats, alpha: float = ALPHA, iterations: int = ITERATIONS) -> Floats:
    """Norms of the rows of [Z Z~], (n,); all 0 where the video's features are all zero.

    Args:
        x: (n, r) the video's clips.
        others: (m, r) the other videos' clips; m may be 0.
        alpha: above 1; higher, more clips are selected.
        iterations: of FISTA.
    """
    n = len(x)
    targets = np.concatenate([x, others]).T  # (r, n + m)
    weight = np.repeat([1.0, WEIGHT], [n, len(others)])
    largest = float(np.linalg.norm(x @ targets * weight, axis=1).max())
    lipschitz = float(np.linalg.norm(x, 2)) ** 2
    if min(largest, lipschitz) <= TINY:
        return np.zeros(n)
    step, shrink = 1.0 / lipschitz, largest / (2 * alpha * lipschitz)
    Z = ahead = np.zeros((n, n + len(others)))
    t = 1.0
    for _ in range(iterations):
        moved = ahead - step * (x @ (x.T @ ahead - targets)) * weight
        parts = [shrink_rows(part, shrink) for part in (moved[:, :n], moved[:, n:])]
        before, Z = Z, shrink_rows(np.concatenate(parts, axis=1), shrink)
        t, previous = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
        ahead = Z + (previous - 1) / t * (Z - before)
    return np.asarray(np.linalg.norm(Z, axis=1))
