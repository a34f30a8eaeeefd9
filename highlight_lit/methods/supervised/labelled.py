"""The guided network with clip labels in its teacher's place: what a network of this size draws from the features.

The loss, the fusion and the settings are those of `experiment=guided`; a clip's target is the rank of its label in its video.
"""

from __future__ import annotations

from functools import partial
from itertools import accumulate, islice

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata  # type: ignore[import-untyped,unused-ignore]
from torch import Tensor

from highlight_lit.methods.networks.learning import descend, passes, seeded, to_numpy, whole
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.supervised.videos import SupervisedVideos
from highlight_lit.methods.videos import Clips
from highlight_lit.models.context import TemporalContext
from highlight_lit.models.fusion import Concatenation, VisualOnly
from highlight_lit.models.highlight_net import Detection, Embedding, HighlightNet
from highlight_lit.models.pooling import SoftmaxGate
from highlight_lit.models.ranking_loss import PairwiseRanking

WIDTH, TAU, BATCH, STEPS, RATE, DECAY, DROPOUT, MODALITY_DROPOUT = 128, 60, 16, 60, 1e-3, 1e-2, 0.5, 0.3


def score(videos: SupervisedVideos, seed: int = 0) -> list[Floats]:
    """Logits (T_n,) of each video to evaluate."""
    with seeded(seed):
        network = train(videos, seed)
        with torch.no_grad():
            return [to_numpy(_detect(network, *whole(_rows(video))).z[0]) for video in videos.evaluation]


def train(videos: SupervisedVideos, seed: int) -> HighlightNet:
    """Rank the clips of windows of the training videos as their labels do."""
    clips = [_rows(example.video) for example in videos.informative]
    targets = [torch.from_numpy(_ranks(example.label)) for example in videos.informative]
    labelled = [torch.cat([x, t[:, None]], 1) for x, t in zip(clips, targets, strict=True)]
    first = videos.training[0].video
    network = _made(first.widths or (first.x.shape[1],), torch.cat(clips))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    loss, generator = PairwiseRanking(), np.random.default_rng(seed)
    for both, mask in islice(passes(labelled, generator, TAU, BATCH, STEPS), STEPS):
        detection = _detect(network, both[..., :-1], mask)
        descend(optimizer, loss(detection, detection.z_hat, mask, both[..., -1])["loss"])
    return network.eval()


def _made(widths: tuple[int, ...], clips: Tensor) -> HighlightNet:
    """The network, its inputs standardised by the training clips (N, D); a stream alone takes the visual one's place."""
    fusion = VisualOnly if len(widths) == 1 else partial(Concatenation, modality_dropout=MODALITY_DROPOUT)
    audio = widths[1] if len(widths) > 1 else None
    network = HighlightNet(widths[0], audio, WIDTH, fusion, TemporalContext, SoftmaxGate, DROPOUT, TAU)
    starts = [0, *accumulate(widths)]
    for name, start, end in zip(("visual", "audio"), starts, starts[1:], strict=False):
        embedding = network.embeddings[name]
        assert isinstance(embedding, Embedding)
        rows = clips[:, start:end]
        there = (rows != 0).any(1) | (name == "visual")
        existing = rows[there] if there.any() else rows
        embedding.fit_statistics(existing.mean(0), existing.std(0, correction=0))
    return network


def _detect(network: HighlightNet, rows: Tensor, mask: Tensor) -> Detection:
    """Rows (B, tau, D) of streams side by side, in which a clip without audio has zeros."""
    visual = network.embeddings["visual"]
    assert isinstance(visual, Embedding)
    v, a = rows[..., : len(visual.mean)], rows[..., len(visual.mean) :]
    detection: Detection = network(v, a if a.shape[-1] else None, mask, mask & (a != 0).any(-1))
    return detection


def _rows(video: Clips) -> Tensor:
    return torch.from_numpy(video.sized.astype(np.float32))


def _ranks(label: Floats) -> NDArray[np.float32]:
    """Ranks in [0, 1], equal ones the mean of theirs, (T_n,)."""
    return np.asarray((rankdata(label) - 1) / max(len(label) - 1, 1), np.float32)
