"""DSN: the surrogate for DeSumNet (Panda, Das, Wu, Ernst, Roy-Chowdhury, ICCV 2017) on clip features.

DeSumNet trains a 3D CNN to tell topics apart and takes the gradient of the topic's score, back at the pixels, as a
measure of importance. Here the classifier reads fixed clip features, along their 64 principal axes: relu(W x) of the
clips, their mean, a hidden layer, a logit. A clip's score is sum |d z_hat / d x| |x|, what its features account for.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.methods.networks.learning import descend, principal_axes, seeded, to_numpy, windows
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.videos import Videos

WIDTH, TAU, BATCH, STEPS, RATE = 64, 60, 32, 50, 1e-3


class TopicClassifier(nn.Module):
    """Logit of a video being of the topic, from its clips (B, tau, D)."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.clip = nn.Sequential(nn.Linear(D, WIDTH), nn.ReLU())
        self.video = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(B, tau, D), (B, tau) -> (B,)."""
        f = self.clip(x) * mask[..., None]
        z: Tensor = self.video(f.sum(1) / mask.sum(1, keepdim=True))
        return z.squeeze(-1)


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,), at least 0, of each video to evaluate."""
    axes = principal_axes(videos.positive + videos.negative)
    positive, negative = ([axes(video) for video in side] for side in (videos.positive, videos.negative))
    with seeded(seed):
        network = train(positive, negative, seed)
        return [saliency(network, axes(video)) for video in videos.evaluation]


def train(positive: list[Tensor], negative: list[Tensor], seed: int) -> TopicClassifier:
    """Fit the classifier to the weak labels, as many positives as negatives in a batch."""
    network = TopicClassifier(positive[0].shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    generator = np.random.default_rng(seed)
    for _ in range(STEPS):
        z, label = [], []
        for value, side in ((1.0, positive), (0.0, negative)):
            chosen = [side[int(i)] for i in generator.integers(len(side), size=BATCH // 2)]
            for x, mask in windows(chosen, generator, TAU, len(chosen)):
                z.append(network(x, mask))
                label.append(torch.full((len(x),), value))
        loss = F.binary_cross_entropy_with_logits(torch.cat(z), torch.cat(label))
        descend(optimizer, loss)
    return network


def saliency(network: TopicClassifier, x: Tensor) -> Floats:
    """Sum over a clip's features of |gradient| |feature|, (T_n,)."""
    x = x[None].requires_grad_()
    z = network(x, torch.ones(x.shape[:2], dtype=torch.bool)).sum()
    (gradient,) = torch.autograd.grad(z, x)
    return to_numpy((gradient * x).abs().sum(-1)[0])
