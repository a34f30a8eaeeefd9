"""VESD: variational encoder-summarizer-decoder (Cai, Zuo, Davis, Zhang, ECCV 2018), learned from web videos of a topic.

First a variational autoencoder learns codes of the topic's web videos; the spread of their codes is the topic's prior.
Then an attention over a video's clips (bidirectional LSTM) weighs them into one code: it is to lie where the prior is
and to be enough to rebuild the video's clips. A clip's attention is its score.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.methods.networks.learning import BiLSTM, descend, passes, principal_axes, seeded, to_numpy, whole
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.videos import Videos

HIDDEN, CODE, TAU, BATCH, STEPS, RATE = 48, 16, 60, 16, 300, 2e-3
PRIOR = 0.05  # weight of the divergence
VARIANCE_FLOOR = 0.05


class Vesd(nn.Module):
    """Encoder, attention and decoder over clips (B, tau, D)."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(D, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * CODE))
        self.attention = BiLSTM(D, HIDDEN)
        self.decoder = nn.Sequential(nn.Linear(CODE, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, D))

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """Logits of the clips' attention, (B, tau)."""
        z: Tensor = self.attention(x, mask).squeeze(-1)
        return z

    def code(self, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of a video's code, its clips weighed, (B, code) each."""
        mean, log_variance = (self.encoder(x) * weight[..., None]).sum(1).chunk(2, -1)
        return mean, log_variance.clamp(-6.0, 3.0)

    def loss(self, x: Tensor, mask: Tensor, weight: Tensor, prior: tuple[Tensor, Tensor]) -> Tensor:
        """Distance of the clips to what the code rebuilds, and the code's divergence from N(prior)."""
        mean, log_variance = self.code(x, weight)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        error = ((x - self.decoder(code)[:, None]).square().mean(-1) * mask).sum() / mask.sum()
        centre, variance = prior
        divergence = (log_variance.exp() + (mean - centre).square()) / variance - 1 - log_variance + variance.log()
        total: Tensor = error + PRIOR * 0.5 * divergence.sum(-1).mean()
        return total


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Attention logits (T_n,) of each video to evaluate."""
    axes = principal_axes(videos.positive + videos.tagged)
    web, raw = ([axes(video) for video in kind] for kind in (videos.positive, videos.tagged or videos.positive))
    with seeded(seed):
        network = train(web, raw, seed)
        with torch.no_grad():
            return [to_numpy(network.attend(*whole(axes(video)))[0]) for video in videos.evaluation]


def train(web: list[Tensor], raw: list[Tensor], seed: int) -> Vesd:
    """Learn the topic's prior from the web videos, then the attention on all of its training videos."""
    network = Vesd(web[0].shape[1])
    generator = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    prior = (torch.zeros(CODE), torch.ones(CODE))
    for clips, attentive in ((web, False), (raw, True)):
        for x, mask in passes(clips, generator, TAU, BATCH, STEPS):
            z = network.attend(x, mask) if attentive else torch.zeros(mask.shape)
            weight = F.softmax(z.masked_fill(~mask, -torch.inf), -1)
            descend(optimizer, network.loss(x, mask, weight, prior))
        if not attentive:
            prior = _prior(network, web)
    return network.eval()


@torch.no_grad()
def _prior(network: Vesd, web: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and variance of the web videos' codes, (code,) each."""
    codes = [network.code(x[None], torch.full((1, len(x)), 1 / len(x))) for x in web]
    means = torch.cat([mean for mean, _ in codes])
    inside = torch.cat([log_variance for _, log_variance in codes]).exp().mean(0)
    return means.mean(0), (means.var(0, unbiased=False) + inside).clamp_min(VARIANCE_FLOOR)
