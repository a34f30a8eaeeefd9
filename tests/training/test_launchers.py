"""A sweep's cells run under Hydra's launchers for engines that people already have."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from highlight_lit.runs.ledger import records
from tests.real_processes import Command, until


@pytest.fixture
def sweep(small_corpus: Path, tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Begin a sweep of two seeds on a Ray cluster of this machine."""
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="NO RAY: the extra ray is not installed")
    words = [f"data.root={small_corpus}", f"out={tmp_path / 'runs'}", "topic=topic01", "data.pairs=4", "tau=8", "model.d=8",
             "evaluate.draws=10", "seed=0,1", "hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2",
             "+hydra.launcher.ray.init.include_dashboard=false"]  # fmt: skip
    started: list[Command] = []

    def begin(*further: str) -> Command:
        started.append(Command("train", "-m", *words, *further))
        return started[-1]

    yield begin
    for command in started:
        command.kill()


def test_two_cells_run_on_a_ray_cluster(sweep: Callable[..., Command], tmp_path: Path) -> None:
    command = sweep("trainer.max_epochs=2", "logger=none")
    status, said = command.ends()
    assert status == 0, said
    assert any("topic01" in line and "100.0" in line for line in said)  # the table
    assert {record["seed"]: record["status"] for record in records(tmp_path / "runs")} == {0: "done", 1: "done"}
    assert not command.left(within=10)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_sweep_on_ray_saves_its_cells_and_is_a_line(
    sweep: Callable[..., Command], tmp_path: Path, number: signal.Signals
) -> None:
    """Ray's own handler would print a stack and end with 1."""
    command = sweep("trainer.max_epochs=100000", "logger=csv")
    until(lambda: len(list(tmp_path.glob("runs/*/csv/metrics.csv"))) == 2)
    os.kill(command.process.pid, number)
    status, said = command.ends()
    assert (status, said[-1]) == (
        128 + number,
        f"highlight-lit: stopped by {number.name}; the same command goes on from the last checkpoint",
    )
    assert not any("SIGTERM received" in line for line in said)
    assert len(list(tmp_path.glob("runs/*/last.ckpt"))) == 2
    assert not command.left(within=10)
