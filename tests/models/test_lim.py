"""LIM: the weighted hinge on pairs of clips."""

from __future__ import annotations

import pytest
import torch

from highlight_lit.models.highlight_net import Detection
from highlight_lit.models.lim import Lim, LimLoss, group_softmax, pairs
from tests.tolerance import FUNCTION, assert_near


def _masks(*clips: int, tau: int = 6) -> torch.Tensor:
    return torch.arange(tau) < torch.tensor(clips)[:, None]


def test_with_equal_weights_the_loss_is_the_plain_mean_hinge_over_pairs() -> None:
    torch.manual_seed(0)
    mask = _masks(6, 3, 4, 6)
    z = torch.randn(4, 6, dtype=torch.float64)
    loss = LimLoss()(Detection(z, z.mean(1), torch.full_like(z, 0.125)), torch.tensor([1.0, 1, 0, 0]), mask)
    plain = [
        torch.relu(1 - z[bag, k] + z[2 + bag, k])
        for bag in range(2)
        for k in range(6)
        if mask[bag, k] and mask[2 + bag, k]
    ]
    assert len(plain) == 7
    for part in ("loss", "hinge"):
        assert_near(loss[part], torch.stack(plain).mean(), 3, 7, 7, 3 * FUNCTION)  # hinges, their sum, that of weights


def test_weights_add_up_to_one_in_each_group_of_eight_and_are_zero_without_a_pair() -> None:
    torch.manual_seed(0)
    valid = torch.rand(5, 13) < 0.7
    weight = group_softmax(torch.randn(5, 13, dtype=torch.float64), valid)
    inside = weight.T[valid.T]
    full = len(inside) // 8 * 8
    assert_near(inside[:full].view(-1, 8).sum(1), torch.ones(full // 8, dtype=torch.float64), 8, 8, FUNCTION)
    assert_near(inside[full:].sum(), torch.tensor((len(inside) - full) / 8, dtype=torch.float64), 8, 8, FUNCTION)
    assert (weight[~valid] == 0).all()


def test_a_group_takes_its_pairs_from_different_videos() -> None:
    h = torch.zeros(8, 4, dtype=torch.float64)
    h[0] = 50.0  # one bag's pairs win their groups: they must not share one
    weight = group_softmax(h, torch.ones(8, 4, dtype=torch.bool))
    assert_near(weight[0], torch.ones(4, dtype=torch.float64), 8, FUNCTION)  # the others' exp(-50) is below that


def test_no_valid_pair_gives_a_loss_of_zero_and_finite_gradients() -> None:
    net = Lim(5, None, ["visual"], d=4)
    mask = torch.tensor([[True, False], [False, True]])
    detection = net(torch.randn(2, 2, 5), None, mask, mask)
    loss = LimLoss()(detection, torch.tensor([1.0, 0.0]), mask)["loss"]
    loss.backward()
    assert loss == 0
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_the_second_network_learns_from_the_loss() -> None:
    torch.manual_seed(0)
    net = Lim(5, None, ["visual"], d=8, dropout=0.0)
    mask = torch.ones(16, 4, dtype=torch.bool)
    LimLoss()(net(torch.randn(16, 4, 5), None, mask, mask), torch.ones(16), mask)["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.h[0].parameters())


def test_padded_clips_change_no_logit_in_evaluation() -> None:
    torch.manual_seed(0)
    net = Lim(5, 3, d=4).double().eval()
    visual, audio = torch.randn(1, 6, 8, dtype=torch.float64).split([5, 3], -1)
    whole = net(visual[:, :4], audio[:, :4], _masks(4, tau=4), _masks(4, tau=4))
    padded = net(visual, audio, _masks(4), _masks(4))
    assert_near(padded.z[:, :4], whole.z, 5, 8, 4)
    assert (padded.z[:, 4:] == 0).all()
    assert_near(padded.z_hat, whole.z_hat, 5, 8, 4, 6)


def test_an_odd_number_of_bags_is_refused() -> None:
    assert pairs(_masks(6, 6)).shape == (1, 6)
    with pytest.raises(ValueError, match="pairs"):
        pairs(_masks(6, 6, 6))


@pytest.mark.parametrize(("streams", "Da"), [([], 3), (["smell"], 3), (["audio"], None)])
def test_streams_are_checked(streams: list[str], Da: int | None) -> None:
    with pytest.raises(ValueError, match=r"stream"):
        Lim(5, Da, streams)
