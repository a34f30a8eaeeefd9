"""A run that is stopped anywhere and started again ends as the unbroken one: the same bags, weights and measures."""

from __future__ import annotations

import csv
import io
import os
import random
import shutil
import signal
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from highlight_lit.cli import main
from highlight_lit.data.batch import Bags
from highlight_lit.errors import InputError, Interrupted
from highlight_lit.runs.ledger import records
from highlight_lit.training.module import HighlightModule
from highlight_lit.untrusted.checkpoint_file import read_checkpoint
from tests.real_processes import exit_status, forked, takes_signals, until

Train = Callable[..., int]
EPOCHS = 3
STORES = [("resident", 1), ("stream", 1), ("stream", 3)]


def outcome(out: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The record's part that does not depend on time, and the weights."""
    [record] = records(out)
    assert record["status"] == "done"
    kept = {key: record.get(key) for key in ("id", "epochs", "steps", "losses", "evaluation", "kept")}
    return kept, read_checkpoint(out / record["id"] / "last.ckpt")["state_dict"]


def assert_same(one: Path, other: Path) -> None:
    (record, weights), (expected, theirs) = outcome(one), outcome(other)
    assert record == expected
    assert weights.keys() == theirs.keys()
    assert all(torch.equal(weights[name], theirs[name]) for name in weights)


class Watched:
    """Notes every bag a module is trained on, and sends this process a signal in the steps it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[Bags] = []
        self.stop_at: set[int] = set()
        forward = HighlightModule.forward

        def watched(module: HighlightModule, bags: Bags) -> Any:
            if module.training:
                self.seen.append(bags)
                if module.global_step in self.stop_at:
                    self.stop_at.discard(module.global_step)
                    os.kill(os.getpid(), signal.SIGTERM)
            return forward(module, bags)

        monkeypatch.setattr(HighlightModule, "forward", watched)

    def bags(self) -> Iterator[list[list[float]]]:
        for bags in self.seen:
            yield [part.double().flatten().tolist() for part in bags if part is not None]


@pytest.mark.parametrize(("store", "readers"), STORES)
def test_stopped_after_every_step_and_resumed_it_ends_as_if_it_had_not_been(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, readers: int
) -> None:
    words = [f"trainer.max_epochs={EPOCHS}", "optimizer=paper", "optimizer.schedule.step_size=1",
             f"data.store={store}", f"data.readers={readers}"]  # fmt: skip
    unbroken = Watched(monkeypatch)
    quick_train(*words, "data.store=resident", f"out={tmp_path / 'unbroken'}")
    monkeypatch.undo()
    broken = Watched(monkeypatch)
    steps = len(unbroken.seen)
    broken.stop_at = set(range(steps))
    for _ in range(steps):
        with pytest.raises(Interrupted):
            quick_train(*words)
        assert not list(records(tmp_path / "runs"))
    assert quick_train(*words) == 0
    assert_same(tmp_path / "runs", tmp_path / "unbroken")
    assert list(broken.bags()) == list(unbroken.bags())


def test_stochastic_averaging_goes_on_until_it_has_begun_and_is_then_refused_in_a_line(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["callbacks=[last,swa]", "callbacks.swa.swa_epoch_start=3", "trainer.max_epochs=4"]
    quick_train(*words, f"out={tmp_path / 'unbroken'}")
    broken = Watched(monkeypatch)
    broken.stop_at = {1, 2}
    for _ in range(2):
        with pytest.raises(Interrupted):
            quick_train(*words)
    assert quick_train(*words) == 0
    assert_same(tmp_path / "runs", tmp_path / "unbroken")
    broken.stop_at = {6}
    with pytest.raises(Interrupted):
        quick_train(*words, "seed=1")
    with pytest.raises(InputError, match=r"last.ckpt: StochasticWeightAveraging had begun, .* remove it to train"):
        quick_train(*words, "seed=1")


FURTHER = {
    "callbacks": ["data.validation=0.3", "logger=[wandb,csv]", "data.pairs=2",
                  "callbacks=[last,progress,early_stopping,best_checkpoint,lr_monitor]"],
    "average": ["callbacks=[last,weight_averaging]", "callbacks.weight_averaging.decay=0.9", "logger=csv"],
    "steps": ["trainer.max_steps=6", "logger=csv"],
    "accumulate": ["trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.1", "data.pairs=2"],
}  # fmt: skip


@pytest.mark.parametrize("name", FURTHER)
def test_callbacks_and_loggers_go_on_where_they_were(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    words = [*FURTHER[name], f"trainer.max_epochs={EPOCHS}"]
    unbroken = Watched(monkeypatch)
    quick_train(*words, f"out={tmp_path / 'unbroken'}")
    monkeypatch.undo()
    broken = Watched(monkeypatch)
    broken.stop_at = {1, 2, 4}
    for _ in range(3):
        with pytest.raises(Interrupted):
            quick_train(*words)
    assert quick_train(*words) == 0
    assert list(broken.bags()) == list(unbroken.bags())
    assert_same(tmp_path / "runs", tmp_path / "unbroken")
    if name != "accumulate":
        logged = [next((tmp_path / out).glob("*/csv/metrics.csv")).read_text() for out in ("runs", "unbroken")]
        epochs = [
            [row["train/loss"] for row in csv.DictReader(io.StringIO(text)) if row["train/loss"]] for text in logged
        ]
        assert len(epochs[0]) == EPOCHS
        assert epochs[0] == epochs[1]


@pytest.fixture
def command(small_corpus: Path, tmp_path: Path) -> Callable[..., int]:
    """`highlight-lit train` with a run of a few hundred steps, in a process of its own; its process id."""

    def start(*words: str) -> int:
        given = [f"data.root={small_corpus}", f"out={tmp_path / 'runs'}", "topic=topic01", "data.pairs=4", "tau=8",
                 "model.d=8", "trainer.max_epochs=40", "logger=none", "evaluate.draws=10", *words]  # fmt: skip
        return forked(lambda: main(["train", *given]))

    return start


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(
    command: Callable[..., int], tmp_path: Path, number: signal.Signals
) -> None:
    began = time.monotonic()
    assert exit_status(command(f"out={tmp_path / 'unbroken'}", "data.store=resident")) == 0
    lasts = time.monotonic() - began
    generator, statuses = random.Random(number), []
    words = ["checkpoint.steps=3", "data.store=stream"]
    kills = int(os.environ.get("HIGHLIGHT_LIT_KILLS", "3"))
    while len(statuses) < kills or 128 + number not in statuses:
        if 0 in statuses[-1:]:  # it was done before the signal came
            shutil.rmtree(tmp_path / "runs")
            lasts *= 1.0 if 128 + number in statuses else 0.5
        process = command(*words)
        until(lambda process=process: takes_signals(process), every=0.002)
        time.sleep(generator.uniform(0, 0.8 * lasts))
        os.kill(process, number)
        statuses.append(exit_status(process))
    assert set(statuses) <= {0, 128 + number}
    assert exit_status(command(*words)) == 0
    assert_same(tmp_path / "runs", tmp_path / "unbroken")


def test_killed_while_it_writes_a_checkpoint_the_one_before_is_whole(
    command: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exit_status(command(f"out={tmp_path / 'unbroken'}")) == 0
    write, generator = Path.write_bytes, random.Random(0)
    for kill_at in range(1, 7):
        written = []

        def cut(path: Path, content: Any, kill_at: int = kill_at, written: list[Path] = written) -> int:
            written.append(path)
            if len(written) == kill_at:  # part of the file is there, and the process is gone
                write(path, bytes(content)[: generator.randrange(len(content))])
                os.kill(os.getpid(), signal.SIGKILL)
            return write(path, content)

        monkeypatch.setattr(Path, "write_bytes", cut)
        assert exit_status(command("checkpoint.steps=2")) == 137
        monkeypatch.undo()
        for checkpoint in (tmp_path / "runs").glob("*/last.ckpt"):
            assert read_checkpoint(checkpoint)["global_step"] > 0
    assert exit_status(command("checkpoint.steps=2")) == 0
    assert_same(tmp_path / "runs", tmp_path / "unbroken")
    assert not list((tmp_path / "runs").glob("*/.*.tmp"))


def test_a_signal_gives_its_exit_status_and_one_line(
    command: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process = command("trainer.max_epochs=100000")
    while not list((tmp_path / "runs").glob("*")):
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(process, signal.SIGTERM)
    assert exit_status(process) == 143
    said = capfd.readouterr().err.strip()
    assert said == "highlight-lit: stopped by SIGTERM; the same command goes on from the last checkpoint"


def test_a_sweep_that_is_stopped_leaves_no_notes_and_removes_those_of_one_that_was_killed(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = forked(lambda: 0)
    exit_status(dead)
    of_dead, of_living = (
        tmp_path / "runs" / f".sweep-{socket.gethostname()}-{owner}-x" for owner in (dead, os.getpid())
    )
    of_dead.mkdir(parents=True)
    of_living.mkdir()
    watched = Watched(monkeypatch)
    watched.stop_at = {1}
    with pytest.raises(Interrupted):
        quick_train("seed=0,1", multirun=True)
    assert list((tmp_path / "runs").glob(".sweep-*")) == [of_living]


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "foreign"])
def test_a_damaged_checkpoint_is_refused_in_one_line_that_says_what_to_do(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    watched = Watched(monkeypatch)
    watched.stop_at = {2}
    with pytest.raises(Interrupted):
        quick_train()
    [path] = (tmp_path / "runs").glob("*/last.ckpt")
    whole = path.read_bytes()
    if damage == "foreign":
        torch.save({"state_dict": {}}, path)
    else:
        with zipfile.ZipFile(path) as parts:  # between its parts there are bytes that mean nothing
            middle = max(parts.infolist(), key=lambda part: part.file_size).header_offset + 400
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"cut": whole[:middle], "flip": flipped, "text": b"hello"}[damage])
    with pytest.raises(InputError, match=r"last\.ckpt: .*; remove it to train from the start") as refused:
        quick_train()
    assert "\n" not in str(refused.value)
    path.unlink()
    assert quick_train() == 0


def test_a_disk_that_fills_while_a_checkpoint_is_written_leaves_the_one_before(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_train(f"out={tmp_path / 'unbroken'}")
    written = []

    def full(path: Path, content: Any) -> int:
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        with open(path, "wb") as file:
            return file.write(content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"last\.ckpt: cannot be written \(No space left on device\)"):
        quick_train("checkpoint.steps=1")
    [path] = (tmp_path / "runs").glob("*/last.ckpt")
    assert read_checkpoint(path)["global_step"] == 2
    assert quick_train("checkpoint.steps=1") == 0
    assert_same(tmp_path / "runs", tmp_path / "unbroken")


def test_wandb_has_one_run_with_every_epoch_once_though_the_process_was_stopped(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[list[tuple[int, float]]] = []

    def note(logger: Any, metrics: dict[str, float], step: int | None = None) -> None:
        if logger is not None and "train/loss" in metrics:
            logged[-1].append((step or 0, metrics["train/loss"]))

    monkeypatch.setattr("pytorch_lightning.loggers.WandbLogger.log_metrics", note)
    words = ("logger=wandb", f"trainer.max_epochs={EPOCHS}")
    logged.append([])
    quick_train(*words, f"out={tmp_path / 'unbroken'}")
    watched = Watched(monkeypatch)
    watched.stop_at = {1, 4}
    for _ in range(2):
        logged.append([])
        with pytest.raises(Interrupted):
            quick_train(*words)
    logged.append([])
    quick_train(*words)
    assert logged[-1] == logged[0]
    assert len(logged[0]) == EPOCHS
    assert len(list((tmp_path / "runs").glob("wandb/offline-run-*"))) == 1
