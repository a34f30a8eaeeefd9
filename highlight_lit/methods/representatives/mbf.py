"""MBF: video co-summarisation by maximal bicliques (Chu, Song, Jaimes, CVPR 2015).

Clips of a video and of another video of its topic are the two sides of a bipartite graph; an edge joins clips that
are much alike. A biclique is a visual concept that both videos show. Large ones are found one after another with the
generalised Motzkin-Straus iteration (Ding et al. 2008), their edges removed in between; a clip's score adds up its mean
similarity to the other side of each biclique it is in.

Cost: n m an iteration for videos of n and m clips; at most 12 other videos, and 256 clips of each, are looked at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from highlight_lit.methods.numerics import TINY, Floats, evenly
from highlight_lit.methods.videos import Videos

PEERS, CLIPS = 12, 256
BICLIQUES = 4  # a pair of videos
ALIKE = 1.0  # standard deviations above the mean similarity that make an edge
EXPONENT = 1.0 / 1.05
ITERATIONS = 40


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,), at least 0, of each video to evaluate, beside the topic's positive videos."""
    scores = []
    for video in videos.evaluation:
        peers = videos.peers(video)
        total = np.zeros(len(video))
        for peer in (peers[i] for i in evenly(len(peers), PEERS)) if peers else ():
            total += shared(np.asarray(video.x @ peer.x[evenly(len(peer), CLIPS)].T, np.float64))
        scores.append(total)
    return scores


def shared(similarity: Floats) -> Floats:
    """How much each row of a similarity matrix (n, m) takes part in its bicliques, (n,)."""
    edges = similarity > max(similarity.mean() + ALIKE * similarity.std(), TINY)
    participation = np.zeros(len(similarity))
    for _ in range(BICLIQUES):
        rows, columns = biclique(edges)
        if len(rows) == 0:
            break
        block = np.ix_(rows, columns)
        participation[rows] += similarity[block].mean(1)
        edges[block] = False
    return participation


def biclique(edges: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a large maximal biclique of a bipartite graph (n, m); empty without an edge.

    `max u^T B v` over u, v >= 0 with sum u^b = sum v^b = 1, b = 1.05, by multiplicative updates that never lower it;
    its support is made a biclique by taking nodes by weight for as long as the number of edges inside grows, and then
    maximal by adding every node that fits.
    """
    if not edges.any():
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    B = edges.astype(np.float64)
    u, v = B.sum(1) / B.sum(), B.sum(0) / B.sum()
    for _ in range(ITERATIONS):
        gain = B @ v
        u = (u * gain / max(float(u @ gain), TINY)) ** EXPONENT
        gain = u @ B
        v = (v * gain / max(float(v @ gain), TINY)) ** EXPONENT
    # Rows by falling weight; after each, the columns that all rows so far are joined to.
    order = np.argsort(-u, kind="stable")
    joined = np.logical_and.accumulate(edges[order], axis=0)
    size = joined.sum(1) * np.arange(1, len(order) + 1)
    columns = np.flatnonzero(joined[int(np.argmax(size))])
    rows = np.flatnonzero(edges[:, columns].all(1))
    return rows, np.flatnonzero(edges[rows].all(0))
