from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from highlight_lit.models.pooling import MaxPooling, MeanPooling, NoisyOr, Pooling, SigmoidGate, SoftmaxGate
from tests.tolerance import FUNCTION, assert_near, rounding

GATE = 5 + 5 + 5 + 4 * FUNCTION  # roundings of a clip's weight at d = 5: V and U, w, and the functions between
POOLINGS = [SoftmaxGate, SigmoidGate, NoisyOr, MaxPooling, MeanPooling]


def bags(seed: int = 0) -> tuple[Tensor, Tensor, nn.Linear]:
    """States of four bags of 6, 4, 2 and 1 clips, their mask, and a head."""
    torch.manual_seed(seed)
    mask = torch.arange(6) < torch.tensor([6, 4, 2, 1])[:, None]
    c = torch.randn(4, 6, 5, dtype=torch.float64) * mask[..., None]
    return c, mask, nn.Linear(5, 1).double()


def first_column(c: Tensor) -> Tensor:
    """A head that reads the logits off the states."""
    return c[..., :1]


def noisy_or(z: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    mask = torch.ones_like(z, dtype=torch.bool) if mask is None else mask
    z_hat, alpha = NoisyOr(1)(z[..., None], mask, first_column)
    return z_hat, alpha


@pytest.mark.parametrize("make", POOLINGS)
def test_padded_clips_have_no_weight_and_no_say(make: type[Pooling]) -> None:
    c, mask, head = bags()
    pooling = make(5).double()
    z_hat, alpha = pooling(c, mask, head)
    assert z_hat.shape == (4,) and alpha.shape == (4, 6)
    assert not alpha[~mask].any() and (alpha[mask] >= 0).all()
    for bag, n in enumerate([6, 4, 2, 1]):
        alone, _ = pooling(c[bag : bag + 1, :n], mask[bag : bag + 1, :n], head)
        assert_near(z_hat[bag], alone[0], GATE, 6, 5)


@pytest.mark.parametrize("make", [SoftmaxGate, MaxPooling, MeanPooling])
def test_normalised_weights_make_the_bag_logit_a_weighted_mean_of_clip_logits(make: type[Pooling]) -> None:
    c, mask, head = bags(1)
    z_hat, alpha = make(5).double()(c, mask, head)
    assert_near(alpha.sum(1), torch.ones(4, dtype=torch.float64), FUNCTION, 6)
    assert_near(z_hat, (alpha * head(c).squeeze(-1)).sum(1), 6, 5)


def test_softmax_gate_equals_its_formula() -> None:
    c, mask, head = bags(2)
    pooling = SoftmaxGate(5).double()
    (V, U), (b_V, b_U) = pooling.scores.VU.weight.chunk(2), pooling.scores.VU.bias.chunk(2)
    for bag, n in enumerate([6, 4, 2, 1]):
        clips = c[bag, :n]
        gated = torch.tanh(clips @ V.T + b_V) / (1 + torch.exp(-(clips @ U.T + b_U)))
        score = (gated @ pooling.scores.w.weight[0]).exp()
        alpha = score / score.sum()
        z_hat, got = pooling(c, mask, head)
        assert_near(got[bag, :n], alpha, GATE, n)
        assert_near(z_hat[bag], head(alpha @ clips)[0], GATE, n, n, 5)


def test_sigmoid_gate_adds_up_clips_and_counts_the_head_bias_once() -> None:
    c, mask, head = bags(3)
    pooling = SigmoidGate(5).double()
    z_hat, alpha = pooling(c, mask, head)
    assert_near(alpha[mask], torch.sigmoid(pooling.scores(c))[mask], GATE)
    without_bias = (c @ head.weight[0] * alpha).sum(1)
    assert_near(z_hat, without_bias + head.bias, GATE, 6, 5)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_noisy_or_equals_its_product_of_probabilities(logits: list[float]) -> None:
    z = torch.tensor([logits], dtype=torch.float64)
    p = torch.sigmoid(z)
    p_hat = 1 - (1 - p).prod(-1)
    z_hat, alpha = noisy_or(z)
    # Of either way to p_hat >= 0.0067, by 1 - product and by logarithms, the roundings are relative to 1.
    assert_near(torch.sigmoid(z_hat), p_hat, len(logits), 4 * FUNCTION)
    assert_near(alpha, p / p_hat[:, None], len(logits), 5 * FUNCTION, scale=1 / p_hat.item())


@settings(max_examples=50, deadline=None)
@given(st.floats(-50, 50), st.floats(-50, 50), st.integers(2, 60))
def test_noisy_or_is_finite_and_exact_at_both_ends_in_float32(first: float, others: float, tau: int) -> None:
    logits = [first] + [others] * (tau - 1)
    z = torch.tensor([logits], requires_grad=True)
    z_hat, alpha = noisy_or(z)
    torch.autograd.backward(z_hat)
    absent = -sum(math.log1p(math.exp(x)) for x in z.detach().double()[0].tolist())
    expected = math.log(-math.expm1(absent)) - absent
    # z_hat = log(1 - e^s) - s moves by 1 / p_hat where s = absent does: its roundings, relative to s, by 1 + |s| at most.
    assert_near(z_hat[0], torch.tensor(expected), tau, 3 * FUNCTION, scale=1 - absent + abs(expected))
    assert torch.isfinite(alpha).all() and z.grad is not None and torch.isfinite(z.grad).all()
    # alpha = exp(log p - log p_hat): roundings relative to either logarithm are relative to alpha itself.
    log_p_hat = math.log(-math.expm1(absent))
    log_p = torch.nn.functional.logsigmoid(z.detach().double())
    apart = rounding(tau, 4 * FUNCTION, dtype=torch.float32) * (1 - log_p - log_p_hat)
    assert ((z.grad - alpha).abs() <= apart * alpha).all()


def test_noisy_or_has_a_finite_logit_where_every_score_underflows() -> None:
    z = torch.full((1, 60), -200.0, requires_grad=True)
    z_hat, alpha = noisy_or(z)
    torch.autograd.backward(z_hat)
    assert torch.isfinite(z_hat).all() and torch.isfinite(alpha).all()
    assert z.grad is not None and torch.isfinite(z.grad).all()


@pytest.mark.parametrize("tau", [2, 20, 60])
def test_noisy_or_starts_away_from_certainty(tau: int) -> None:
    start = NoisyOr(1).initial_bias(tau)
    assert_near(1 / (1 + math.exp(-start)), 1 / tau, 4 * FUNCTION)
    z_hat, _ = noisy_or(torch.full((1, tau), start))
    assert (
        0.6 < torch.sigmoid(z_hat).item() <= 0.75 + rounding(tau, 4 * FUNCTION, dtype=torch.float32)
    )  # 1 - (1 - 1/tau)^tau, down to 1 - 1/e
    certain, _ = noisy_or(torch.zeros(1, 60))  # what starting at p = 0.5 would mean
    assert torch.sigmoid(certain).item() == 1.0


@pytest.mark.parametrize("make", [SoftmaxGate, SigmoidGate, MaxPooling, MeanPooling])
def test_the_other_rules_start_at_even_odds(make: type[Pooling]) -> None:
    assert make(5).initial_bias(60) == 0.0
    assert NoisyOr(5).initial_bias(1) == 0.0


def test_max_and_mean_are_the_best_and_the_average_clip() -> None:
    z = torch.tensor([[-3.0, -1.0, -2.0, 9.0]])[..., None]
    mask = torch.tensor([[True, True, True, False]])
    z_hat, alpha = MaxPooling(1)(z, mask, first_column)
    assert z_hat.tolist() == [-1.0] and alpha.tolist() == [[0.0, 1.0, 0.0, 0.0]]
    z_hat, alpha = MeanPooling(1)(z, mask, first_column)
    assert_near(z_hat[0], torch.tensor(-2.0), 3 + FUNCTION, scale=3.0)
    assert_near(alpha[0], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]), FUNCTION)


@pytest.mark.parametrize("make", POOLINGS)
def test_gradients_stay_finite_beside_padding(make: type[Pooling]) -> None:
    c, mask, head = bags(4)
    c = (20 * c).float().requires_grad_()
    pooling = make(5)
    z_hat, _ = pooling(c, mask, head.float())
    z_hat.sum().backward()
    assert c.grad is not None and torch.isfinite(c.grad).all()
    assert not c.grad[~mask].any()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in pooling.parameters())
