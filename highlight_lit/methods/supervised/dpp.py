"""DPP: the sequential determinantal point process (Gong, Chao, Grauman, Sha, NeurIPS 2014).

A video is cut into segments of 10 clips. The clips kept of segment t, given those kept of the one before, have

    P(Y_t | Y_{t-1}) = det L_{Y_{t-1} u Y_t} / det (L_{Y_{t-1} u V_t} + I_t),

I_t the identity on V_t and zero on Y_{t-1}. L_ij = q_i q_j k_ij: a clip's quality q = exp(w x + b) and the likeness k of two
clips, a cosine of W x. Learned by maximum likelihood of the labels' highlights. A clip's score is its log odds of being
kept, given the most likely clips (by marginals above 1/2) of the segment before. Cost: linear in the clips.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.methods.networks.learning import descend, principal_axes, seeded, to_numpy
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.supervised.videos import SupervisedVideos

SEGMENT, LIKENESS, STEPS, BATCH, RATE = 10, 16, 60, 24, 1e-2
OWN = 0.2  # share of a clip's likeness to itself alone: keeps L positive definite where clips are the same


class Kernel(nn.Module):
    """The kernel L of some clips: (n, D) -> (n, n), positive definite."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.quality = nn.Linear(D, 1)
        self.likeness = nn.Linear(D, LIKENESS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Clips (n, D) -> L (n, n)."""
        q = self.quality(x).clamp(-6.0, 6.0).exp()  # (n, 1)
        f = F.normalize(self.likeness(x), dim=-1, eps=1e-6)
        alone = 1.0 - (1.0 - OWN) * f.square().sum(-1)  # the diagonal of k is 1
        k = (1.0 - OWN) * f @ f.T
        L: Tensor = q * q.T * (k + torch.diag(alone))
        return L


def log_likelihood(L: Tensor, before: int, kept: Tensor) -> Tensor:
    """Log of P(Y_t | Y_{t-1}).

    Args:
        L: (a + n, a + n) kernel of the clips kept before, first, and the segment's.
        before: a, how many were kept before.
        kept: (n,) which of the segment's are kept.
    """
    chosen = torch.cat([torch.ones(before, dtype=torch.bool), kept])
    return torch.logdet(L[chosen][:, chosen]) - torch.logdet(L + _fresh(L, before))


def marginals(L: Tensor, before: int) -> Tensor:
    """Probability of each of the segment's clips to be kept, given those before, (n,)."""
    inside = 1.0 - torch.linalg.inv(L + _fresh(L, before)).diagonal()[before:]
    p: Tensor = inside.clamp(1e-6, 1 - 1e-6)
    return p


def _fresh(L: Tensor, before: int) -> Tensor:
    """The identity on the segment, zero on what was kept before."""
    return torch.diag((torch.arange(len(L)) >= before).to(L.dtype))


def score(videos: SupervisedVideos, seed: int = 0) -> list[Floats]:
    """Log odds (T_n,) of each video to evaluate."""
    axes = principal_axes(tuple(labelled.video for labelled in videos.training))
    steps = [
        step
        for labelled in videos.informative
        for step in _steps(axes(labelled.video).double(), torch.from_numpy(np.asarray(labelled.highlight)))
    ]
    with seeded(seed):
        kernel = train(steps, seed)
        with torch.no_grad():
            return [to_numpy(_log_odds(kernel, axes(video).double())) for video in videos.evaluation]


def train(steps: list[tuple[Tensor, int, Tensor]], seed: int) -> Kernel:
    """Maximise the mean log likelihood over segments: (clips kept before and the segment's, a, kept)."""
    kernel = Kernel(steps[0][0].shape[1]).double()
    optimizer = torch.optim.Adam(kernel.parameters(), RATE, weight_decay=1e-4)
    generator = np.random.default_rng(seed)
    for _ in range(STEPS):
        chosen = [steps[int(i)] for i in generator.integers(len(steps), size=BATCH)]
        loss = -torch.stack([log_likelihood(kernel(x), before, kept) for x, before, kept in chosen]).mean()
        descend(optimizer, loss)
    return kernel


def _steps(x: Tensor, kept: Tensor) -> list[tuple[Tensor, int, Tensor]]:
    """A labelled video's segments, each behind the clips kept of the one before."""
    steps, before = [], x[:0]
    for clips, labels in zip(torch.split(x, SEGMENT), torch.split(kept, SEGMENT), strict=True):
        steps.append((torch.cat([before, clips]), len(before), labels))
        before = clips[labels]
    return steps


def _log_odds(kernel: Kernel, x: Tensor) -> Tensor:
    """Log odds of a video's clips, segment after segment, (T_n,)."""
    log_odds, before = [], x[:0]
    for clips in torch.split(x, SEGMENT):
        p = marginals(kernel(torch.cat([before, clips])), len(before))
        log_odds.append(torch.logit(p))
        before = clips[p > 0.5]
    return torch.cat(log_odds)
