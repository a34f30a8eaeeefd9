"""Pooling: a bag's logit out of its clips' states.

Every class is built from the width d and called with the clip states c (B, tau, d), the mask of clips that exist
(B, tau) and the head, the one linear map c -> logit that clips and bag share. It returns the bag's logit z_hat (B,)
and the weights alpha (B, tau): alpha_j is the slope of z_hat in the clip's logit z_j (the gates held fixed), and zero
at padded clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Head = Callable[[Tensor], Tensor]


class Pooling(nn.Module):
    """The interface of a pooling: clip states c (B, tau, d) in, the bags' logits z_hat (B,) and weights alpha (B, tau) out."""

    def __init__(self, d: int) -> None:
        """Build nothing.

        Args:
            d: width of the clip states.
        """
        super().__init__()

    def initial_bias(self, tau: int) -> float:
        """Value of b_p at which training should start.

        Args:
            tau: clips in a bag.

        Returns:
            A logit: 0, which gives each clip p = 0.5, unless the rule is biased by the number of clips.
        """
        return 0.0

    def forward(self, c: Tensor, mask: Tensor, head: Head) -> tuple[Tensor, Tensor]:
        """Pool a bag.

        Args:
            c: clip states, (B, tau, d).
            mask: True at clips that exist, (B, tau), at least one a bag.
            head: maps (..., d) to logits (..., 1).

        Returns:
            z_hat, (B,), and alpha, (B, tau).
        """
        raise NotImplementedError


class GatedScores(nn.Module):
    """Attention scores `w . (tanh(V c) * sigmoid(U c))` (Ilse, Tomczak and Welling 2018)."""

    def __init__(self, d: int) -> None:
        """Draw the weights.

        Args:
            d: width of the clip states, and of the hidden layer.
        """
        super().__init__()
        self.VU = nn.Linear(d, 2 * d)
        self.w = nn.Linear(d, 1, bias=False)

    def forward(self, c: Tensor) -> Tensor:
        """Score clips: (B, tau, d) -> (B, tau), in float32 at least."""
        V, U = self.VU(c).chunk(2, -1)
        scores: Tensor = self.w(torch.tanh(V) * torch.sigmoid(U)).squeeze(-1)
        return scores.to(torch.promote_types(scores.dtype, torch.float32))


class _Gated(Pooling):
    """A pooling whose weights come from `GatedScores`."""

    def __init__(self, d: int) -> None:
        """Draw the gate.

        Args:
            d: width of the clip states.
        """
        super().__init__(d)
        self.scores = GatedScores(d)


class SoftmaxGate(_Gated):
    """`alpha = softmax_j(gated scores)`, `p_hat = sigmoid(W_p sum_j alpha_j c_j + b_p)` (supplement, eq. 5).

    As alpha sums to one and the head is linear, z_hat is the alpha-weighted mean of the clips' own logits, however
    many clips there are.
    """

    def forward(self, c: Tensor, mask: Tensor, head: Head) -> tuple[Tensor, Tensor]:
        alpha = masked_softmax(self.scores(c), mask)
        return head(weighted_sum(alpha, c)).squeeze(-1), alpha


class SigmoidGate(_Gated):
    """`alpha_j = sigmoid(gated score)`, not normalised: each clip's weight stands alone, and logits add up."""

    def forward(self, c: Tensor, mask: Tensor, head: Head) -> tuple[Tensor, Tensor]:
        alpha = torch.sigmoid(self.scores(c)).masked_fill(~mask, 0.0)
        return head(weighted_sum(alpha, c)).squeeze(-1), alpha


class NoisyOr(Pooling):
    """`p_hat = 1 - prod_s (1 - p_s)` (supplement, eq. 1), in logs from end to end.

    With `s = log(1 - p_hat) = sum_s logsigmoid(-z_s)` the bag's logit is `log(1 - e^s) - s`. Multiplying the
    probabilities instead gives exactly 1 at 60 clips of p = 0.5. alpha_j = p_j / p_hat: the chance of clip j, once the
    bag is known to hold a highlight; these need not add up to one.
    """

    def initial_bias(self, tau: int) -> float:
        """logit(1/tau): training starts at one highlight expected in a bag.

        >>> round(NoisyOr(128).initial_bias(60), 4)
        -4.0775
        """
        return -math.log(max(tau - 1, 1))

    def forward(self, c: Tensor, mask: Tensor, head: Head) -> tuple[Tensor, Tensor]:
        z = _clip_logits(c, head)
        log_absent = F.logsigmoid(-z).masked_fill(~mask, 0.0).sum(-1)
        # Below zero even where every p_s underflows, so that its log exists.
        s = log_absent.clamp(max=-torch.finfo(z.dtype).tiny)
        z_hat = torch.log(-torch.expm1(s)) - s
        alpha = torch.exp(F.logsigmoid(z) - F.logsigmoid(z_hat).unsqueeze(-1)).clamp(max=1.0)
        return z_hat, alpha.masked_fill(~mask, 0.0).detach()


class MaxPooling(Pooling):
    """The bag is its best clip: `z_hat = max_s z_s`. A gradient reaches that clip alone."""

    def forward(self, c: Tensor, mask: Tensor, head: Head) -> tuple[Tensor, Tensor]:
        z = _clip_logits(c, head)
        z_hat, best = z.masked_fill(~mask, torch.finfo(z.dtype).min).max(-1)
        # Not F.one_hot, which a graph for any number of clips cannot hold.
        return z_hat, (torch.arange(z.shape[-1], device=z.device) == best.unsqueeze(-1)).to(z.dtype)


class MeanPooling(Pooling):
    """Every clip counts alike: alpha = 1/n over the n clips that exist."""

    def forward(self, c: Tensor, mask: Tensor, head: Head) -> tuple[Tensor, Tensor]:
        alpha = mask.to(c.dtype) / mask.sum(-1, keepdim=True)
        return head(weighted_sum(alpha, c)).squeeze(-1), alpha


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the clips that exist.

    Args:
        scores: (B, tau).
        mask: True at clips that exist, (B, tau), at least one a bag.

    Returns:
        Weights (B, tau): each row sums to one, and padded clips hold exactly zero.
    """
    # The least finite number and not -inf: it still comes to exp(..) = 0, without a NaN in any backward pass.
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)


def weighted_sum(alpha: Tensor, c: Tensor) -> Tensor:
    """`sum_j alpha_j c_j`: (B, tau) and (B, tau, d) -> (B, d).

    A product and a sum rather than a matrix product, which autocast would round to half precision.
    """
    return (alpha.unsqueeze(-1) * c).sum(1)


def _clip_logits(c: Tensor, head: Head) -> Tensor:
    """z (B, tau), in float32 at least."""
    z = head(c).squeeze(-1)
    return z.to(torch.promote_types(z.dtype, torch.float32))
