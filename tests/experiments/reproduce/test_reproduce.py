"""One command makes the report; killed, stopped or failing, it goes on and ends with the same bytes."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from experiments.reproduce import __main__ as reproduce
from tests.real_processes import python, quick_workers, until

ROOT = Path(__file__).parents[3]
Command = Callable[..., list[str]]
Ended = subprocess.CompletedProcess[str]


def run(words: list[str]) -> Ended:
    """Run to the end as a user does, from the checkout."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(python(*words), capture_output=True, text=True, cwd=ROOT, timeout=300, env=environment)


def run_here(words: list[str]) -> Ended:
    """Run to the end in this process, which imports once for all tests; the cells have their own, as ever."""
    with quick_workers(), redirect_stdout(io.StringIO()) as said, redirect_stderr(io.StringIO()) as complained:
        status = reproduce.main(words[2:])  # behind -m experiments.reproduce
    return subprocess.CompletedProcess(words, status, said.getvalue(), complained.getvalue())


def alive(group: int) -> list[int]:
    """Processes of a group that run; one that has ended and that nobody has waited for yet does not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state != "Z":
            found.append(int(path.parent.name))
    return found


def report(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "tiny" / "report").rglob("*")) if path.is_file()}


@pytest.fixture(scope="session")
def unbroken(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A reproduction of tables 1 and 2 that nothing disturbed."""
    out = tmp_path_factory.mktemp("unbroken")
    return out, run_here(both_tables(tiny, out))


@pytest.fixture(scope="session")
def timed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A reproduction of table 2 that nothing disturbed, in a process of its own, and how long it took."""
    out, began = tmp_path_factory.mktemp("whole"), time.monotonic()
    assert run(words_for(tiny, out, "table2")).returncode == 0
    return out, time.monotonic() - began


@pytest.fixture(scope="session")
def whole(timed: tuple[Path, float]) -> Path:
    """A reproduction of table 2 that nothing disturbed."""
    return timed[0]


def words_for(tiny: Path, out: Path, *studies: str) -> list[str]:
    named = [word for study in studies for word in ("--study", study)]
    return ["-m", "experiments.reproduce", "--profile", str(tiny / "tiny.yaml"), "--corpus",
            str(tiny / "corpus"), *named, "--out", str(out), "--workers", "2"]  # fmt: skip


def both_tables(tiny: Path, out: Path) -> list[str]:
    return words_for(tiny, out, "table1", "table2")


def test_it_ends_with_every_file_of_the_report(unbroken: tuple[Path, Ended]) -> None:
    out, ended = unbroken
    assert ended.returncode == 0, ended.stderr
    assert {"report.md", "report.html", "numbers.csv", "claims.tex", "table1-youtube-highlights.tex",
            "table2-youtube-highlights.tex"} == set(report(out))  # fmt: skip
    text = (out / "tiny/report/report.md").read_text()
    for said in ("SYNTHETIC", "`youtube/trapezoid`", "seeds 0 to 1", "chance", "annotators", "commit", "± "):
        assert said in text
    page = (out / "tiny/report/report.html").read_text()
    assert "http" not in page
    assert "20 cells, 20 to run" in ended.stderr  # 16 and 8, of which one system is shared


def test_run_again_it_trains_nothing_and_says_the_same(unbroken: tuple[Path, Ended], tiny: Path) -> None:
    out, _ = unbroken
    before = report(out)
    for place in (".", "tables"):  # as a process leaves one that is killed as it writes
        (out / "tiny/report" / place / ".table.tex.0123456789abcdef.tmp").touch()
    again = run_here(both_tables(tiny, out))
    assert again.returncode == 0
    assert " 0 to run" in again.stderr
    assert report(out) == before


def test_lists_and_folds_and_a_method_stand_in_one_report(tiny: Path, tmp_path: Path) -> None:
    profile = (tiny / "tiny.yaml").read_text().replace("topics: 2", "topics: 1").replace("seeds: 2", "seeds: 1")
    (tmp_path / "folds.yaml").write_text(
        profile.replace("only: {", "only: {guided: {experiment: none, modality: visual}, ")
    )
    words = ["--profile", str(tmp_path / "folds.yaml"), "--corpus", str(tiny / "corpus"), "--study", "guided",
             "--folds", "2", "--out", str(tmp_path / "out"), "--workers", "2"]  # fmt: skip
    ended = run_here(["-m", "experiments.reproduce", *words])
    assert ended.returncode == 0, ended.stderr
    assert "6 cells, 6 to run" in ended.stderr
    text = (tmp_path / "out/folds/report/report.md").read_text()
    for said in (
        "; 8 videos; ",
        "; 20 videos; ",
        "with clip labels, visual alone",
        "cross-fitted in 2 folds",
    ):
        assert said in text
    assert "0 to run" in run_here(["-m", "experiments.reproduce", *words]).stderr


@pytest.mark.parametrize("seed", [0])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    command: Command, tmp_path: Path, timed: tuple[Path, float], seed: int
) -> None:
    whole, lasts = timed
    moments = random.Random(seed)
    for _ in range(5):
        process = subprocess.Popen(python(*command()), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.3, 0.9) * lasts)
        process.kill()
        process.wait()
    assert run_here(command()).returncode == 0
    assert report(tmp_path / "out") == report(whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_its_own_status_and_no_process_stays(
    command: Command, tmp_path: Path, number: int
) -> None:
    words = [sys.executable, *command("trainer.max_epochs=2000")]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)  # fmt: skip
    while not list(tmp_path.glob("out/tiny/runs/.locks/*")):
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "what is done is kept, the same command goes on" in said
    until(lambda: not alive(process.pid), seconds=30)


def test_a_signal_while_its_processes_start_is_one_line(command: Command) -> None:
    # With a thread of OpenBLAS, which takes the signal in place of the main thread.
    process = subprocess.Popen([sys.executable, *command("trainer.max_epochs=2000")], cwd=ROOT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, start_new_session=True,
                               env={**os.environ, "OPENBLAS_NUM_THREADS": "2"})  # fmt: skip
    assert process.stderr is not None
    assert "to run" in process.stderr.readline()
    time.sleep(0.5)  # of the seconds that importing PyTorch takes them
    process.terminate()
    assert process.communicate(timeout=60)[1] == (
        "reproduce: stopped by SIGTERM; what is done is kept, the same command goes on\n"
    )
    assert process.returncode == 143
    until(lambda: not alive(process.pid), 10)


def test_a_failing_cell_leaves_the_rest_and_the_table_shows_the_hole(
    command: Command, tmp_path: Path, whole: Path
) -> None:
    # A rate at which the loss is infinite after a step: every cell of this study fails, those of a lower rate do not.
    shutil.copytree(whole, tmp_path / "out")
    failing = command("optimizer.algorithm.lr=1e30", "trainer.max_epochs=20")
    ended = run(failing)
    assert ended.returncode == 1
    assert "failed: table2: tau = 4, topic01, seed 0: topic=topic01: the loss is NaN or infinite" in ended.stderr
    assert "8 cells failed, 8 are missing" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "8 cells are missing" in (tmp_path / "out/tiny/report/report.md").read_text()
    assert run_here([*failing, "--allow-missing"]).returncode == 1  # a failure is one, whatever is allowed
    again = run_here(command())
    assert (again.returncode, "8 cells, 0 to run" in again.stderr) == (0, True)
    assert report(tmp_path / "out") == report(whole)


@pytest.mark.parametrize(
    ("damage", "says"),
    [("{", "not readable as a record of a run"), ('{"format": "highlight-lit record", "version": 99}', "version 1")],
)
def test_a_damaged_record_is_named_and_nothing_is_lost(
    command: Command, tmp_path: Path, whole: Path, damage: str, says: str
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    before = report(tmp_path / "out")
    path = sorted(tmp_path.glob("out/tiny/runs/*/record.json"))[0]
    path.write_text(damage)
    ended = run_here(command())
    assert ended.returncode == 2
    assert str(path) in ended.stderr
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert report(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--study", "table9"], "--study table9: no such study; expected one of table1"),
        (["rank=none"], "study table2: "),
        (["--folds", "99"], "--folds 99: data.fold=1/99: topic=topic01: 20 videos"),
        (["topic=nosuch"], "topic=nosuch: topic is the profile's and the corpora's to say"),
        (["--corpus", "nowhere"], "nowhere/manifest.json: no such file"),
    ],
)
def test_bad_input_is_one_line_and_status_2_and_writes_nothing(
    command: Command, tmp_path: Path, words: list[str], says: str
) -> None:
    ended = run_here(command(*words))
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "out" / "tiny").exists()
