"""sLSTM: summary LSTM (Zhang, Chao, Sha, Grauman, ECCV 2016, vsLSTM): a bidirectional LSTM learns the labels of clips."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from highlight_lit.methods.networks.learning import BiLSTM, descend, passes, principal_axes, seeded, to_numpy, whole
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.supervised.videos import SupervisedVideos

HIDDEN, TAU, BATCH, STEPS, RATE = 48, 60, 16, 50, 3e-3


def score(videos: SupervisedVideos, seed: int = 0) -> list[Floats]:
    """Logits (T_n,) of each video to evaluate."""
    axes = principal_axes(tuple(example.video for example in videos.training))
    clips = [axes(example.video) for example in videos.informative]
    targets = [torch.from_numpy(example.highlight.astype(np.float32)) for example in videos.informative]
    with seeded(seed):
        network = train(clips, targets, seed)
        with torch.no_grad():
            return [to_numpy(network(*whole(axes(video)))[0, :, 0]) for video in videos.evaluation]


def train(clips: list[Tensor], targets: list[Tensor], seed: int) -> BiLSTM:
    """Fit to windows of the videos by cross entropy, the mean over all clips of a batch."""
    network = BiLSTM(clips[0].shape[1], HIDDEN)
    optimizer = torch.optim.Adam(network.parameters(), RATE, weight_decay=1e-4)
    generator = np.random.default_rng(seed)
    labelled = [torch.cat([x, y[:, None]], 1) for x, y in zip(clips, targets, strict=True)]
    for both, mask in passes(labelled, generator, TAU, BATCH, STEPS):
        z = network(both[..., :-1], mask).squeeze(-1)
        loss = F.binary_cross_entropy_with_logits(z[mask], both[..., -1][mask])
        descend(optimizer, loss)
    return network.eval()
