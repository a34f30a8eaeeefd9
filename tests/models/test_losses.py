from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from highlight_lit.models.highlight_net import Detection
from highlight_lit.models.losses import HingesL1, MarginLoss, Sparsity, split_pairs
from tests.tolerance import FUNCTION, assert_near

LENGTHS = [4, 3, 1, 2, 4, 1]  # three positives, then their negatives

TERM = (4, 4, 6, 3 * FUNCTION)  # terms of the sums in a mean, a variance and a sum over bags of probabilities
BCE = 1 + math.exp(4)  # log(1 - q) by hand, for a logit up to 4: a rounding of q counts 1 / (1 - q) times


def batch(seed: int) -> tuple[Detection, Tensor, Tensor]:
    torch.manual_seed(seed)
    mask = torch.arange(4) < torch.tensor(LENGTHS)[:, None]
    z = (3 * torch.randn(6, 4, dtype=torch.float64)).masked_fill(~mask, 0.0)
    return Detection(z, torch.randn(6, dtype=torch.float64), z), torch.tensor([1.0] * 3 + [0.0] * 3), mask


def by_hand(detection: Detection, m_s: float, m_var: float) -> tuple[float, list[float], list[float], float]:
    """BCE, score margins, variance margins and |p+|_1 in plain Python."""
    p = [[1 / (1 + math.exp(-x)) for x in row[:n]] for row, n in zip(detection.z.tolist(), LENGTHS, strict=True)]
    p_hat = [1 / (1 + math.exp(-x)) for x in detection.z_hat.tolist()]
    bce = -(sum(math.log(q) for q in p_hat[:3]) + sum(math.log(1 - q) for q in p_hat[3:])) / 6
    pairs = list(zip(p[:3], p[3:], strict=True))
    X_s = [max(0.0, m_s - max(a) + max(b)) for a, b in pairs]
    X_var = [max(0.0, m_var - statistics.pvariance(a) + statistics.pvariance(b)) for a, b in pairs]
    return bce, X_s, X_var, sum(map(sum, p[:3])) / 3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.floats(0, 10), st.floats(0, 1), st.floats(0, 0.25))
def test_hinges_l1_equals_its_formula(seed: int, beta: float, m_s: float, m_var: float) -> None:
    detection, label, mask = batch(seed)
    got = HingesL1(beta, m_s, m_var)(detection, label, mask)
    bce, X_s, X_var, _ = by_hand(detection, m_s, m_var)
    assert set(got) == {"loss", "bce", "score_margin", "variance_margin"}
    assert_near(got["loss"].item(), bce + beta * (sum(X_s) + sum(X_var)), *TERM, *TERM, scale=BCE + 10 * beta)
    assert_near(got["bce"].item(), bce, *TERM, scale=BCE)
    assert_near(got["score_margin"].item(), sum(X_s) / 3, *TERM)
    assert_near(got["variance_margin"].item(), sum(X_var) / 3, *TERM)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.floats(0, 10), st.floats(0, 1), st.floats(0, 0.25))
def test_sparsity_equals_its_formula(seed: int, beta: float, m_s: float, m_var: float) -> None:
    detection, label, mask = batch(seed)
    got = Sparsity(beta, m_s, m_var)(detection, label, mask)
    bce, X_s, X_var, l1 = by_hand(detection, m_s, m_var)
    assert set(got) == {"loss", "bce", "score_margin", "variance_margin", "sparsity"}
    expected = bce + sum(X_s) / 3 + sum(X_var) / 3 + beta * l1
    assert_near(got["loss"].item(), expected, *TERM, *TERM, scale=BCE + 10 * beta)
    assert_near(got["sparsity"].item(), l1, *TERM)


@pytest.mark.parametrize("loss", [HingesL1, Sparsity])
def test_padded_clips_do_not_count(loss: type[HingesL1 | Sparsity]) -> None:
    detection, label, mask = batch(0)
    wild = detection.z.masked_fill(~mask, 50.0)
    expected = loss(0.1, 1.0, 0.25)(detection, label, mask)
    for name, value in loss(0.1, 1.0, 0.25)(detection._replace(z=wild), label, mask).items():
        assert_near(value, expected[name], *TERM, *TERM, scale=BCE)


def test_a_bag_of_one_clip_has_no_variance() -> None:
    z = torch.tensor([[4.0, 0.0], [-4.0, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[True, False], [True, False]])
    got = HingesL1(1.0, 0.0, 0.2)(Detection(z, z[:, 0], z), torch.tensor([1.0, 0.0]), mask)
    assert_near(got["variance_margin"].item(), 0.2, 2)


def test_beta_zero_is_the_cross_entropy_alone() -> None:
    detection, label, mask = batch(3)
    got = HingesL1(0.0, 1.0, 0.25)(detection, label, mask)
    assert torch.equal(got["loss"], got["bce"])


def test_the_slope_of_a_positive_bag_in_a_clip_logit_is_its_weight_times_what_is_missing() -> None:
    torch.manual_seed(0)
    z = torch.randn(1, 5, dtype=torch.float64, requires_grad=True)
    alpha = torch.softmax(torch.randn(1, 5, dtype=torch.float64), -1)
    empty = torch.zeros(1, 5, dtype=torch.float64)
    both = Detection(torch.cat([z, empty]), torch.cat([(alpha * z).sum(1), empty[:, 0]]), torch.cat([alpha, empty]))
    loss = HingesL1(0.0, 1.0, 0.25)(both, torch.tensor([1.0, 0.0]), torch.ones(2, 5, dtype=torch.bool))["loss"]
    loss.backward()
    p_hat = torch.sigmoid((alpha * z).sum())
    assert z.grad is not None
    assert_near(2 * z.grad, -(1 - p_hat) * alpha, 5, 3 * FUNCTION)  # twice: the loss is a mean of two bags


@pytest.mark.parametrize("loss", [HingesL1, Sparsity])
def test_loss_and_gradients_are_finite_float32_for_half_precision_and_extreme_logits(
    loss: type[HingesL1 | Sparsity],
) -> None:
    z = torch.tensor([[90.0, -90.0, 0.0], [90.0, 90.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    mask = torch.tensor([[True, True, False], [True, True, False]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = loss(0.1, 1.0, 0.25)(Detection(z, z[:, 1], z), torch.tensor([1.0, 0.0]), mask)
    got["loss"].backward()
    assert got["loss"].dtype == torch.float32 and torch.isfinite(got["loss"])
    assert z.grad is not None and torch.isfinite(z.grad).all() and not z.grad[~mask].any()


@pytest.mark.parametrize("loss", [HingesL1, Sparsity])
@pytest.mark.parametrize(
    ("name", "value"), [("beta", -1e-4), ("m_s", 1.1), ("m_s", -0.1), ("m_var", 0.26), ("beta", float("nan"))]
)
def test_a_coefficient_out_of_range_is_refused_by_name(loss: type[MarginLoss], name: str, value: float) -> None:
    arguments = {"beta": 1e-4, "m_s": 0.5, "m_var": 0.1, name: value}
    with pytest.raises(ValueError, match=f"^{name}: "):
        loss(**arguments)


def test_pairs_are_the_two_halves_of_a_batch_and_an_odd_batch_is_refused() -> None:
    positive, negative = split_pairs(torch.arange(6))
    assert positive.tolist() == [0, 1, 2] and negative.tolist() == [3, 4, 5]
    with pytest.raises(ValueError, match="pairs.*got 3 bags"):
        split_pairs(torch.arange(3))
