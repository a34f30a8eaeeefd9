"""Quasi: quasi real-time summarisation with an online dictionary (Zhao and Xing, CVPR 2014, "LiveLight").

A video is read once, in short segments. Each is coded by a dictionary learned from what came before, its clips sharing
their atoms (group sparse coding); what the dictionary cannot reconstruct is new, and its error is the clip's score.
Segments that are new then update the dictionary. Cost: linear in the clips.
"""

from __future__ import annotations

import numpy as np

from highlight_lit.methods.numerics import TINY, Floats, unit
from highlight_lit.methods.representatives.smrs import shrink_rows
from highlight_lit.methods.videos import Videos

SEGMENT = 5  # clips
ATOMS = 48
SPARSITY = 0.05
NEW = 0.05  # a mean error above it updates the dictionary
STEPS = 30


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,), at least 0, of each video to evaluate; nothing but the video itself is looked at."""
    return [novelty(np.asarray(video.x, np.float64)) for video in videos.evaluation]


def novelty(x: Floats) -> Floats:
    """Error of each clip under the dictionary of what came before it, (T_n,).

    The first two segments start the dictionary, and are scored by it once it has seen them.

    Args:
        x: (T_n, D), rows of length 1 at most.
    """
    start = 2 * SEGMENT
    dictionary = OnlineDictionary(x[:start])
    errors = [dictionary.learn(x[:start])]
    for first in range(start, len(x), SEGMENT):
        segment = x[first : first + SEGMENT]
        error = dictionary.error(segment, dictionary.code(segment))
        if error.mean() > NEW:
            dictionary.learn(segment)
        errors.append(error)
    return np.concatenate(errors)


class OnlineDictionary:
    """A dictionary that follows a stream of clips (Mairal et al. 2010), with codes shared by the clips of a segment.

    Attributes:
        atoms: (K, D), rows of length 1 at most.
    """

    def __init__(self, x: Floats) -> None:
        """Start from some clips, (n, D): each is an atom, up to the number of atoms."""
        self.atoms = unit(x[:ATOMS])
        self._codes, self._targets = np.zeros((len(self.atoms),) * 2), np.zeros_like(self.atoms)

    def code(self, x: Floats) -> Floats:
        """Codes (K, n) that minimise `1/2 ||X - A^T C||^2 + sparsity sqrt(n) sum_k ||C_k||`, by FISTA."""
        gram, target = self.atoms @ self.atoms.T, self.atoms @ x.T
        step = 1.0 / max(float(np.linalg.norm(gram)), TINY)
        codes = ahead = np.zeros_like(target)
        t = 1.0
        for _ in range(STEPS):
            before, codes = codes, shrink_rows(ahead - step * (gram @ ahead - target), step * SPARSITY * len(x) ** 0.5)
            t, previous = (1 + (1 + 4 * t * t) ** 0.5) / 2, t
            ahead = codes + (previous - 1) / t * (codes - before)
        return codes

    def error(self, x: Floats, codes: Floats) -> Floats:
        """Half the squared error of each clip's reconstruction, (n,)."""
        return np.asarray(0.5 * np.square(x - codes.T @ self.atoms).sum(1))

    def learn(self, x: Floats) -> Floats:
        """Take clips in, update the atoms, and return the clips' errors before the update, (n,)."""
        codes = self.code(x)
        error = self.error(x, codes)
        # Clips that no atom explains become atoms of their own, while there is room.
        novel = unit(x[error > NEW][: ATOMS - len(self.atoms)])
        self._grow(novel)
        codes = self.code(x)
        self._codes += codes @ codes.T
        self._targets += codes @ x
        for k in np.flatnonzero(np.diag(self._codes) > TINY):
            atom = self.atoms[k] + (self._targets[k] - self._codes[k] @ self.atoms) / self._codes[k, k]
            self.atoms[k] = atom / max(1.0, float(np.linalg.norm(atom)))
        return error

    def _grow(self, atoms: Floats) -> None:
        new = len(atoms)
        self.atoms = np.concatenate([self.atoms, atoms])
        self._codes = np.pad(self._codes, (0, new))
        self._targets = np.pad(self._targets, ((0, new), (0, 0)))
