"""Cells that are trained as one stack end as each would alone."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from highlight_lit.config.run_identity import as_plain
from highlight_lit.data.batch import Bags
from highlight_lit.errors import InputError, Interrupted
from highlight_lit.launch import composed
from highlight_lit.models.context import TemporalContext
from highlight_lit.models.fusion import LowRankFusion
from highlight_lit.models.highlight_net import HighlightNet
from highlight_lit.models.losses import HingesL1
from highlight_lit.models.pooling import SoftmaxGate
from highlight_lit.processes.signals import Signals
from highlight_lit.runs.ledger import records
from highlight_lit.training.checkpoint.atomic_io import AtomicCheckpointIO
from highlight_lit.training.checkpoint.contents import LastContents
from highlight_lit.training.epoch_means import EpochMeans
from highlight_lit.training.optimizer import make_optimizer
from highlight_lit.training.stacked.cells import cell_of, why_alone
from highlight_lit.training.stacked.stack import ELEMENTWISE, Member, Stack
from highlight_lit.training.stacked.sweep import train_stacked
from highlight_lit.training.step.objective import objective
from highlight_lit.training.train import train
from highlight_lit.untrusted.checkpoint_file import read_checkpoint

# What the cells of a stack may differ in: seed, topic, coefficients, learning rate, videos, how audio is read.
CELLS = [
    ("topic=topic01", "seed=0"),
    ("topic=topic02", "seed=1", "beta=1", "optimizer.algorithm.lr=0.01"),
    ("topic=topic01", "seed=2", "data.audio=shuffled", "data.fold=1/3"),
]


@pytest.fixture
def cell(small_corpus: Path, tmp_path: Path) -> Callable[..., Any]:
    """A configuration of a small run, as Hydra gives it to a job, and its overrides."""

    def make(folder: str, *words: str) -> Any:
        given = [f"data.root={small_corpus}", f"out={tmp_path / folder}", "data.pairs=4", "tau=8", "model.d=8",
                 "trainer.max_epochs=8", "logger=none", "evaluate.draws=2", "model.dropout=0",
                 "trainer.enable_progress_bar=false", "trainer.accelerator=cpu"]  # fmt: skip
        own = {word.partition("=")[0] for word in words}
        words = (*(word for word in given if word.partition("=")[0] not in own), *words)
        return composed("config", words), words

    return make


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> dict[int, list[float]]:
    """The loss at each step of what is trained, by what counts it."""
    found: dict[int, list[float]] = defaultdict(list)
    kept = []  # or another could get its id
    add = EpochMeans.add

    def noted(self: EpochMeans, step: int, values: dict[str, Tensor], bags: int) -> None:
        assert step == len(found[id(self)])
        kept.append(self)
        found[id(self)].append(float(values["loss"].detach()))
        add(self, step, values, bags)

    monkeypatch.setattr(EpochMeans, "add", noted)
    return found


def weights(folder: Path) -> dict[str, dict[str, Tensor]]:
    """The weights of all runs in a folder, by their identity."""
    return {path.parent.name: read_checkpoint(path)["state_dict"] for path in folder.glob("*/last.ckpt")}


def worst(one: Tensor, other: Tensor) -> float:
    """The largest difference of two weights, relative to the largest of their values."""
    return float((one.double() - other.double()).abs().max() / other.double().abs().max().clamp(min=1e-6))


@pytest.mark.parametrize(("precision", "near"), [("64-true", 1e-9), ("32-true", 1e-4)])
def test_every_step_and_weight_of_a_member_is_that_of_its_cell_alone(
    precision: str, near: float, cell: Callable[..., Any], losses: dict[int, list[float]], tmp_path: Path
) -> None:
    words = [(*each, "trainer.max_epochs=25", f"trainer.precision={precision}") for each in CELLS]
    for each in words:
        train(cell("alone", *each)[0])
    alone = list(losses.values())
    losses.clear()
    jobs = [cell("stacked", *each) for each in words]
    train_stacked(jobs, None, "always")
    stacked = list(losses.values())
    for config, _ in jobs:
        assert train(config)["stacked"] == len(CELLS)  # it ends as any run does
    assert [len(of) for of in alone] == [50, 50, 50]
    for of in alone:
        assert len([other for other in stacked if other == pytest.approx(of, rel=near, abs=0)]) == 1
    expected, found = weights(tmp_path / "alone"), weights(tmp_path / "stacked")
    assert expected.keys() == found.keys()
    for run, own in expected.items():
        assert own.keys() == found[run].keys()
        assert max(worst(found[run][name], own[name]) for name in own) < near


def test_a_member_ends_as_any_run_does_and_says_that_it_was_stacked(cell: Callable[..., Any], tmp_path: Path) -> None:
    cells = [cell("runs", "topic=topic01", f"seed={seed}", "model.dropout=0.5") for seed in (0, 1)]
    train_stacked(cells, None, "always")
    assert not list(records(tmp_path / "runs"))
    for config, _ in cells:
        train(config)
    for record in records(tmp_path / "runs"):
        assert (record["status"], record["epochs"], record["stacked"]) == ("done", 8, 2)
        assert 0 < record["seconds"] < 60
        assert record["evaluation"]["measures"] and math.isfinite(record["losses"]["train/loss"])


def test_a_checkpoint_of_a_member_is_what_lightning_would_have_written(
    cell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[int, dict[str, Any]] = {}

    def noted(self: AtomicCheckpointIO, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        written[checkpoint["global_step"]] = checkpoint  # of the last step the one at the end of training

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", noted)
    schedule = "optimizer.schedule={_target_:torch.optim.lr_scheduler.StepLR,step_size:2}"
    words = ("topic=topic01", "checkpoint.steps=1", "data.pairs=3", "trainer.max_epochs=3", schedule)
    monkeypatch.setattr("highlight_lit.training.train.evaluated", lambda *_: {})
    train(cell("alone", *words)[0])
    alone = dict(written)
    written.clear()
    train_stacked([cell("stacked", *words), cell("stacked", *words, "seed=1")], None, "always")
    assert alone.keys() == written.keys() == set(range(1, len(alone) + 1))
    for step, expected in alone.items():
        found = written[step]
        assert found.keys() == expected.keys() == LastContents.__annotations__.keys()
        assert found["loops"] == expected["loops"], step
        for key in ("epoch", "global_step", "hparams_name", "pytorch-lightning_version"):
            assert found[key] == expected[key]
        assert [one.keys() for one in found["lr_schedulers"]] == [one.keys() for one in expected["lr_schedulers"]]
        assert (
            found["optimizer_states"][0]["param_groups"][0].keys()
            == expected["optimizer_states"][0]["param_groups"][0].keys()
        )
        of = found["progress"]["history"], expected["progress"]["history"]
        assert [entry.keys() for entry in of[0]] == [entry.keys() for entry in of[1]]
        assert [entry["lr"] for entry in of[0]] == [entry["lr"] for entry in of[1]]


def test_a_member_whose_loss_is_not_finite_is_left_to_its_own_run_and_the_others_go_on(
    cell: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [cell("runs", "topic=topic01", f"seed={seed}") for seed in (0, 1)]
    bad = cell("runs", "topic=topic01", "seed=2", "optimizer.algorithm.lr=1e30")
    train_stacked([cells[0], bad, cells[1]], None, "always")
    said = capsys.readouterr().err
    assert "the loss of 1 is NaN or infinite, each is trained alone: topic01 av seed 2" in said
    assert len(weights(tmp_path / "runs")) == 2
    train_stacked([cells[0]], None, "always")
    assert len(weights(tmp_path / "runs")) == 2
    good = weights(tmp_path / "runs")
    train_stacked([cell("two", "topic=topic01", f"seed={seed}") for seed in (0, 1)], None, "always")
    two = weights(tmp_path / "two")
    assert all(worst(good[run][name], two[run][name]) < 1e-4 for run in two for name in two[run])


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_a_stack_that_is_stopped_goes_on_where_it_was(
    precision: str, cell: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    further = ("data.pairs=3", "model.dropout=0.5", f"trainer.precision={precision}")
    words = [(*each, *further) for each in CELLS]
    train_stacked([cell("unbroken", *each) for each in words], None, "always")
    step, stop_at = Stack.step, {4, 13}
    taken = []

    def stopped(self: Stack, batches: Any) -> Any:
        taken.append(len(self.members))
        if len(taken) in stop_at:
            stop_at.discard(len(taken))
            signals[-1].received = 15
        return step(self, batches)

    signals: list[Signals] = []
    install = Signals.install
    monkeypatch.setattr(Signals, "install", lambda self: (signals.append(self), install(self))[1])
    monkeypatch.setattr(Stack, "step", stopped)
    for _ in range(2):
        with pytest.raises(Interrupted):
            train_stacked([cell("stopped", *each) for each in words], None, "always")
        assert len(weights(tmp_path / "stopped")) == len(CELLS)
    train_stacked([cell("stopped", *each) for each in words], None, "always")
    expected, found = weights(tmp_path / "unbroken"), weights(tmp_path / "stopped")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[run][name], found[run][name]) for run in expected for name in expected[run])


class Switched(HingesL1):
    """A loss with a switch that one of its numbers sets."""

    def __init__(self, beta: float, m_s: float, m_var: float) -> None:
        super().__init__(beta, m_s, m_var)
        self.on = m_s > 0


class Normed(HighlightNet):
    """A network with statistics of its own, which training changes."""

    def __init__(self, Dv: int, Da: int, d: int, fusion: Any, context: Any, pooling: Any, dropout: float) -> None:
        super().__init__(Dv, Da, d, fusion, context, pooling, dropout)
        self.norm = nn.BatchNorm1d(1)


class Deciding(HighlightNet):
    """A network that looks at a number to decide what to do, which no stack can."""

    def forward(self, visual: Tensor, audio: Tensor, mask: Tensor, audio_mask: Tensor) -> Any:
        found = super().forward(visual, audio, mask, audio_mask)
        return found if found.z.sum() > 1e9 else found._replace(z=found.z * 1.0)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("trainer.gradient_clip_val=1.0", None),
        ("trainer.accumulate_grad_batches=2", None),
        ("trainer.max_steps=7", None),
        ("trainer.devices=2", "trainer.devices is not 1"),
        ("trainer.precision=16-mixed", None),
        ("trainer.max_epochs=-1", "trainer.max_epochs is not set"),
        ("callbacks=[last,lr_monitor]", "callbacks: LearningRateMonitor"),
        ("data.validation=0.3", "data.validation"),
        ("data.store=stream", None),
        ("compile=true", None),
        ("experiment=guided", "teacher.method=recurrence_change"),
        ("optimizer.algorithm._target_=torch.optim.Adafactor", None),
        ("optimizer.schedule={_target_:torch.optim.lr_scheduler.ReduceLROnPlateau}",
         "optimizer.schedule._target_=torch.optim.lr_scheduler.ReduceLROnPlateau"),
        ("optimizer=paper", ""),
        ("loss.m_s=0.4", ""),
    ],
)  # fmt: skip
def test_what_keeps_a_cell_from_a_stack_is_named(word: str, reason: str | None, cell: Callable[..., Any]) -> None:
    config, _ = cell("runs", "topic=topic01", word)
    assert why_alone(as_plain(config)) == ((word if reason is None else reason) or None)


def test_cells_that_cannot_be_stacked_are_run_one_by_one_and_it_is_said_why(
    quick_train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["seed=0,1", "trainer.max_epochs=1", "hydra/launcher=stacked"]
    assert quick_train(*words, "model._target_=tests.training.stacked.test_stacked.Deciding", multirun=True) == 0
    assert "one by one: 2 cells (RuntimeError: vmap" in capsys.readouterr().err
    assert quick_train(*words, "hydra.launcher.cpu=never", multirun=True) == 0
    assert "one by one: 2 cells (hydra.launcher.cpu=never)" in capsys.readouterr().err
    assert [record.get("stacked", 1) for record in records(tmp_path / "runs")] == [1, 1, 1, 1]


def test_cells_that_differ_in_more_than_numbers_are_no_stack(cell: Callable[..., Any]) -> None:
    words = (
        "topic=topic01",
        "loss._target_=tests.training.stacked.test_stacked.Switched",
        "loss.beta=1",
        "loss.m_var=0.1",
    )
    kinds = [cell_of(*cell("runs", *words, f"loss.m_s={m_s}"), {}) for m_s in (0.5, 0.4, 0)]
    assert len({of.kind for of in kinds if of is not None}) == 2


def test_what_is_wrong_with_a_cell_is_left_to_its_own_run_and_the_others_are_trained(
    cell: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [cell("runs", "topic=topic01", f"seed={seed}") for seed in (0, 1)]
    buffers = "model._target_=tests.training.stacked.test_stacked.Normed"
    bad = [("model.d=-3",), ("trainer.accelerator=none",), (buffers,), (buffers, "seed=1"), ("topic=none",)]
    train_stacked([*good, *(cell("runs", "topic=topic01", *words) for words in bad)], None, "always")
    assert len(weights(tmp_path / "runs")) == 2
    said = capsys.readouterr().err
    assert "its own run says what is wrong" in said
    assert "one by one: 2 cells (its network has buffers, which training may change)" in said


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_stacked_step_of_an_optimizer_is_each_members_own(name: str) -> None:
    nodes = {"algorithm": {"_target_": f"torch.optim.{name}", "lr": 0.01}, "schedule": None}
    own, stacked = [], []
    for into in (own, stacked):
        for seed in (0, 1):
            torch.manual_seed(seed)
            network = HighlightNet(
                5, 3, 4, partial(LowRankFusion, R=2), TemporalContext, SoftmaxGate, dropout=0.0
            ).double()
            hparams = {"optimizer": nodes}
            into.append(Member(SimpleNamespace(network=network, loss=HingesL1(1.0, 0.5, 0.1), hparams=hparams), 1))  # type: ignore[arg-type]
    mask = torch.ones(2, 4, 6, dtype=torch.bool)
    batches = [Bags(torch.randn(2, 4, 6, 5).double(), torch.randn(2, 4, 6, 3).double(), mask, mask,
                    torch.tensor([1.0, 1.0, 0.0, 0.0])) for _ in range(3)]  # fmt: skip
    stack = Stack(stacked, torch.device("cpu"))
    for number, bags in enumerate(batches):
        stack.step([([0, 1], bags)])
        if number == 0:  # taken apart, and put together again
            stack.apart()
            stack = Stack(stacked, torch.device("cpu"))
    stack.apart()
    for place, member in enumerate(own):
        optimizer, _ = make_optimizer(nodes, member.module.network.parameters())
        for number, bags in enumerate(batches):
            one = Bags(*(x if x is None or x is bags.label else x[place] for x in bags))
            optimizer.zero_grad()
            objective(member.module.network, member.module.loss, one)["loss"].backward()
            optimizer.step()
            if number == 0:  # as one that goes on from a checkpoint, which rounds differently in NAdam
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        pairs = zip(member.module.network.parameters(), stacked[place].module.network.parameters(), strict=True)
        assert max(worst(theirs.detach(), ours.detach()) for ours, theirs in pairs) < 1e-9


def test_a_sweep_is_stacked_by_one_flag_and_done_once(
    quick_train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["topic=topic01,topic02", "beta=0,1", "hydra/launcher=stacked"]
    assert quick_train(*words, multirun=True) == 0
    said = capsys.readouterr()
    assert "stacked: 4 cells, " in said.err
    assert "mean over topics" in said.out
    assert [record["stacked"] for record in records(tmp_path / "runs")] == [4] * 4
    assert quick_train(*words, multirun=True) == 0
    again = capsys.readouterr()
    assert "stacked" not in again.err
    assert again.out.count("done before") == 4


@pytest.mark.parametrize(
    "word", ["hydra.launcher.members=0", "hydra.launcher.members=many", "hydra.launcher.cpu=perhaps"]
)
def test_what_the_launcher_does_not_take_is_one_line(
    word: str, quick_train: Callable[..., int], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"^{word}: expected "):
        quick_train("seed=0,1", "hydra/launcher=stacked", word, multirun=True)
    assert not list(records(tmp_path / "runs"))
