"""A batch shared out over ranks has the loss and the gradient that it has on one, whatever the loss and the dropout."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from highlight_lit.config import CONFIG_DIR, build, plain
from highlight_lit.data.batches import Bags
from highlight_lit.data.sampling import own_pairs
from highlight_lit.models.highlight_net import Detection
from highlight_lit.training import share
from highlight_lit.training.share import CountedDropout, Share, WholeBatchDropout
from tests.tolerance import FUNCTION, assert_near

# Sums on the way to a loss, and back to its gradient: layers, steps of context, clips of the batch.
TERMS = (12, 8 * 8, 4 * 32, 20 * FUNCTION, 90, 90)

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
    label = (torch.arange(2 * PAIRS) < PAIRS).double()
    visual, audio = torch.randn(2 * PAIRS, TAU, 20, dtype=torch.float64).split([12, 8], -1)
    return Bags(visual, audio, mask, heard, label)


def gradient(network: nn.Module, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in found])


def parts_of(name: str) -> tuple[nn.Module, nn.Module]:
    """A network and its loss."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = plain(compose("config", ["data.root=nowhere", "topic=dog", "model.d=8", "beta=0.1", name]))
    torch.manual_seed(0)
    return build(config["model"], "model", Dv=12, Da=8).double().train(), build(config["loss"], "loss")


def detected(network: nn.Module, rank: int, ranks: int) -> tuple[Detection, Tensor, Tensor]:
    """What a rank has of the batch, as its training step does."""
    own = own_pairs(PAIRS, rank, ranks)
    at = torch.tensor([*own, *(own + PAIRS)])
    bags = Bags(*(None if field is None else field[at] for field in batch()))
    torch.manual_seed(3)  # as the step is seeded, on every rank alike
    call = lambda bags: network(bags.visual, bags.audio, bags.mask, bags.heard)  # noqa: E731
    return share.detect(call, bags, Share(PAIRS, rank, ranks, (3, 0)), compiled=False)


PARTS = ["loss=hinges_l1", "loss=sparsity", "loss=bce", "model=mini_net", "model=lim"]


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("name", PARTS)
def test_the_ranks_gradients_add_up_to_one_ranks_and_all_see_its_loss(
    name: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(share, "LARGE", 1)
        monkeypatch.setattr(share, "PART", 2)
    network, loss = parts_of(name)
    expected = loss(*detected(network, 0, 1))
    theirs = gradient(network, expected["loss"])
    for ranks in (2, 3, 7):
        sent: list[Tensor] = []
        monkeypatch.setattr(share, "gather", lambda packed, sent=sent, n=ranks: sent.append(packed) or [packed] * n)
        for rank in range(ranks):
            detected(network, rank, ranks)
        monkeypatch.setattr(share, "gather", lambda _, sent=sent: list(sent))
        total = torch.zeros((), dtype=torch.float64)
        for rank in range(ranks):
            found = loss(*detected(network, rank, ranks))
            assert found.keys() == expected.keys()
            assert_near(torch.stack([*found.values()]), torch.stack([*expected.values()]), *TERMS)
            total = total + gradient(network, found["loss"])
        assert_near(total, theirs, *TERMS, 2 * ranks)


@pytest.mark.parametrize("name", PARTS)
def test_a_large_batch_part_by_part_is_what_it_is_in_one_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, loss = parts_of(name)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    expected = loss(*detected(network, 0, 1))["loss"]
    theirs = gradient(network, expected)
    monkeypatch.setattr(share, "LARGE", 1)
    for part in (1, 2, 5, 9):
        monkeypatch.setattr(share, "PART", part)
        found = loss(*detected(network, 0, 1))["loss"]
        assert_near(found, expected, *TERMS)
        assert_near(gradient(network, found), theirs, *TERMS)


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
        with WholeBatchDropout(Share(pairs, rank, ranks, (0, 0))):
            assert torch.equal(drop(x[at]), whole[at])
            assert torch.equal(drop.eval()(x[at]), x[at])
        drop.train()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_a_large_batchs_dropout_drops_the_share_it_should_and_never_the_same_twice(p: float) -> None:
    x, masks = torch.ones(40, 60, 130), []
    for step in range(2):
        with CountedDropout(Share(20, 0, 1, (0, step)), 0, 20):
            masks += [F.dropout(x, p), F.dropout(x, p)]
    sigma = (p / (1 - p)) ** 0.5  # of a value that is 0 with chance p and 1 / (1 - p) otherwise
    for mask in masks:
        assert set(mask.unique().tolist()) == {0.0, torch.tensor(1 / (1 - p)).item()}
        assert mask.mean().item() == pytest.approx(1.0, abs=6 * sigma / x.numel() ** 0.5)
        assert mask.mean((1, 2)).sub(1).abs().max() < 6 * sigma / x[0].numel() ** 0.5
    kept = torch.stack([mask.flatten() > 0 for mask in masks]).double()
    assert torch.corrcoef(kept).fill_diagonal_(0).abs().max() < 6 / x.numel() ** 0.5
    assert torch.corrcoef(kept[0].view(40, -1)).fill_diagonal_(0).abs().max() < 6 / x[0].numel() ** 0.5
