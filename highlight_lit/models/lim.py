"""LIM: less is more, highlights from video duration (Xiong et al., CVPR 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.models.highlight_net import Detection, Float32Linear, embed, make_embeddings
from highlight_lit.models.losses import split_pairs

GROUP = 8  # pairs that share one unit of weight: one valid pair in eight is expected


class Lim(nn.Module):
    """A ranking network f, and a second network h that guesses which pairs of clips are valid.

    Clip k of a positive bag is paired with clip k of its negative bag. A clip of a short video need not be a highlight, nor
    one of a long video dull: in groups of 8 pairs, taken from 8 different videos where there are as many, a softmax of
    h([f_i; f_j]) says how much each pair counts. In training `Detection.alpha` holds h, at the clips of the positive
    bags, and the loss makes the groups, which may span devices; otherwise alpha is uniform. z_hat is the mean of a
    bag's clip logits.

    >>> net = Lim(512, None, ["visual"])
    >>> clips = torch.ones(4, 8, dtype=torch.bool)
    >>> net.eval()(torch.randn(4, 8, 512), None, clips, clips).alpha[0, :2].tolist()
    [0.125, 0.125]
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
            streams: "visual", "audio" or both, side by side.
            d: width of the embedding, at least 1.
            dropout: chance of an embedded value to be dropped in training, in [0, 1).

        Raises:
            ValueError: an unknown stream or none, or a stream without a width.
        """
        super().__init__()
        self.embeddings = make_embeddings("LIM", streams, Dv, Da, d, dropout)
        inputs = d * len(self.embeddings)
        self.f = nn.Sequential(nn.Linear(inputs, d), nn.ReLU(), Float32Linear(d, 1))
        self.h = nn.Sequential(nn.Linear(2 * inputs, d), nn.ReLU(), Float32Linear(d, 1))

    def forward(self, visual: Tensor | None, audio: Tensor | None, mask: Tensor, audio_mask: Tensor) -> Detection:
        """Clip logits, their means, and in training h of the pairs; arguments as of `HighlightNet.forward`."""
        embedded = (embed(self.embeddings, "visual", visual), embed(self.embeddings, "audio", audio, audio_mask))
        f = torch.cat([part for part in embedded if part is not None], -1)  # (B, tau, inputs)
        z = self.f(f).squeeze(-1).masked_fill(~mask, 0.0)  # (B, tau)
        uniform = mask / mask.sum(-1, keepdim=True)
        alpha = self._h(f) if self.training and len(mask) % 2 == 0 else uniform
        return Detection(z, z.sum(-1) / mask.sum(-1), alpha)

    def _h(self, f: Tensor) -> Tensor:
        """h of the pairs, at the clips of the positive bags, (B, tau); 0 at those of the negative ones."""
        positive, negative = split_pairs(f)
        h = self.h(torch.cat([positive, negative], -1)).squeeze(-1)  # (P, tau)
        return torch.cat([h, torch.zeros_like(h)])


class LimLoss(nn.Module):
    """`sum_ij w_ij relu(1 - z_i + z_j)` over the pairs, per unit of weight: with equal weights the plain mean hinge."""

    def forward(self, detection: Detection, label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """`loss`, and `hinge`, the same with equal weights; arguments and errors as of `MarginLoss.parts`.

        A softmax of the positive bags' `alpha` in groups weighs the pairs.
        """
        valid = pairs(mask)
        positive, negative = split_pairs(detection.z)
        hinge = F.relu(1.0 - positive + negative) * valid  # (P, tau)
        weight = group_softmax(split_pairs(detection.alpha)[0], valid)
        loss = (weight * hinge).sum() / weight.sum().clamp_min(1e-6)
        return {"loss": loss, "hinge": hinge.sum() / valid.sum().clamp_min(1)}


def pairs(mask: Tensor) -> Tensor:
    """Clips that exist in both bags of a pair: (2P, tau) -> (P, tau)."""
    positive, negative = split_pairs(mask)
    return positive & negative


def group_softmax(h: Tensor, valid: Tensor) -> Tensor:
    """Softmax of h (P, tau) within groups of `GROUP` valid pairs, bag after bag at the same clip; 0 elsewhere.

    The last group may be smaller; its weights add up to its share of a unit.
    """
    flat = h.T[valid.T]  # ordered by clip, then by bag
    short = -len(flat) % GROUP
    grouped = F.pad(flat, (0, short), value=-torch.inf).view(-1, GROUP)
    share = F.pad(torch.ones_like(flat), (0, short)).view(-1, GROUP).mean(-1, keepdim=True)
    weight = (F.softmax(grouped, -1) * share).view(-1)[: len(flat)]
    transposed = torch.zeros_like(h.T)
    transposed[valid.T] = weight.to(h.dtype)
    return transposed.T
