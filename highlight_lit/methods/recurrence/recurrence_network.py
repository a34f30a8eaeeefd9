"""Recurrence in two stages (after Islam et al., WACV 2025): the training-free score gives pseudo labels, a network learns them.

Pseudo highlights are the clips of the topic's positives that recur more than half of all the positives' clips do;
the rest of them, and all clips of the negatives, are not. A perceptron with dropout learns to tell them apart.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.methods.networks.learning import descend, seeded, to_numpy
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.recurrence.recurrence import recurrence
from highlight_lit.methods.videos import Videos

WIDTH, BATCH, STEPS, RATE = 128, 256, 300, 1e-3


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Logits (T_n,) of each video to evaluate."""
    highlight, others = pseudo_labels(videos)
    with seeded(seed):
        network = train(highlight, others, seed)
        with torch.no_grad():
            return [to_numpy(network(_scaled(torch.from_numpy(video.x))).squeeze(-1)) for video in videos.evaluation]


@lru_cache(maxsize=1)
def pseudo_labels(videos: Videos) -> tuple[Tensor, Tensor]:
    """Clips called highlights, and the others: (n, D), (m, D), neither empty; found once for all seeds."""
    clips = np.concatenate([video.x for video in videos.positive])
    values = np.concatenate([recurrence(video, videos) for video in videos.positive])
    best = values >= np.median(values)
    others = [clips[~best], *(video.x for video in videos.negative)]
    return torch.from_numpy(clips[best]), torch.from_numpy(np.concatenate(others))


def train(highlight: Tensor, others: Tensor, seed: int) -> nn.Module:
    """Fit the perceptron, half of each batch pseudo highlights."""
    D = highlight.shape[1]
    network = nn.Sequential(nn.Linear(D, WIDTH), nn.ReLU(), nn.Dropout(0.5), nn.Linear(WIDTH, 1))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    generator = np.random.default_rng(seed)
    label = torch.cat([torch.ones(BATCH // 2), torch.zeros(BATCH // 2)])
    for _ in range(STEPS):
        draws = [side[torch.from_numpy(generator.integers(len(side), size=BATCH // 2))] for side in (highlight, others)]
        loss = F.binary_cross_entropy_with_logits(network(_scaled(torch.cat(draws))).squeeze(-1), label)
        descend(optimizer, loss)
    return network.eval()


def _scaled(x: Tensor) -> Tensor:
    """Rows of length 1 to entries of size 1."""
    return x * math.sqrt(x.shape[1])
