"""A batch shared out over ranks has the loss and the gradient that it has on one, whatever the loss and the dropout."""

from __future__ import annotations

import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from highlight_lit.config import CONFIG_DIR, build, plain
from highlight_lit.data.batches import Bags, own_pairs
from highlight_lit.training.share import WholeBatchDropout, whole_batch

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
    heard = mask & (torch.rand(mask.shape) < 0.8)
    label = (torch.arange(2 * PAIRS) < PAIRS).float()
    return Bags(torch.randn(2 * PAIRS, TAU, 12), torch.randn(2 * PAIRS, TAU, 8), mask, heard, label)


def gradient(network: nn.Module, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


def detect(network: nn.Module, bags: Bags) -> object:
    torch.manual_seed(3)  # as the step is seeded, on every rank alike
    return network(bags.visual, bags.audio, bags.mask, bags.heard)


@pytest.mark.parametrize("ranks", [2, 3, 7])
@pytest.mark.parametrize("parts", ["loss=hinges_l1", "loss=sparsity", "loss=bce", "model=mini_net", "model=lim"])
def test_the_ranks_gradients_add_up_to_one_ranks_and_all_see_its_loss(parts: str, ranks: int) -> None:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = plain(compose("config", ["data.root=nowhere", "topic=dog", "model.d=8", "beta=0.1", parts]))
    torch.manual_seed(0)
    network, loss = build(config["model"], "model", Dv=12, Da=8).train(), build(config["loss"], "loss")
    whole = batch()
    expected = loss(detect(network, whole), whole.label, whole.mask)

    def part(rank: int) -> tuple[object, Bags]:
        own = own_pairs(PAIRS, rank, ranks)
        at = torch.tensor([*own, *(own + PAIRS)])
        bags = Bags(*(None if field is None else field[at] for field in whole))
        with WholeBatchDropout(PAIRS, rank, ranks):
            return detect(network, bags), bags

    sent: list[Tensor] = []
    for rank in range(ranks):
        whole_batch(*part(rank), PAIRS, rank, lambda packed: sent.append(packed) or [packed] * ranks)  # type: ignore[arg-type, func-returns-value]
    total = torch.zeros(())
    for rank in range(ranks):
        found = loss(*whole_batch(*part(rank), PAIRS, rank, lambda packed: list(sent)))  # type: ignore[arg-type]
        assert {name: value.item() for name, value in found.items()} == pytest.approx(
            {name: value.item() for name, value in expected.items()}, abs=1e-6
        )
        total = total + gradient(network, found["loss"])
    torch.testing.assert_close(total, gradient(network, expected["loss"]), atol=1e-6, rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(1, 4), st.sampled_from([(), (3,), (2, 5)]))
def test_dropout_on_a_rank_is_the_whole_batchs_at_its_bags(pairs: int, ranks: int, shape: tuple[int, ...]) -> None:
    drop, x = nn.Dropout(0.3), torch.randn(2 * pairs, *shape)
    torch.manual_seed(0)
    whole = drop(x)
    for rank in range(ranks):
        own = own_pairs(pairs, rank, ranks)
        at = torch.tensor([*own, *(own + pairs)])
        torch.manual_seed(0)
        with WholeBatchDropout(pairs, rank, ranks):
            assert torch.equal(drop(x[at]), whole[at])
            assert torch.equal(drop.eval()(x[at]), x[at])
        drop.train()
