"""The supplement's gradients (section 4) against autograd through the poolings that train."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.analyses import gradients
from highlight_lit.models.pooling import NoisyOr, SigmoidGate
from tests.tolerance import FUNCTION, assert_near


@pytest.mark.parametrize(("p_1", "p_2"), [(0.1, 0.9), (0.5, 0.5), (0.9, 0.2), (0.99, 0.99)])
def test_both_surfaces_are_the_gradients_of_the_loss(p_1: float, p_2: float) -> None:
    p = torch.tensor([[p_1, p_2]], dtype=torch.float64, requires_grad=True)
    z = torch.logit(p).unsqueeze(-1)
    mask = torch.ones(1, 2, dtype=torch.bool)
    z_hat, _ = NoisyOr(1)(z, mask, lambda c: c)
    [by_autograd] = torch.autograd.grad(torch.nn.functional.softplus(-z_hat).sum(), p, retain_graph=True)
    scale = 1 / ((1 - p_1) * (1 - p_2) * p_1 * p_2)  # slopes of the logits, at their steepest
    assert_near(gradients.noisy_or(np.array(p_1), np.array(p_2)), by_autograd[0, 0], 6 * FUNCTION, scale=scale)
    [by_autograd] = torch.autograd.grad(torch.nn.functional.softplus(-z.sum()), p)  # every alpha 1
    assert_near(gradients.product_of_odds(np.array(p_1), np.array(p_2)), by_autograd[0, 0], 6 * FUNCTION, scale=scale)


def test_noisy_ors_gradient_vanishes_where_the_gates_does_not() -> None:
    p = np.array([0.5])
    reaching = gradients.in_long_bag(p)
    assert 60 * reaching["noisy-or"][0] < 1e-15
    assert_near(60 * reaching["softmax gate"][0], 0.5, 60, FUNCTION)  # 1 - p_hat, p_hat = p
    shares = gradients.vanished()
    assert shares["noisy-or"] > 0.8
    assert shares["softmax gate"] < 0.01


def test_the_product_of_odds_is_the_sigmoid_gate_with_every_weight_1() -> None:
    p = np.array([0.3, 0.5, 0.52])
    gate = SigmoidGate(1).double()
    torch.nn.init.constant_(gate.scores.w.weight, 0.0)  # sigmoid(0): every alpha 1/2, so a bag of 120 is one of 60
    z = torch.logit(torch.from_numpy(p))[:, None].repeat(1, 120).requires_grad_()
    z_hat, _ = gate(z.unsqueeze(-1), torch.ones_like(z, dtype=torch.bool), lambda c: c)
    torch.nn.functional.softplus(-z_hat).sum().backward()
    assert z.grad is not None
    expected = gradients.in_long_bag(p)["product of odds (every alpha 1)"]
    # A bag's logit is 60 times a clip's, and so are its roundings.
    assert_near(2 * z.grad[:, 0].abs(), expected, 120, 4 * FUNCTION, scale=60.0)
