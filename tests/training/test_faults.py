"""Whatever breaks under a whole run ends it in one line that names the file, in time, and the run can be resumed."""

from __future__ import annotations

import os
import resource
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from highlight_lit.cli import main
from highlight_lit.errors import InputError
from highlight_lit.processes import locks
from highlight_lit.runs import sweep
from highlight_lit.runs.ledger import claimed, records
from highlight_lit.training.checkpoint.atomic_io import AtomicCheckpointIO
from highlight_lit.untrusted.checkpoint_file import read_checkpoint
from tests.real_processes import exit_status, forked

PATIENCE = 300.0  # seconds after which a process counts as hung


class Run:
    """`highlight-lit train` on a corpus, streamed, in a process of its own."""

    def __init__(self, corpus: Path, out: Path, *words: str, before: Callable[[], object] = lambda: None) -> None:
        given = [f"data.root={corpus}", f"out={out}", "topic=topic01", "data.pairs=4", "tau=8", "model.d=8",
                 "trainer.max_epochs=30", "logger=none", "evaluate.draws=10", "data.store=stream",
                 "checkpoint.steps=2", *words]  # fmt: skip
        self._read, write = os.pipe()

        def work() -> int:
            with os.fdopen(write, "w") as sys.stderr:
                before()
                return main(["train", *given])

        self.process = forked(work)
        os.close(write)

    def ends(self) -> tuple[int, str]:
        """Exit status, and what it said on standard error."""
        if not select.select([self._read], [], [], PATIENCE)[0]:
            os.kill(self.process, signal.SIGKILL)
            pytest.fail("the run hangs")
        with os.fdopen(self._read) as pipe:
            said = pipe.read().strip()
        return exit_status(self.process), said


def stopped_at_its_first_checkpoint() -> None:
    """Have this process stop there until it is told to go on, however slow the one is that does."""
    save = AtomicCheckpointIO.save_checkpoint

    def stop(*words: Any, **more: Any) -> None:
        AtomicCheckpointIO.save_checkpoint = save  # type: ignore[method-assign]
        save(*words, **more)
        os.kill(os.getpid(), signal.SIGSTOP)

    AtomicCheckpointIO.save_checkpoint = stop  # type: ignore[method-assign,assignment]


def checkpoints(out: Path) -> list[Path]:
    return list(out.glob("*/last.ckpt"))


def assert_same(one: Path, other: Path) -> None:
    weights = [read_checkpoint(checkpoints(out)[0])["state_dict"] for out in (one, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert [record["status"] for record in records(one)] == ["done"]


def replaced_by_its_copy(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".other"))
    os.replace(path.with_suffix(".other"), path)


def a_bit_flipped(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.fixture(scope="module")
def unbroken(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("faults") / "unbroken"
    assert Run(small_corpus, out).ends() == (0, "")
    return out


@pytest.mark.parametrize("fault", [Path.unlink, cut, replaced_by_its_copy, a_bit_flipped])
def test_a_shard_that_goes_or_changes_while_a_run_goes_on(
    small_corpus: Path, tmp_path: Path, unbroken: Path, fault: Callable[[Path], object]
) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "runs"
    shutil.copytree(small_corpus, corpus)
    run = Run(corpus, out, before=stopped_at_its_first_checkpoint)
    assert os.WIFSTOPPED(os.waitpid(run.process, os.WUNTRACED)[1])
    shard = corpus / "shard-00000.h5"
    fault(shard)
    os.kill(run.process, signal.SIGCONT)
    status, said = run.ends()
    assert status == 2
    assert said.startswith(f"highlight-lit: {shard}: ")
    assert "\n" not in said
    shutil.copy(small_corpus / shard.name, shard)
    assert Run(corpus, out).ends() == (0, "")
    assert_same(out, unbroken)


@pytest.mark.parametrize("size", [0, 5000, 20000])
def test_a_disk_that_is_full_when_a_checkpoint_is_written(
    small_corpus: Path, tmp_path: Path, unbroken: Path, size: int
) -> None:
    out = tmp_path / "runs"
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # noqa: E731
    status, said = Run(small_corpus, out, before=limit).ends()
    assert status == 2
    # Where not a byte can be written, the note of who holds the run is the first to fail.
    where = f"out={out}" if size == 0 else "/last.ckpt"
    assert said.endswith(f"{where}: cannot be written (File too large)")
    assert "\n" not in said
    assert not [path for path in out.glob("*/.*") if path.is_file()]
    assert Run(small_corpus, out).ends() == (0, "")
    assert_same(out, unbroken)


def test_a_folder_of_results_that_cannot_be_written(small_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    status, said = Run(small_corpus, tmp_path / "file" / "runs").ends()
    assert status == 2
    assert said == f"highlight-lit: out={tmp_path}/file/runs: cannot be written (Not a directory)"


def test_a_cell_that_a_full_disk_keeps_from_the_table_of_its_sweep_is_named(
    quick_train: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = sweep.write_json

    def full(path: Path, note: object) -> None:
        if path.name == "000001.json":
            raise InputError(f"{path}: cannot be written (No space left on device)")
        whole(path, note)

    monkeypatch.setattr(sweep, "write_json", full)
    with pytest.raises(InputError, match=r"000001\.json: cannot be written .*; make room: the same command"):
        quick_train("seed=0,1", multirun=True)
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("not in the sweep's table: ")]
    assert "seed=1" in said
    monkeypatch.undo()
    assert quick_train("seed=0,1", multirun=True) == 0


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_a_note_that_a_job_of_any_launcher_cannot_write_ends_its_sweep_with_an_error(
    launcher: str, quick_train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, read = tempfile.mkdtemp, sweep._read

    def made(prefix: str = "tmp", **words: Any) -> str:
        folder = Path(whole(prefix=prefix, **words))
        if prefix.startswith(".sweep-"):
            (folder / "000001.json").mkdir()  # where the second job is to write
        return str(folder)

    def read_files(notes: Path) -> list[dict[str, Any]]:
        (notes / "000001.json").rmdir()
        return read(notes)

    monkeypatch.setattr(tempfile, "mkdtemp", made)
    monkeypatch.setattr(sweep, "_read", read_files)
    with pytest.raises(InputError, match="make room: the same command makes the table of all cells"):
        quick_train("seed=0,1", f"hydra/launcher={launcher}", multirun=True)


@pytest.mark.parametrize("damage", ["{", "[]", '{"overrides": "seed=0", "status": "done"}', '{"overrides": 0}'])
def test_a_damaged_note_ends_its_sweep_with_an_error(
    damage: str, quick_train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sweep.write_json

    def damaged(path: Path, note: object) -> None:
        whole(path, note)
        if path.name == "000001.json":
            path.write_text(damage)

    monkeypatch.setattr(sweep, "write_json", damaged)
    with pytest.raises(InputError, match=r"000001\.json: .*; the same command makes the table of all cells"):
        quick_train("seed=0,1", multirun=True)
    monkeypatch.undo()
    assert quick_train("seed=0,1", multirun=True) == 0


def test_a_sweep_without_room_for_its_notes_ends_with_an_error(
    quick_train: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**named: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sweep.tempfile, "mkdtemp", full)
    with pytest.raises(
        InputError, match=r"no table of the sweep \(No space left on device\); make room: the same command"
    ):
        quick_train("seed=0,1", multirun=True)


def test_a_lock_that_cannot_be_made_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(locks, "open_lock", full)
    with pytest.raises(InputError, match="cannot be written"), claimed(tmp_path, "run", "a run"):
        pass
    assert list(tmp_path.iterdir()) == []
