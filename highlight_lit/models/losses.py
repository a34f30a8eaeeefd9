"""Losses of the highlight network: cross entropy of the bags, and margins between paired bags.

The supplement names a score margin X_s, a variance margin X_var and an L1 coefficient beta, and gives no formula
(section 3). Two readings of it stand here behind one interface. Both work on p = sigmoid(z) over the clips that exist,
and on batches of pairs: bags 0..P-1 are positive, P..2P-1 negative, and bag i is paired with bag P+i. For each pair

    X_s = relu(m_s - max p+ + max p-)          the best clip of the positive is better, by m_s
    X_var = relu(m_var - Var p+ + Var p-)      the positive's clips differ more, by m_var
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.models.highlight_net import Detection


class _Parts(NamedTuple):
    """Cross entropy (a number), margins of the pairs (P,), and clip scores of the positive bags (P, tau)."""

    bce: Tensor
    X_s: Tensor
    X_var: Tensor
    p_positive: Tensor


class MarginLoss(nn.Module):
    """What the two readings share: the arguments, their checks, and the parts of the sum."""

    def __init__(self, beta: float, m_s: float, m_var: float) -> None:
        """Keep the coefficients.

        Args:
            beta: L1 coefficient, at least 0; the paper's best is 1e-4.
            m_s: score margin, in [0, 1].
            m_var: variance margin, in [0, 0.25]: the variance of numbers in [0, 1] cannot be more.

        Raises:
            ValueError: an argument is out of its range.
        """
        super().__init__()
        for name, value, top in (("beta", beta, float("inf")), ("m_s", m_s, 1.0), ("m_var", m_var, 0.25)):
            if not 0.0 <= value <= top:
                raise ValueError(f"{name}: must be in [0, {top:g}], got {value}")
        self.beta, self.m_s, self.m_var = beta, m_s, m_var

    def parts(self, detection: Detection, label: Tensor, mask: Tensor) -> _Parts:
        """Compute the terms that either reading adds up.

        Args:
            detection: of B = 2P bags, in pairs.
            label: 1 for a positive bag, 0 for a negative, (B,).
            mask: True at clips that exist, (B, tau).

        Returns:
            The parts, in float32 at least.

        Raises:
            ValueError: the number of bags is odd.
        """
        p = torch.sigmoid(_precise(detection.z)).masked_fill(~mask, 0.0)  # (B, tau), and no maximum is at a padded clip
        best_positive, best_negative = split_pairs(p.amax(-1))  # (P,), (P,)
        var_positive, var_negative = split_pairs(_variance(p, mask))  # (P,), (P,)
        return _Parts(
            bce=bag_cross_entropy(detection, label),
            X_s=F.relu(self.m_s - best_positive + best_negative),
            X_var=F.relu(self.m_var - var_positive + var_negative),
            p_positive=split_pairs(p)[0],
        )


class HingesL1(MarginLoss):
    """`BCE + beta (|X_s|_1 + |X_var|_1)`: beta weighs the margins, whose L1 norm is their sum over the pairs.

    A sum, not a mean, so beta keeps the meaning it has in the formula, and weighs more in a larger batch.
    """

    def forward(self, detection: Detection, label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Add up the loss; arguments and errors are those of `MarginLoss.parts`.

        Returns:
            `loss`, and its parts: `bce`, and the means over the pairs of `score_margin` and `variance_margin`.
        """
        parts = self.parts(detection, label, mask)
        return {
            "loss": parts.bce + self.beta * (parts.X_s.sum() + parts.X_var.sum()),
            "bce": parts.bce,
            "score_margin": parts.X_s.mean(),
            "variance_margin": parts.X_var.mean(),
        }


class Sparsity(MarginLoss):
    """`BCE + mean X_s + mean X_var + beta |p+|_1`: beta keeps the highlights of a positive bag few.

    |p+|_1 is the sum over a positive bag's clips, then the mean over the positive bags, as the margins are.
    """

    def forward(self, detection: Detection, label: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Add up the loss; arguments and errors are those of `MarginLoss.parts`.

        Returns:
            `loss`, and its parts: `bce`, `score_margin`, `variance_margin`, and `sparsity`, which is |p+|_1.
        """
        parts = self.parts(detection, label, mask)
        score_margin, variance_margin = parts.X_s.mean(), parts.X_var.mean()
        sparsity = parts.p_positive.sum(-1).mean()
        return {
            "loss": parts.bce + score_margin + variance_margin + self.beta * sparsity,
            "bce": parts.bce,
            "score_margin": score_margin,
            "variance_margin": variance_margin,
            "sparsity": sparsity,
        }


def bag_cross_entropy(detection: Detection, label: Tensor) -> Tensor:
    """Binary cross entropy of p_hat, mean over the bags, in float32 at least.

    Args:
        detection: of B bags.
        label: 1 for a positive bag, 0 for a negative, (B,).

    Returns:
        A number.
    """
    z_hat = _precise(detection.z_hat)
    return F.binary_cross_entropy_with_logits(z_hat, label.to(z_hat.dtype))


def split_pairs(x: Tensor) -> tuple[Tensor, Tensor]:
    """Positive and negative bags of a batch of pairs: (2P, ...) -> (P, ...), (P, ...).

    Raises:
        ValueError: the number of bags is odd.
    """
    if len(x) % 2:
        raise ValueError(f"a batch holds pairs of a positive and a negative bag: got {len(x)} bags")
    return x[: len(x) // 2], x[len(x) // 2 :]


def _variance(p: Tensor, mask: Tensor) -> Tensor:
    """Population variance over the clips that exist: (B, tau) -> (B,); 0 in a bag of one clip."""
    n = mask.sum(-1, keepdim=True)
    mean = p.masked_fill(~mask, 0.0).sum(-1, keepdim=True) / n
    return ((p - mean).masked_fill(~mask, 0.0).square().sum(-1, keepdim=True) / n).squeeze(-1)


def _precise(x: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
