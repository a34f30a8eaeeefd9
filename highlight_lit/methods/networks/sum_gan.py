"""SG: SUM-GAN (Mahasseni, Lam, Todorovic, CVPR 2017): a summary that an adversary takes for the video.

A selector (bidirectional LSTM) gives each clip a score s in (0, 1); a variational autoencoder (LSTMs e and d) encodes
the clips weighted by s and reconstructs the video; a discriminator (LSTM c) tells videos from reconstructions. The
losses are the paper's: prior and reconstruction (in the discriminator's hidden layer) for the encoder, reconstruction and
adversary for the decoder, sparsity `(mean s - 0.3)^2` for the selector, and the adversary with a random summary beside.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.methods.networks.learning import BiLSTM, passes, principal_axes, seeded, to_numpy, whole
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.videos import Videos

HIDDEN, TAU, BATCH, STEPS, RATE = 48, 60, 16, 60, 1e-3
SPARSITY = 0.3  # share of a video that is selected


class SumGan(nn.Module):
    """Selector, variational autoencoder and discriminator over clips (B, tau, D)."""

    def __init__(self, D: int) -> None:
        super().__init__()
        self.selector = BiLSTM(D, HIDDEN)
        self.encoder = nn.LSTM(D, HIDDEN, batch_first=True)
        self.code = nn.Linear(HIDDEN, 2 * HIDDEN)  # mean and log variance
        self.decoder = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.clip = nn.Linear(HIDDEN, D)
        self.discriminator = nn.LSTM(D, HIDDEN, batch_first=True)
        self.judge = nn.Linear(HIDDEN, 1)

    def select(self, x: Tensor, mask: Tensor) -> Tensor:
        """Scores s in (0, 1), 0 where no clip is, (B, tau)."""
        return torch.sigmoid(self.selector(x, mask).squeeze(-1)) * mask

    def reconstruct(self, x: Tensor, s: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The video rebuilt from its clips weighted by s (B, tau, D), and the code's divergence from the prior."""
        mean, log_variance = self.code(_last(self.encoder, x * s[..., None], mask)).chunk(2, -1)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        h, _ = self.decoder(code[:, None].expand(-1, x.shape[1], -1))
        prior = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        return self.clip(h) * mask[..., None], prior

    def look(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator's hidden state (B, hidden) and its logit of being a video (B,)."""
        h = _last(self.discriminator, x, mask)
        return h, self.judge(h).squeeze(-1)


def _last(lstm: nn.LSTM, x: Tensor, mask: Tensor) -> Tensor:
    """State at each video's last clip, (B, hidden)."""
    h, _ = lstm(x)
    last: Tensor = h[torch.arange(len(x)), mask.sum(1) - 1]
    return last


def score(videos: Videos, seed: int = 0) -> list[Floats]:
    """Scores (T_n,) in (0, 1) of each video to evaluate; trained on the training videos with the topic's tag."""
    axes = principal_axes(videos.tagged)
    with seeded(seed):
        network = train([axes(video) for video in videos.tagged], seed)
        with torch.no_grad():
            return [to_numpy(network.select(*whole(axes(video)))[0]) for video in videos.evaluation]


def train(clips: list[Tensor], seed: int) -> SumGan:
    """Train the three parts in turn, each by its own losses."""
    network = SumGan(clips[0].shape[1])
    generator = np.random.default_rng(seed)
    parts = [
        (network.selector, network.encoder, network.code),
        (network.decoder, network.clip),
        (network.discriminator, network.judge),
    ]
    optimizers = [torch.optim.Adam([p for module in part for p in module.parameters()], RATE) for part in parts]
    for x, mask in passes(clips, generator, TAU, BATCH, STEPS):
        for loss, optimizer in zip((_selector_loss, _decoder_loss, _discriminator_loss), optimizers, strict=True):
            network.zero_grad()
            loss(network, x, mask).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], 5.0)
            optimizer.step()
    return network.eval()


def _selector_loss(network: SumGan, x: Tensor, mask: Tensor) -> Tensor:
    s = network.select(x, mask)
    rebuilt, prior = network.reconstruct(x, s, mask)
    share = s.sum(1) / mask.sum(1)
    return _reconstruction(network, x, rebuilt, mask) + 0.1 * prior + (share - SPARSITY).square().mean()


def _decoder_loss(network: SumGan, x: Tensor, mask: Tensor) -> Tensor:
    rebuilt, _ = network.reconstruct(x, network.select(x, mask).detach(), mask)
    taken_for_video = _cross_entropy(network.look(rebuilt, mask)[1], 1.0)
    return _reconstruction(network, x, rebuilt, mask) + taken_for_video


def _discriminator_loss(network: SumGan, x: Tensor, mask: Tensor) -> Tensor:
    with torch.no_grad():
        rebuilt, _ = network.reconstruct(x, network.select(x, mask), mask)
        chance, _ = network.reconstruct(x, torch.rand(mask.shape) * 2 * SPARSITY * mask, mask)
    false = sum(_cross_entropy(network.look(part, mask)[1], 0.0) for part in (rebuilt, chance))
    return _cross_entropy(network.look(x, mask)[1], 1.0) + 0.5 * false


def _reconstruction(network: SumGan, x: Tensor, rebuilt: Tensor, mask: Tensor) -> Tensor:
    """Distance of video and reconstruction in the discriminator's hidden layer, and (lightly) in their clips."""
    hidden = (network.look(x, mask)[0] - network.look(rebuilt, mask)[0]).square().mean()
    clips = ((x - rebuilt).square().mean(-1) * mask).sum() / mask.sum()
    return hidden + clips


def _cross_entropy(z: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, torch.full_like(z, label))
