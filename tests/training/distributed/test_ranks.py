"""A run on two CPU processes: the measures of one, bags neither lost nor doubled, stopped and resumed, never hanging."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from highlight_lit.data.batch import Bags
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.errors import InputError, Interrupted
from highlight_lit.evaluation.scores_csv import read_scores
from highlight_lit.runs.ledger import records
from highlight_lit.training.module import HighlightModule
from highlight_lit.untrusted.checkpoint_file import read_checkpoint

pytestmark = pytest.mark.usefixtures("preloaded_workers")
Train = Callable[..., int]
# Dropout draws other masks on another number of ranks.
WORDS = [
    "trainer.accelerator=cpu",
    "data.pairs=5",
    "trainer.max_epochs=2",
    "model.dropout=0",
]  # batches of 5 pairs and of 1 or 2


def in_step(monkeypatch: pytest.MonkeyPatch, step: int, call: Callable[[], None]) -> None:
    """Make a call when this process has come to a step of training."""
    start = HighlightModule.on_train_batch_start

    def watched(module: HighlightModule, *words: Any) -> None:
        if module.global_step == step:
            call()
        start(module, *words)

    monkeypatch.setattr(HighlightModule, "on_train_batch_start", watched)


def other_ranks() -> list[Any]:
    """The ranks' processes; not those that a launcher of another test keeps for the next."""
    return [process for process in multiprocessing.active_children() if process.name.startswith("SpawnProcess")]


def assert_as_on_one(one: Path, two: Path) -> None:
    """The same run, its losses, measures, weights and scores within 1e-6."""
    (record,), (expected,) = (list(records(out)) for out in (two, one))
    assert (record["id"], record["steps"], record["epochs"]) == (expected["id"], expected["steps"], expected["epochs"])
    assert record["losses"] == pytest.approx(expected["losses"], abs=1e-6)
    measures = [
        {name: found["mean"] for name, found in r["evaluation"]["measures"].items()} for r in (record, expected)
    ]
    assert measures[0] == pytest.approx(measures[1], abs=1e-6)
    weights, theirs = (read_checkpoint(out / record["id"] / "last.ckpt")["state_dict"] for out in (two, one))
    torch.testing.assert_close(weights, theirs, atol=1e-6, rtol=0)
    scores, others = (read_scores(out / record["id"] / "scores.csv") for out in (two, one))
    assert scores.keys() == others.keys()
    for video, found in scores.items():
        assert found.logit == pytest.approx(others[video].logit, abs=1e-6)


def test_stopped_and_resumed_on_two_ranks_it_ends_as_on_one(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    quick_train(*WORDS, f"out={tmp_path / 'one'}")
    in_step(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted) as stopped:
        quick_train(*WORDS, "trainer.devices=2", "data.store=stream")
    assert stopped.value.status == 143
    assert not other_ranks()
    assert not list(records(tmp_path / "runs"))
    monkeypatch.undo()
    assert quick_train(*WORDS, "trainer.devices=2") == 0
    assert not other_ranks()
    assert_as_on_one(tmp_path / "one", tmp_path / "runs")
    assert capfd.readouterr().err == ""


def test_a_rank_that_dies_ends_the_run_in_a_line_that_says_so(
    quick_train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill() -> None:
        [other] = other_ranks()
        os.kill(other.pid or 0, signal.SIGKILL)

    in_step(monkeypatch, 1, kill)
    began = time.monotonic()
    with pytest.raises(InputError, match="rank 1 of 2 was ended by signal 9; the same command goes on"):
        quick_train(*WORDS, "trainer.devices=2")
    assert time.monotonic() - began < 60
    assert not other_ranks()


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("store", ["resident", "stream"])
def test_the_ranks_bags_are_one_ranks_none_lost_and_none_doubled(corpus: Corpus, store: str, ranks: int) -> None:
    data = HighlightData(corpus, "topic01", ("visual", "audio"), tau=20, pairs=5, store=store)
    whole = data.train_dataloader()
    parts = []
    for rank in range(ranks):
        part = data.train_dataloader()
        part.rank, part.ranks = rank, ranks
        parts.append(list(part))
    for batch, (bags, *own) in enumerate(zip(whole, *parts, strict=True)):
        pairs = data.plan.pairs_of(batch)
        assert len(bags.label) == 2 * pairs
        for field in [name for name in Bags._fields if getattr(bags, name) is not None]:
            halves = zip(*(getattr(part, field).chunk(2) for part in own), strict=True)
            put_together = torch.cat([torch.cat(half)[:pairs] for half in halves])
            assert torch.equal(put_together, getattr(bags, field))


def test_more_gpus_than_the_machine_has_are_refused(quick_train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(InputError, match="trainer.devices=99: this machine has . GPUs"):
        quick_train("trainer.accelerator=gpu", "trainer.devices=99")
