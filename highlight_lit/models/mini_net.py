"""MINI-Net: multiple instance ranking network for video highlight detection (Hong et al., ECCV 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.models.highlight_net import Detection, Embedding, Float32Linear, embed, make_embeddings
from highlight_lit.models.losses import bag_cross_entropy, split_pairs
from highlight_lit.models.pooling import masked_softmax, weighted_sum


class MiniNet(nn.Module):
    """MINI-Net with the layers of its released network; with one stream, a plain network for that stream.

    Two things differ from the release. Bags shorter than tau are padded and masked here and tiled to tau there, which
    spreads the softmax over the copies: it lowers the largest alpha and so the ranking part of the loss. And on one
    stream, dropout follows the embedding and each layer here; there it follows the last of four layers on the visual
    stream, and there is none on audio.

    A clip's attention is its score: the bag is the sum of its clips weighted by alpha, a softmax over the bag, and
    clips are ranked by alpha. `Detection.z` holds alpha's logits, which rank a video's clips the same way and are not
    squeezed together in a long video; z_hat is the difference of the 2-way classifier's outputs, so that its sigmoid
    is the classifier's probability of a positive.

    >>> net = MiniNet(512, 128)
    >>> clips = torch.ones(2, 60, dtype=torch.bool)
    >>> net(torch.randn(2, 60, 512), torch.randn(2, 60, 128), clips, clips).alpha.sum(1).allclose(torch.ones(2))
    True
    """

    reach = 0  # clips on either side that a clip's logit z depends on

    def __init__(
        self,
        Dv: int | None,
        Da: int | None,
        streams: Sequence[str] = ("visual", "audio"),
        d: int = 128,
        dropout: float = 0.5,
    ) -> None:
        """Build the network of the streams named.

        Args:
            Dv: width of the visual features; not read without the visual stream.
            Da: width of the audio features; not read without the audio stream.
            streams: "visual", "audio" or both.
            d: width of the hidden layers, a multiple of 4; 128 in the released network.
            dropout: chance of a value to be dropped in training, in [0, 1).

        Raises:
            ValueError: an unknown stream or none, a stream without a width, or d not a multiple of 4.
        """
        super().__init__()
        if d % 4:
            raise ValueError(f"d: must be a multiple of 4, got {d}")
        self.embeddings = make_embeddings("MINI-Net", streams, Dv, Da, d, dropout)
        both = len(self.embeddings) == 2
        if both:  # the released network drops no audio at its entry
            cast(Embedding, self.embeddings["audio"]).dropout.p = 0.0
        self.body: nn.Module = _Heads(d, dropout) if both else _Perceptron(d, dropout)
        self.scores: nn.Module = _Scores(d) if both else _GatedScores(d)
        self.classifier = Float32Linear(d, 2)

    def forward(self, visual: Tensor | None, audio: Tensor | None, mask: Tensor, audio_mask: Tensor) -> Detection:
        """Attention logits, bag logits and attention weights; arguments as of `HighlightNet.forward`."""
        v1 = embed(self.embeddings, "visual", visual)  # (B, tau, d)
        a1 = embed(self.embeddings, "audio", audio, audio_mask)  # (B, tau, d)
        f = self.body(v1, a1)  # (B, tau, d)
        z = self.scores(f).squeeze(-1)  # (B, tau)
        alpha = masked_softmax(z, mask)  # (B, tau)
        negative, positive = self.classifier(weighted_sum(alpha, f)).unbind(-1)  # (B,), (B,)
        return Detection(z.masked_fill(~mask, 0.0), positive - negative, alpha)


class MiniNetLoss(nn.Module):
    """`cross entropy of the bags + mean relu(1 - max alpha+ + max alpha-)`, one to one.

    Bags come in pairs: 0..P-1 positive, P..2P-1 negative, bag i paired with bag P+i.
    """

    def forward(self, detection: Detection, label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """`loss`, and its parts `bce` and `score_margin`; arguments and errors as of `MarginLoss.parts`."""
        # Two outputs under a softmax are one logit under a sigmoid, their difference, which z_hat is.
        bce = bag_cross_entropy(detection, label)
        best_positive, best_negative = split_pairs(detection.alpha.masked_fill(~mask, 0.0).amax(-1))
        score_margin = F.relu(1.0 - best_positive + best_negative).mean()
        return {"loss": bce + score_margin, "bce": bce, "score_margin": score_margin}


class _Heads(nn.Module):
    """Four views of [v1; a1], a quarter of the width each, side by side and added to the visual stream."""

    def __init__(self, d: int, dropout: float) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * d, d), nn.ReLU(), nn.Dropout(dropout), nn.Linear(d, d // 4), nn.ReLU())
            for _ in range(4)
        )

    def forward(self, v1: Tensor, a1: Tensor) -> Tensor:
        both = torch.cat([v1, a1], -1)  # (B, tau, 2d)
        return torch.cat([head(both) for head in self.heads], -1) + v1  # (B, tau, d)


class _Perceptron(nn.Module):
    """The last three layers of the four-layer perceptron on a stream alone; its embedding is the first.

    The widths are ours: d throughout.
    """

    def __init__(self, d: int, dropout: float) -> None:
        super().__init__()
        layers = [(nn.Linear(d, d), nn.ReLU(), nn.Dropout(dropout)) for _ in range(3)]
        self.layers = nn.Sequential(*(part for layer in layers for part in layer))

    def forward(self, v1: Tensor | None, a1: Tensor | None) -> Tensor:
        f: Tensor = self.layers(a1 if v1 is None else v1)  # (B, tau, d)
        return f


class _Scores(nn.Module):
    """Attention logits of both streams: Linear(d, d/2), ReLU, Linear(d/2, 1)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.V = nn.Linear(d, d // 2)
        self.w = Float32Linear(d // 2, 1)

    def forward(self, f: Tensor) -> Tensor:
        z: Tensor = self.w(F.relu(self.V(f)))
        return z


class _GatedScores(nn.Module):
    """Attention logits of a stream alone: `w . (relu(V f) * sigmoid(U f))`."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.V = nn.Linear(d, d // 2)
        self.U = nn.Linear(d, d // 2)
        self.w = Float32Linear(d // 2, 1)

    def forward(self, f: Tensor) -> Tensor:
        z: Tensor = self.w(F.relu(self.V(f)) * torch.sigmoid(self.U(f)))
        return z
