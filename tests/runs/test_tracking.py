"""What W&B is left with: a closed run a cell, in its study's group, marked failed if it failed."""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from wandb.proto import wandb_internal_pb2 as protocol

from highlight_lit.runs.logging.tracking import once


def logged(path: Path) -> Iterator[protocol.Record]:
    """Records of an offline run's file: LevelDB's log format behind a header of 7 bytes."""
    data, at, begun = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        begun = (b"" if kind in (1, 2) else begun) + data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = protocol.Record()
            record.ParseFromString(begun)
            yield record


def group_tags_and_exit(out: Path) -> list[tuple[str, tuple[str, ...], int]]:
    found = []
    for path in sorted(out.glob("*/wandb/offline-run-*/*.wandb")):
        records = {record.WhichOneof("record_type"): record for record in logged(path)}
        run = records["run"].run
        found.append((run.run_group, tuple(run.tags), records["exit"].exit.exit_code))
    return found


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_each_cell_is_a_closed_run_in_its_studys_group_under_every_launcher(
    quick_train: Callable[..., int], tmp_path: Path, launcher: str
) -> None:
    words = ["logger=wandb", "study=table2", "tau=4,8", "seed=0", f"hydra/launcher={launcher}"]
    assert quick_train(*words, multirun=True) == 0
    assert group_tags_and_exit(tmp_path / "runs") == [("table2", ("topic01", "av", "table2"), 0)] * 2


def test_a_failed_cells_run_is_marked_failed(quick_train: Callable[..., int], tmp_path: Path) -> None:
    words = ["logger=wandb", "optimizer.algorithm.lr=1e30", "trainer.max_epochs=20", "seed=0,1"]
    assert quick_train(*words, multirun=True) == 1
    assert [code for _, _, code in group_tags_and_exit(tmp_path / "runs")] == [1, 1]


def told(folder: Path) -> str:
    """Everything that W&B would be told of an offline run: its records, and the files that go with them."""
    [path] = folder.glob("*/wandb/offline-run-*/*.wandb")
    files = [each.read_text() for each in path.parent.glob("files/**/*") if each.is_file()]
    return "\n".join([*map(str, logged(path)), *files])


@pytest.mark.parametrize("private", [False, True])
def test_a_private_run_tells_wandb_nothing_of_the_machine(
    quick_train: Callable[..., int], tmp_path: Path, private: bool
) -> None:
    assert quick_train("logger=wandb", f"logger.private={str(private).lower()}") == 0
    text = told(tmp_path / "runs")
    assert "train/loss" in text
    assert "topic01" in text
    machine = [f'"{socket.gethostname()}"', sys.executable, str(tmp_path), "torch==", "program:"]
    assert [word in text for word in machine] == [not private] * len(machine)
    assert not private or "git" not in text


@pytest.mark.parametrize(("resumed", "rows"), [(False, [3, 7, 11]), (True, [11])])
def test_an_epoch_that_a_killed_process_logged_is_not_logged_again_to_a_run_online(
    resumed: bool, rows: list[int]
) -> None:
    logged: list[int] = []
    run = SimpleNamespace(resumed=resumed, summary={"trainer/global_step": 7} if resumed else {})
    run.log = lambda row: logged.append(row["trainer/global_step"])
    logger = once(run)
    for step in (3, 7, 11):
        logger.log_metrics({"train/loss": 0.5}, step)
    assert logged == rows
