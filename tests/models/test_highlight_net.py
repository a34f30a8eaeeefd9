from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from highlight_lit.models.context import TemporalContext
from highlight_lit.models.fusion import (
    AudioOnly,
    Concatenation,
    ElementwiseProduct,
    FullTensorFusion,
    LowRankFusion,
    ResidualFusion,
    VisualOnly,
)
from highlight_lit.models.highlight_net import Detection, Embedding, HighlightNet
from highlight_lit.models.pooling import MaxPooling, MeanPooling, NoisyOr, SigmoidGate, SoftmaxGate
from tests.tolerance import FUNCTION, assert_near, rounding

FUSIONS: list[Any] = [
    partial(LowRankFusion, R=2),
    partial(LowRankFusion, R=2, append_one=True),
    FullTensorFusion,
    Concatenation,
    ElementwiseProduct,
    partial(ResidualFusion, R=2),
    VisualOnly,
    AudioOnly,
]
LOGIT = (6, 9 * 9, 3 * (5 * 8 + 5 * FUNCTION + 5), 8, 7 + 8 + 4 * FUNCTION)  # embedding, fusion, context, head, pooling
POOLINGS: list[Any] = [SoftmaxGate, SigmoidGate, NoisyOr, MaxPooling, MeanPooling]


def network(fusion: Any = FUSIONS[0], context: Any = TemporalContext, pooling: Any = SoftmaxGate) -> HighlightNet:
    torch.manual_seed(0)
    return HighlightNet(6, 5, 8, fusion, context, pooling, dropout=0.0)


def batch(tau: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.arange(tau) < torch.tensor([tau, tau - 2, 1, tau])[:, None]
    audio_mask = mask & (torch.rand(4, tau) < 0.7)
    return torch.randn(4, tau, 6), torch.randn(4, tau, 5), mask, audio_mask


@pytest.mark.parametrize(("fusion", "pooling"), [*itertools.product(FUSIONS, POOLINGS)])
def test_every_combination_scores_clips_and_bags_with_finite_gradients(fusion: Any, pooling: Any) -> None:
    net, (v, a, mask, audio_mask) = network(fusion, pooling=pooling), batch()
    z, z_hat, alpha = net(v, a, mask, audio_mask)
    assert z.shape == alpha.shape == (4, 7) and z_hat.shape == (4,)
    assert not z[~mask].any() and not alpha[~mask].any()
    (z_hat.sum() + z.square().sum()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None or name.startswith("pooling."), name
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_with_the_softmax_gate_the_bag_logit_is_the_weighted_mean_of_the_clip_logits() -> None:
    z, z_hat, alpha = network()(*batch())
    assert_near(z_hat, (alpha * z).sum(1), 7, 8)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("global_state", [False, True])
def test_padding_changes_neither_clip_nor_bag_logits(pooling: Any, global_state: bool) -> None:
    net = network(context=partial(TemporalContext, global_state=global_state), pooling=pooling).double()
    v, a, mask, audio_mask = batch()
    v, a = v.double(), a.double()
    longer = [torch.cat([x, 9 * torch.ones_like(x[:, :4])], 1) for x in (v, a)]
    off = torch.zeros(4, 4, dtype=torch.bool)
    z, z_hat, alpha = net(*longer, torch.cat([mask, off], 1), torch.cat([audio_mask, off], 1))
    expected = net(v, a, mask, audio_mask)
    assert_near(z[:, :7], expected.z, *LOGIT)
    assert_near(z_hat, expected.z_hat, *LOGIT)
    assert_near(alpha[:, :7], expected.alpha, *LOGIT)


@pytest.mark.parametrize("T", [0, 1, 2])
def test_a_clip_logit_depends_on_t_clips_to_either_side_alone(T: int) -> None:
    net, (v, a, _, _) = network(context=partial(TemporalContext, T=T)), batch(9)
    v.requires_grad_()
    every = torch.ones(4, 9, dtype=torch.bool)
    net(v, a, every, every).z[:, 4].sum().backward()
    assert v.grad is not None
    read = v.grad.abs().sum((0, 2)) > 0
    assert read.tolist() == [abs(s - 4) <= T for s in range(9)]


def test_a_clip_that_is_not_heard_gives_nothing_of_its_sound() -> None:
    net, (v, a, mask, audio_mask) = network(), batch()
    noise = torch.where(audio_mask[..., None], a, 100 * torch.randn_like(a))
    for got, expected in zip(net(v, noise, mask, audio_mask), net(v, a, mask, audio_mask), strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize(("append_one", "kept"), [(False, False), (True, True)])
def test_a_silent_clip_keeps_its_visual_part_with_the_appended_one_alone(append_one: bool, kept: bool) -> None:
    net, (v, a, mask, _) = network(partial(LowRankFusion, R=2, append_one=append_one)), batch()
    silent = torch.zeros_like(mask)
    changed = not torch.equal(net(v, a, mask, silent).z, net(-v, a, mask, silent).z)
    assert changed == kept


@pytest.mark.parametrize(("fusion", "stream"), [(VisualOnly, "visual"), (AudioOnly, "audio")])
def test_a_stream_that_is_not_read_has_no_weights_and_may_be_none(fusion: Any, stream: str) -> None:
    net, (v, a, mask, audio_mask) = network(fusion), batch()
    assert list(net.embeddings) == [stream]
    alone = (v, None) if stream == "visual" else (None, a)
    assert torch.equal(net(*alone, mask, audio_mask).z, net(v, a, mask, audio_mask).z)
    Dv, Da = (6, None) if stream == "visual" else (None, 5)
    HighlightNet(Dv, Da, 8, fusion, TemporalContext, SoftmaxGate)


def test_a_missing_stream_is_refused_by_name() -> None:
    net, (v, a, mask, audio_mask) = network(), batch()
    with pytest.raises(ValueError, match="reads the streams visual, audio, and the audio features are None"):
        net(v, None, mask, audio_mask)
    with pytest.raises(ValueError, match="visual features are None"):
        net(None, a, mask, audio_mask)
    with pytest.raises(ValueError, match="LowRankFusion reads the audio stream: its width is missing"):
        HighlightNet(6, None, 8, FUSIONS[0], TemporalContext, SoftmaxGate)


def test_noisy_or_starts_away_from_certainty_at_sixty_clips() -> None:
    net = network(pooling=NoisyOr)
    every = torch.ones(4, 60, dtype=torch.bool)
    p_hat = torch.sigmoid(net(torch.randn(4, 60, 6), torch.randn(4, 60, 5), every, every).z_hat)
    assert ((p_hat > 0.3) & (p_hat < 0.95)).all()
    assert network().head.bias.item() == 0.0


@pytest.mark.parametrize("pooling", POOLINGS)
def test_bfloat16_autocast_keeps_logits_in_float32_and_near(pooling: Any) -> None:
    net, (v, a, mask, audio_mask) = network(pooling=pooling), batch()
    expected = net(v, a, mask, audio_mask)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got: Detection = net(v, a, mask, audio_mask)
    # Some 15 values are rounded to bfloat16 one after the other: features, weights and outputs of each layer.
    size = (expected.z - net.head.bias)[mask].abs().max().item()
    apart = rounding(15, dtype=torch.bfloat16, scale=size)
    for one, other in zip(got[:2], expected[:2], strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=apart)
    torch.autograd.backward(got.z_hat.sum())
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_folded_embedding_equals_explicit_standardisation(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    embedding = Embedding(20, 8, dropout=0.5).eval()
    scale = 10 ** torch.linspace(-1, 1, 20)
    x = (scale * (torch.randn(50, 20) + 1)).to(dtype)
    mean, std = x.float().mean(0), x.float().std(0)
    embedding.fit_statistics(mean, std)
    weight, bias = (part.detach().double() for part in embedding.linear.parameters())
    floor = std.double().clamp(min=std.double().mean().item())
    expected = torch.relu((x.double() - mean.double()) / floor @ weight.T + bias)
    scale = ((x.abs() + mean.abs()) / floor @ weight.abs().T).max().item()  # of the terms, which cancel out
    assert_near(embedding(x), expected.float(), 20, 20, 20, FUNCTION, scale=scale)  # mean of std, folded bias, product
    assert embedding.std.dtype == torch.float32


def test_a_dimension_that_never_moves_in_training_does_not_blow_up_later() -> None:
    torch.manual_seed(0)
    embedding = Embedding(4, 64, dropout=0.0)
    embedding.fit_statistics(torch.tensor([0.0, 0.0, 0.0, 3.0]), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    quiet, moved = embedding(torch.tensor([[1.0, 1.0, 1.0, 3.0], [1.0, 1.0, 1.0, 3.01]]))
    assert (moved - quiet).abs().max() < 5.0
    embedding.fit_statistics(torch.zeros(4), torch.zeros(4))
    assert torch.equal(embedding.std, torch.ones(4))


def test_statistics_travel_with_the_weights() -> None:
    first, second = Embedding(3, 4), Embedding(3, 4)
    first.fit_statistics(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0]))
    second.load_state_dict(first.state_dict())
    assert second.mean.tolist() == [1, 2, 3] and second.std.tolist() == [5, 5, 6]  # none below their average


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (torch.zeros(2), torch.ones(3), r"^mean: expected shape \(3,\), got \(2,\)"),
        (torch.zeros(3), torch.tensor([1.0, float("nan"), 1.0]), "^std: expected finite"),
        (torch.zeros(3), torch.tensor([1.0, -1.0, 1.0]), "^std: expected values of at least 0"),
    ],
)
def test_unusable_statistics_are_refused_by_name(mean: Tensor, std: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embedding(3, 4).fit_statistics(mean, std)


def test_the_embedding_hands_unit_scale_to_the_relu() -> None:
    torch.manual_seed(0)
    f = Embedding(512, 256, dropout=0.0)(torch.randn(200, 512))
    assert f.square().mean().item() == pytest.approx(0.5, rel=0.1)
    assert (f >= 0).all()
