"""A batch shared out over ranks has the loss and the gradient that it has on one, whatever the loss and the dropout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from highlight_lit.config.build import build
from highlight_lit.config.run_identity import as_plain
from highlight_lit.data.batch import Bags
from highlight_lit.data.sampling import own_pairs
from highlight_lit.launch import CONFIG_DIR
from highlight_lit.models.highlight_net import Detection
from highlight_lit.training.distributed.whole_batch import whole_batch
from highlight_lit.training.step import large_batch

TAU, PAIRS = 9, 5


@given(st.integers(1, 60), st.integers(1, 9))
def test_every_pair_is_dealt_to_one_rank_and_those_beyond_the_last_are_left_out(pairs: int, ranks: int) -> None:
    dealt = [own_pairs(pairs, rank, ranks).tolist() for rank in range(ranks)]
    assert len({len(own) for own in dealt}) == 1
    assert [pair for own in dealt for pair in own][:pairs] == list(range(pairs))


def batch() -> Bags:
    """Five pairs, some clips missing, some silent."""
    torch.manual_seed(1)
    mask = torch.arange(TAU) < torch.randint(1, TAU + 1, (2 * PAIRS, 1))
    audio_mask = mask & (torch.rand(mask.shape) < 0.8)
    label = (torch.arange(2 * PAIRS) < PAIRS).double()
    visual, audio = torch.randn(2 * PAIRS, TAU, 20, dtype=torch.float64).split([12, 8], -1)
    return Bags(visual, audio, mask, audio_mask, label)


def gradient(network: nn.Module, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


def parts_of(name: str) -> tuple[nn.Module, nn.Module]:
    """A network and its loss."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = as_plain(compose("config", ["data.root=nowhere", "topic=dog", "model.d=8", "beta=0.1", name]))
    torch.manual_seed(0)
    return build(config["model"], "model", Dv=12, Da=8).double().train(), build(config["loss"], "loss")


def detected(network: nn.Module, rank: int, ranks: int) -> tuple[Detection, Tensor, Tensor]:
    """What a rank has of the batch, as its training step does."""
    own = own_pairs(PAIRS, rank, ranks)
    at = torch.tensor([*own, *(own + PAIRS)])
    bags = Bags(*(None if field is None else field[at] for field in batch()))
    call = lambda bags: network(bags.visual, bags.audio, bags.mask, bags.audio_mask)  # noqa: E731
    return large_batch.detect(call, bags), bags.label, bags.mask


def without_dropout(network: nn.Module) -> nn.Module:
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network


PARTS = ["loss=hinges_l1", "loss=sparsity", "loss=bce", "model=mini_net", "model=lim"]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", PARTS)
def test_the_ranks_gradients_add_up_to_one_ranks_and_all_see_its_loss(
    name: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(large_batch, "LARGE", 1)
        monkeypatch.setattr(large_batch, "PART", 2)
    network, loss = parts_of(name)
    without_dropout(network)
    expected = loss(*detected(network, 0, 1))
    theirs = gradient(network, expected["loss"])
    for ranks in (2, 3, 7):
        of_rank = [[*found[0], *found[1:]] for found in (detected(network, rank, ranks) for rank in range(ranks))]
        kinds = iter(range(5))

        def gather(part: Tensor, sync_grads: bool, of: list[list[Tensor]] = of_rank, kinds: Any = kinds) -> Tensor:
            kind = next(kinds)
            assert sync_grads == (kind < 3)  # those that carry gradients
            return torch.stack([parts[kind] for parts in of])

        detection, label, mask = Detection(*of_rank[0][:3]), *of_rank[0][3:]
        found = loss(*whole_batch(gather, PAIRS, detection, label, mask))
        assert {name: value.item() for name, value in found.items()} == pytest.approx(
            {name: value.item() for name, value in expected.items()}, abs=1e-6
        )
        torch.testing.assert_close(gradient(network, found["loss"]), theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", PARTS)
def test_a_large_batch_part_by_part_is_what_it_is_in_one_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, loss = parts_of(name)
    without_dropout(network)
    expected = loss(*detected(network, 0, 1))["loss"]
    theirs = gradient(network, expected)
    monkeypatch.setattr(large_batch, "LARGE", 1)
    for part in (1, 2, 5, 9):
        monkeypatch.setattr(large_batch, "PART", part)
        found = loss(*detected(network, 0, 1))["loss"]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(gradient(network, found), theirs, atol=1e-6, rtol=1e-5)
