"""SM: submodular mixture of objectives (Gygli, Grabner, Van Gool, CVPR 2015).

A summary S of k clips maximises w_1 f_1 + w_2 f_2 + w_3 f_3, w >= 0, each f_i monotone and submodular, in [0, 1]:

- interest: the sum over S of what a ridge regression on the labels predicts,
- representation: the mean over clips of their largest similarity to a clip in S,
- coverage: the same in time, with a width of 10 seconds.

Greedy selection is within 1 - 1/e of the best (Nemhauser et al. 1978). The weights are learned by subgradients of the
structured hinge against the labels' highlights, by loss-augmented greedy. A clip's score falls with the place at which
greedy takes it. Cost: n c a pick, with c = 512 clips to represent at most, spread evenly, and at most 128 picks; from
then on clips follow by their gain.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from highlight_lit.methods.numerics import TINY, Floats, evenly, rescaled
from highlight_lit.methods.supervised.videos import Labelled, SupervisedVideos
from highlight_lit.methods.videos import Clips

SHARE = 0.15  # of a video's clips in a summary
WIDTH_SECONDS = 10.0
CLIPS, COVERED, PICKS, EPOCHS, RATE, DECAY, RIDGE = 128, 512, 128, 15, 0.5, 0.01, 1.0
ROWS = 1 << 12  # clips whose gains are in memory at once: 16 MiB


class Objectives(NamedTuple):
    """What the objectives need of a video: interest (n,) in [0, 1]; likeness and nearness in time (n, c) in [0, 1], to c of its
    clips, all of them in a short video."""

    interest: Floats
    likeness: Floats
    nearness: Floats

    def values(self, chosen: list[int], k: int) -> Floats:
        """The three objectives of a set of clips, of which at most k count for the interest's scale, (3,)."""
        if not chosen:
            return np.zeros(3)
        facility = [matrix[chosen].max(0).mean() for matrix in (self.likeness, self.nearness)]
        return np.array([self.interest[chosen].sum() / k, *facility])


def greedy(objectives: Objectives, weight: Floats, k: int, bonus: Floats | None = None) -> tuple[list[int], Floats]:
    """Pick clips one after another by their gain, ties by time.

    Args:
        objectives: the video's.
        weight: (3,), at least 0.
        k: picks, and the scale of the interest.
        bonus: (n,) what each clip adds besides, the augmenting loss.

    Returns:
        The clips picked, in order, and the gain of every clip at the end (-infinity for those picked).
    """
    n = len(objectives.interest)
    flat = weight[0] * objectives.interest / k + (0.0 if bonus is None else bonus)
    matrices = (objectives.likeness, objectives.nearness)
    covered = [np.zeros(objectives.likeness.shape[1])] * 2
    chosen: list[int] = []
    gain = np.zeros(n)
    for pick in range(min(k, n) + 1):
        gain = flat.copy()
        for w, matrix, reached in zip(weight[1:], matrices, covered, strict=True):
            for start in range(0, n, ROWS):
                some = slice(start, start + ROWS)
                gain[some] += w * np.maximum(matrix[some] - reached, 0.0).mean(1)
        gain[chosen] = -np.inf
        if pick < min(k, n):
            best = int(np.argmax(gain))
            chosen.append(best)
            covered = [np.maximum(reached, matrix[best]) for matrix, reached in zip(matrices, covered, strict=True)]
    return chosen, gain


def score(videos: SupervisedVideos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,) in [0, 1] of each video to evaluate: 1 for greedy's first clip."""
    ridge = _ridge(videos.informative)
    weight = learn(videos.informative, ridge)
    scores = []
    for video in videos.evaluation:
        objectives, n = _objectives(video, ridge), len(video)
        k = min(n, PICKS)
        chosen, gain = greedy(objectives, weight, k)
        rest = np.argsort(-gain, kind="stable")[: n - k]
        place = np.empty(n)
        place[np.concatenate([np.array(chosen, np.intp), rest])] = np.arange(n)
        scores.append(rescaled(-place))
    return scores


def learn(videos: list[Labelled], ridge: Floats) -> Floats:
    """The objectives' weights, (3,), at least 0, summing to 1: subgradient descent, the mean of the iterates."""
    examples = []
    for labelled in videos:
        at = evenly(len(labelled.video), CLIPS)
        k = max(1, round(SHARE * len(at)))
        clips = Clips(labelled.video.id, labelled.video.duration, labelled.video.span[at], labelled.video.x[at])
        wanted = np.argsort(-labelled.label[at], kind="stable")[:k].tolist()
        examples.append((_objectives(clips, ridge), wanted, k))
    weight = total = np.ones(3) / 3
    for step in range(1, EPOCHS * len(examples) + 1):
        of_video, wanted, k = examples[step % len(examples)]
        bonus = np.full(len(of_video.interest), 1.0 / k)
        bonus[wanted] = 0.0
        picked, _ = greedy(of_video, weight, k, bonus)
        slope = DECAY * weight + of_video.values(picked, k) - of_video.values(wanted, k)
        weight = np.maximum(weight - RATE / step**0.5 * slope, 0.0)
        total = total + weight
    return np.asarray(total / max(float(total.sum()), TINY))


def _ridge(videos: list[Labelled]) -> Floats:
    """Weights (D,) of a ridge regression of labels, each less its video's mean, on clips, less theirs."""
    x = np.concatenate([labelled.video.x - labelled.video.x.mean(0) for labelled in videos]).astype(np.float64)
    y = np.concatenate([labelled.label - labelled.label.mean() for labelled in videos])
    if len(x) < x.shape[1]:  # the same solution through the Gram matrix of the clips
        return np.asarray(x.T @ np.linalg.solve(x @ x.T + RIDGE * np.eye(len(x)), y))
    return np.asarray(np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y))


def _objectives(video: Clips, ridge: Floats) -> Objectives:
    middle = video.span.mean(1)
    at = evenly(len(video), COVERED)
    # In place: of hours of video each (n, c) takes hundreds of megabytes.
    nearness = middle[:, None] - middle[at]
    np.abs(nearness, out=nearness)
    nearness /= -WIDTH_SECONDS
    np.exp(nearness, out=nearness)
    likeness = np.asarray(video.x @ video.x[at].T, np.float64)
    likeness += 1.0
    likeness /= 2
    np.clip(likeness, 0.0, 1.0, out=likeness)
    return Objectives(rescaled(video.x @ ridge), likeness, nearness)
