from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from highlight_lit.models.fusion import Concatenation
from highlight_lit.models.highlight_net import Detection
from highlight_lit.models.ranking_loss import PairwiseRanking


def batch(seed: int, lengths: list[int]) -> tuple[Detection, Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    z = (3 * torch.randn(mask.shape, dtype=torch.float64)).masked_fill(~mask, 0.0).requires_grad_()
    target = torch.rand(mask.shape, dtype=torch.float64)
    return Detection(z, z.sum(-1), z), torch.ones(len(lengths)), mask, target


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_it_equals_its_formula(seed: int, lengths: list[int]) -> None:
    detection, label, mask, target = batch(seed, lengths)
    weighted = total = 0.0
    for z, t, n in zip(detection.z.tolist(), target.tolist(), lengths, strict=True):
        for i in range(n):
            for j in range(n):
                weight = max(t[i] - t[j], 0.0)
                weighted += weight * math.log1p(math.exp(z[j] - z[i]))
                total += weight
    # At most 4 * 25 positive terms in float64, added in another order.
    expected = weighted / total if total else 0.0
    assert PairwiseRanking()(detection, label, mask, target)["loss"].item() == pytest.approx(expected, rel=1e-13)


def test_what_lies_beyond_a_bag_counts_for_nothing() -> None:
    detection, label, mask, target = batch(0, [4, 2])
    loss = PairwiseRanking()(detection, label, mask, target)["loss"]
    other = torch.where(mask, detection.z, 1e3).detach()
    changed = PairwiseRanking()(Detection(other, label, other), label, mask, torch.where(mask, target, 9.0))["loss"]
    assert changed.item() == loss.item()


def test_a_bag_of_one_clip_has_no_loss_and_no_gradient() -> None:
    detection, label, mask, target = batch(0, [1])
    loss = PairwiseRanking()(detection, label, mask, target)["loss"]
    loss.backward()
    assert loss.item() == 0.0
    assert detection.z.grad is not None
    assert torch.equal(detection.z.grad, torch.zeros_like(detection.z.grad))


def test_clips_in_the_teachers_order_have_all_pairs_right_and_a_small_loss() -> None:
    target = torch.linspace(0, 1, 5)[None]
    mask, label = torch.ones(1, 5, dtype=torch.bool), torch.ones(1)
    right, wrong = (PairwiseRanking()(Detection(z, label, z), label, mask, target) for z in (9 * target, -9 * target))
    assert right["pair_accuracy"] == 1.0
    assert wrong["pair_accuracy"] == 0.0
    assert right["loss"] < 0.05 < 4 < wrong["loss"]


def test_modality_dropout_takes_whole_streams_of_bags_and_never_both() -> None:
    torch.manual_seed(0)
    fusion = Concatenation(2, modality_dropout=0.3)
    with torch.no_grad():
        fusion.W.weight.copy_(torch.eye(2, 4) + torch.eye(2, 4).roll(2, 1))  # f_h = f_v + f_a
    bags = 4000
    f_v, f_a = torch.ones(bags, 3, 2), 2 * torch.ones(bags, 3, 2)
    kept = fusion(f_v, f_a)
    assert torch.equal(kept, kept[:, :1, :1].expand_as(kept))  # one draw a bag
    counts = {value: (kept[:, 0, 0] == value).float().mean().item() for value in (1.0, 2.0, 3.0)}
    for value, chance in ((2.0, 0.3), (1.0, 0.7 * 0.3), (3.0, 0.7 * 0.7)):
        assert abs(counts[value] - chance) < 5 * math.sqrt(chance * (1 - chance) / bags)  # five standard deviations
    assert torch.equal(fusion.eval()(f_v, f_a), torch.full((bags, 3, 2), 3.0))
