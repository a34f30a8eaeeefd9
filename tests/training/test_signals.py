"""A signal to the command alone ends all it started, under every launcher: cells save, a line is said, nothing is left."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from highlight_lit.processes.ending_jobs import conducted
from highlight_lit.processes.signals import Signals
from highlight_lit.runs.ledger import records
from highlight_lit.untrusted.checkpoint_file import read_checkpoint
from tests.real_processes import Command, running, takes_signals, until

LAUNCHERS = ["basic", "joblib", "submitit_local"]
KILLS = int(os.environ.get("HIGHLIGHT_LIT_KILLS", "0"))


@pytest.fixture
def words(small_corpus: Path, tmp_path: Path) -> list[str]:
    return ["train", "-m", f"data.root={small_corpus}", f"out={tmp_path / 'runs'}", "topic=topic01", "data.pairs=4", "tau=8",
            "model.d=8", "logger=csv", "evaluate.draws=10", "seed=0,1"]  # fmt: skip


@pytest.fixture
def commands() -> Iterator[list[Command]]:
    """Commands that are ended with the test."""
    started: list[Command] = []
    yield started
    for command in started:
        command.kill()


def training(out: Path) -> int:
    """How many runs train: what is logged of a step is there at once, a checkpoint within minutes."""
    return len(list(out.glob("*/csv/metrics.csv")))


def until_they_train(command: Command, out: Path, cells: int) -> None:
    """Wait until so many runs train; not for a command that has ended."""
    until(lambda: training(out) == cells or command.process.poll() is not None)
    assert command.process.poll() is None, command.ends()


def saved(out: Path) -> int:
    """How many runs have a checkpoint, which before some minutes are over is written on a signal alone."""
    return sum(read_checkpoint(path)["global_step"] > 0 for path in out.glob("*/last.ckpt"))


def leftovers(out: Path) -> list[Path]:
    """Locks, notes and temporary files; not the logs of submitit's jobs."""
    return [path for path in out.rglob(".*") if path.name != ".submitit"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_signal_to_a_sweeps_process_alone_ends_all_of_it(
    words: list[str], tmp_path: Path, commands: list[Command], launcher: str, number: signal.Signals
) -> None:
    """SIGTERM to processes that are begun as a user's; what SIGINT does beyond is the same from the first import on."""
    out, cells = tmp_path / "runs", 1 if launcher == "basic" else 2
    given = (*words, "trainer.max_epochs=100000", f"hydra/launcher={launcher}")
    commands.append(command := Command(*given, quick=number == signal.SIGINT))
    until_they_train(command, out, cells)
    assert not saved(out)
    os.kill(command.process.pid, number)
    status, said = command.ends()
    assert (status, said) == (
        128 + number,
        [f"highlight-lit: stopped by {number.name}; the same command goes on from the last checkpoint"],
    )
    assert not command.left()
    assert not leftovers(out)
    assert not list(records(out))
    assert saved(out) == cells


def test_a_sweep_that_is_stopped_waits_until_the_processes_that_joblib_keeps_have_ended(tmp_path: Path) -> None:
    """Python's own end has few seconds, and they take longer on a busy machine."""
    joblib = pytest.importorskip("joblib")
    with Signals() as signals, conducted(tmp_path, signals):
        workers = set(joblib.Parallel(2)(joblib.delayed(os.getpid)() for _ in range(4)))
        signals.received = signal.SIGTERM
    assert not any(running(worker) for worker in workers)


def test_ctrl_c_to_all_processes_while_workers_start_is_one_line(
    words: list[str], tmp_path: Path, commands: list[Command]
) -> None:
    commands.append(command := Command(*words, "trainer.max_epochs=100000", "hydra/launcher=joblib"))
    until(lambda: len(command.members()) >= 3)  # it, and those that its workers need
    time.sleep(0.3)
    os.killpg(command.process.pid, signal.SIGINT)
    status, said = command.ends()
    assert (status, len(said)) == (130, 1)
    assert not command.left()
    assert not leftovers(tmp_path / "runs")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("library", ["argparse", "numpy", "yaml", "torch"])
def test_a_signal_while_the_command_itself_starts_is_one_line(
    words: list[str], commands: list[Command], library: str, number: signal.Signals, tmp_path: Path
) -> None:
    hold = tmp_path / "sitecustomize.py"  # the signal comes as that library is imported
    hold.write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {library!r}:\n"
        "            sys.meta_path.remove(self)\n"
        f"            os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    commands.append(command := Command(*words, environment={"PYTHONPATH": str(tmp_path)}))
    begun = library == "torch"  # imported once the run has its name, and was not found done
    again = "the same command goes on from the last checkpoint" if begun else "the same command starts again"
    assert command.ends() == (128 + number, [f"highlight-lit: stopped by {number.name}; {again}"])
    assert not command.left()


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_jobs_of_a_sweep_that_was_killed_save_and_end(
    words: list[str], tmp_path: Path, commands: list[Command], launcher: str
) -> None:
    out = tmp_path / "runs"
    commands.append(command := Command(*words, "trainer.max_epochs=100000", f"hydra/launcher={launcher}", quick=True))
    until_they_train(command, out, 2)
    os.kill(command.process.pid, signal.SIGKILL)
    command.process.wait()
    assert not command.left(within=10)
    assert saved(out) == 2


def test_a_worker_that_is_killed_is_told_of_in_a_line(
    words: list[str], tmp_path: Path, commands: list[Command]
) -> None:
    out = tmp_path / "runs"
    commands.append(command := Command(*words, "trainer.max_epochs=100000", "hydra/launcher=joblib", quick=True))
    until_they_train(command, out, 2)
    holder = next((out / ".locks").iterdir()).read_text().split()[1]
    os.kill(int(holder), signal.SIGKILL)
    status, said = command.ends()
    assert status == 1
    assert said == ["highlight-lit: a process of the sweep was killed (by hand, or out of memory); "
                    "the same command goes on with what is missing"]  # fmt: skip
    assert not command.left()


@pytest.mark.skipif(not KILLS, reason="takes long; HIGHLIGHT_LIT_KILLS=20 kills a sweep of each launcher 20 times")
@pytest.mark.parametrize("launcher", [*LAUNCHERS, "ray"])
def test_stopped_at_random_moments_a_sweep_leaves_nothing_and_goes_on(
    words: list[str], tmp_path: Path, commands: list[Command], launcher: str
) -> None:
    generator, out = random.Random(launcher), tmp_path / "runs"
    given = [*words[:-1], "trainer.max_epochs=100", f"hydra/launcher={launcher}"]
    began = time.monotonic()
    assert Command(*given, "seed=0,1", f"out={tmp_path / 'whole'}").ends()[0] == 0
    lasts = time.monotonic() - began
    for kill in range(KILLS):
        sweep = [*given, f"seed={2 * kill},{2 * kill + 1}"]
        commands.append(command := Command(*sweep))
        until(lambda command=command: takes_signals(command.process.pid), every=0.01)
        time.sleep(moment := generator.uniform(0, lasts))
        number = generator.choice([signal.SIGTERM, signal.SIGINT])
        command.process.send_signal(number)
        status, said = command.ends()
        print(f"{launcher}: {number.name} after {moment:.1f} of {lasts:.1f} s: {status}")
        assert status in (0, 128 + number)
        assert "Traceback" not in "\n".join(said)
        assert not command.left()
        assert not leftovers(out)
        commands.append(command := Command(*sweep))
        assert command.ends(600)[0] == 0
        assert not command.left()
    assert [record["status"] for record in records(out)] == ["done"] * 2 * KILLS
