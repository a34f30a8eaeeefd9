"""The gradient of a positive bag's cross entropy in a clip's score, under noisy-or and under the paper's product of odds.

Formulas of the supplement, section 4, with its slips mended (experiments/paper/notes.md); a test holds them against
autograd through `highlight_lit.models.pooling`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from highlight_lit.models.pooling import NoisyOr, Pooling, SoftmaxGate

Floats = NDArray[np.float64]
VANISHED = 1e-3  # a gradient below this moves nothing
CLIPS = 60  # in a bag


def noisy_or(p_1: Floats, p_2: Floats) -> Floats:
    """dL/dp_1 = (p_hat - 1) / (p_hat (1 - p_1)) with p_hat = 1 - (1 - p_1)(1 - p_2) (eqs. 1 and 2).

    >>> float(noisy_or(np.array(0.5), np.array(0.5)).round(4))  # -(1 - p_2) / p_hat
    -0.6667
    """
    return np.asarray(-(1 - p_2) / (1 - (1 - p_1) * (1 - p_2)))


def product_of_odds(p_1: Floats, p_2: Floats) -> Floats:
    """dL/dp_1 = (p_hat - 1) / (p_1 (1 - p_1)) with p_hat = 1 / (1 + prod (1/p_j - 1)) (eqs. 6 and 7).

    >>> float(product_of_odds(np.array(0.5), np.array(0.5)).round(4))
    -2.0
    """
    odds = (1 / p_1 - 1) * (1 / p_2 - 1)
    return np.asarray(-odds / (1 + odds) / (p_1 * (1 - p_1)))


def in_long_bag(p: Floats) -> dict[str, Floats]:
    """|dL/dz_1| in a positive bag whose clips all score p, by pooling, through the code that trains.

    Args:
        p: (n,) scores in (0, 1).

    Returns:
        (n,) by name. The product of odds is the paper's bag with every alpha 1.
    """
    return {
        "noisy-or": _reaching(NoisyOr(1), p),
        "softmax gate": _reaching(SoftmaxGate(1), p),
        "product of odds (every alpha 1)": 1 / (1 + (p / (1 - p)) ** CLIPS),
    }


def _reaching(pooling: Pooling, p: Floats) -> Floats:
    """|dL/dz_1| by autograd, the clip states being their own logits."""
    pooling = pooling.double()
    z = torch.logit(torch.from_numpy(p))[:, None].repeat(1, CLIPS).requires_grad_()
    z_hat, _ = pooling(z.unsqueeze(-1), torch.ones_like(z, dtype=torch.bool), lambda c: c)
    torch.nn.functional.softplus(-z_hat).sum().backward()
    assert z.grad is not None
    return np.abs(z.grad[:, 0].numpy())


def vanished() -> dict[str, float]:
    """Share of p in (0, 1) at which the gradient on the whole bag's logits, `CLIPS` times |dL/dz_1|, is below `VANISHED`."""
    p = (np.arange(1000) + 0.5) / 1000
    return {name: float((CLIPS * gradient < VANISHED).mean()) for name, gradient in in_long_bag(p).items()}
