from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.models.highlight_net import Detection
from highlight_lit.models.mini_net import MiniNet, MiniNetLoss
from tests.tolerance import FUNCTION, assert_near

LOGIT = (12, 16, 8, 8, 4, FUNCTION)  # terms of the sums on the way to a clip logit of the network below
STREAMS = [("visual", "audio"), ("visual",), ("audio",)]


def batch(tau: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.arange(tau) < torch.tensor([tau, tau - 2, 1, tau])[:, None]
    return *torch.randn(4, tau, 22, dtype=torch.float64).split([12, 10], -1), mask, mask


def network(streams: tuple[str, ...] = STREAMS[0], d: int = 8) -> MiniNet:
    torch.manual_seed(0)
    return MiniNet(12, 10, streams, d).double().eval()


def part(net: nn.Module, name: str) -> Callable[..., Tensor]:
    return cast(Callable[..., Tensor], net.get_submodule(name))


def layers(net: nn.Module) -> list[tuple[int, int]]:
    return [(m.in_features, m.out_features) for m in net.modules() if isinstance(m, nn.Linear)]


def test_the_audio_visual_network_has_the_layers_of_the_released_one() -> None:
    net = MiniNet(512, 128)
    assert layers(net.embeddings["visual"]) == [(512, 128)] and layers(net.embeddings["audio"]) == [(128, 128)]
    assert layers(net.body) == [(256, 128), (128, 32)] * 4
    assert layers(net.scores) == [(128, 64), (64, 1)]
    assert layers(net.classifier) == [(128, 2)]
    drops = {name: m.p for name, m in net.named_modules() if isinstance(m, nn.Dropout)}
    assert drops.pop("embeddings.audio.dropout") == 0.0
    assert len(drops) == 5 and set(drops.values()) == {0.5}


@pytest.mark.parametrize(("stream", "width"), [("visual", 512), ("audio", 128)])
def test_a_stream_alone_has_four_layers_and_gated_scores(stream: str, width: int) -> None:
    net = MiniNet(512, 128, [stream])
    assert list(net.embeddings) == [stream]
    assert layers(net.embeddings) + layers(net.body) == [(width, 128)] + [(128, 128)] * 3
    assert layers(net.scores) == [(128, 64), (128, 64), (64, 1)]


def test_the_audio_visual_network_equals_its_formula() -> None:
    net, (v, a, mask, audio_mask) = network(), batch()
    weights = [m for m in net.body.modules() if isinstance(m, nn.Linear)]
    detection = net(v, a, mask, audio_mask)
    for bag, n in enumerate([5, 3, 1, 5]):
        v1 = torch.relu(part(net, "embeddings.visual.linear")(v[bag, :n]))
        a1 = torch.relu(part(net, "embeddings.audio.linear")(a[bag, :n]))
        both = torch.cat([v1, a1], 1)
        heads = [
            torch.relu(second(torch.relu(first(both))))
            for first, second in zip(weights[::2], weights[1::2], strict=True)
        ]
        f = torch.cat(heads, 1) + v1
        z = part(net, "scores.w")(torch.relu(part(net, "scores.V")(f)))[:, 0]
        alpha = z.exp() / z.exp().sum()
        negative, positive = net.classifier(alpha @ f)
        assert_near(detection.z[bag, :n], z, *LOGIT)
        assert_near(detection.alpha[bag, :n], alpha, *LOGIT, n, FUNCTION)
        assert_near(detection.z_hat[bag], positive - negative, *LOGIT, n, n, 8)


def test_the_network_of_a_stream_alone_equals_its_formula() -> None:
    net, (v, _, mask, audio_mask) = network(("visual",)), batch()
    f = torch.relu(part(net, "embeddings.visual.linear")(v[0]))
    for layer in (m for m in net.body.modules() if isinstance(m, nn.Linear)):
        f = torch.relu(layer(f))
    gate = 1 / (1 + torch.exp(-part(net, "scores.U")(f)))
    z = part(net, "scores.w")(torch.relu(part(net, "scores.V")(f)) * gate)[:, 0]
    assert_near(net(v, None, mask, audio_mask).z[0], z, 12, 3 * 8, 8, 4, FUNCTION)


@pytest.mark.parametrize("streams", STREAMS)
def test_clip_logits_rank_as_the_attention_does_and_padding_changes_nothing(streams: tuple[str, ...]) -> None:
    net, (v, a, mask, audio_mask) = network(streams), batch()
    z, z_hat, alpha = net(v, a, mask, audio_mask)
    assert torch.equal(z[0].argsort(), alpha[0].argsort())
    assert not z[~mask].any() and not alpha[~mask].any()
    assert_near(alpha.sum(1), torch.ones(4, dtype=torch.float64), 5, FUNCTION)
    longer = [torch.cat([x, 9 * torch.ones_like(x[:, :3])], 1) for x in (v, a)]
    off = torch.zeros(4, 3, dtype=torch.bool)
    padded = net(*longer, torch.cat([mask, off], 1), torch.cat([audio_mask, off], 1))
    assert_near(padded.z[:, :5], z, *LOGIT, 8)
    assert_near(padded.z_hat, z_hat, *LOGIT, 8, 5, 8)


def by_hand(alpha: list[list[float]], z_hat: list[float]) -> tuple[float, float]:
    """Cross entropy and ranking margin of one pair, positive first."""
    cross_entropy = (math.log1p(math.exp(-z_hat[0])) + math.log1p(math.exp(z_hat[1]))) / 2
    return cross_entropy, max(0.0, 1 - max(alpha[0]) + max(alpha[1]))


def test_the_loss_equals_a_hand_written_one_over_the_pairs() -> None:
    alpha = torch.tensor([[0.7, 0.3], [0.5, 0.5], [0.9, 0.1], [1.0, 0.0]], dtype=torch.float64)
    z_hat = torch.tensor([1.5, -0.5, 0.2, -2.0], dtype=torch.float64)
    mask = torch.tensor([[True, True], [True, True], [True, True], [True, False]])
    got = MiniNetLoss()(Detection(alpha.log(), z_hat, alpha), torch.tensor([1.0, 1.0, 0.0, 0.0]), mask)
    pairs = [by_hand(alpha[i::2].tolist(), z_hat[i::2].tolist()) for i in (0, 1)]
    cross_entropy, margin = (sum(x) / 2 for x in zip(*pairs, strict=True))
    assert set(got) == {"loss", "bce", "score_margin"}
    assert_near(got["bce"].item(), cross_entropy, 4, 2 * FUNCTION)
    assert_near(got["score_margin"].item(), margin, 3, 2)
    assert_near(margin, (1.2 + 1.5) / 2, 3, 2)
    assert_near(got["loss"].item(), cross_entropy + margin, 4, 2 * FUNCTION, 3, 2)


def test_cross_entropy_of_the_difference_is_that_of_the_two_way_classifier() -> None:
    torch.manual_seed(0)
    outputs, label = torch.randn(6, 2, dtype=torch.float64), torch.tensor([1, 1, 1, 0, 0, 0])
    alpha = torch.full((6, 2), 0.5)
    detection = Detection(alpha, outputs[:, 1] - outputs[:, 0], alpha)
    got = MiniNetLoss()(detection, label.float(), torch.ones(6, 2, dtype=torch.bool))
    assert_near(got["bce"], F.cross_entropy(outputs, label), 6, 3 * FUNCTION)


@pytest.mark.parametrize("streams", STREAMS)
def test_every_weight_learns_and_autocast_keeps_logits_in_float32(streams: tuple[str, ...]) -> None:
    net, (v, a, mask, audio_mask) = network(streams).float(), batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        detection = net(v, a, mask, audio_mask)
    assert {x.dtype for x in detection} == {torch.float32}
    MiniNetLoss()(detection, torch.tensor([1.0, 1.0, 0.0, 0.0]), mask)["loss"].backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_unusable_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="^streams: "):
        MiniNet(12, 10, [])
    with pytest.raises(ValueError, match="^streams: .*smell"):
        MiniNet(12, 10, ["smell"])
    with pytest.raises(ValueError, match="^d: must be a multiple of 4, got 6"):
        MiniNet(12, 10, d=6)
    with pytest.raises(ValueError, match="audio stream: its width is missing"):
        MiniNet(12, None)
    v, _, mask, audio_mask = batch()
    with pytest.raises(ValueError, match="audio features are None"):
        network()(v, None, mask, audio_mask)
