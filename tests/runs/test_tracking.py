"""What W&B is left with: a closed run a cell, in its study's group, marked failed if it failed."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import wandb
from wandb.proto import wandb_internal_pb2 as protocol

from highlight_lit import __version__
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.evaluation.scores_csv import write_scores
from highlight_lit.runs.logging.tracking import once, wandb_logger
from highlight_lit.text import shown


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
    for path in sorted(out.glob("wandb/offline-run-*/*.wandb")):
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
    [path] = folder.glob("wandb/offline-run-*/*.wandb")
    files = [each.read_text(errors="replace") for each in path.parent.glob("files/**/*") if each.is_file()]
    return "\n".join([*map(str, logged(path)), *files])


@pytest.mark.parametrize("private", [False, True])
def test_a_private_run_tells_wandb_nothing_of_the_machine(
    quick_train: Callable[..., int], tmp_path: Path, private: bool
) -> None:
    wandb.teardown()  # it keeps what it was told of this process by an earlier run
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
    logger = once(run, private=False, artifacts=False)
    for step in (3, 7, 11):
        logger.log_metrics({"train/loss": 0.5}, step)
    assert logged == rows


def test_a_run_holds_what_dashboards_are_made_of(quick_train: Callable[..., int], tmp_path: Path) -> None:
    words = ["logger=wandb", "logger.artifacts=true", "rank=2,3"]
    assert quick_train(*words, multirun=True) == 0
    names = set()
    for path in sorted((tmp_path / "runs").glob("wandb/offline-run-*/*.wandb")):
        records = list(logged(path))
        runs = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        names.add(runs[0].display_name)
        told = [run.config for run in runs] + [
            record.config for record in records if record.WhichOneof("record_type") == "config"
        ]
        config = {
            item.key: json.loads(item.value_json) for each in told for item in each.update
        }  # the last word counts
        assert config["streams"]["visual"]["width"] == 12
        assert len(config["corpus"]["fingerprint"]) == 64
        assert config["environment"]["highlight_lit"] == __version__
        assert "commit" in config["environment"]
        rows = [
            {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            for record in records
            if record.WhichOneof("record_type") == "history"
        ]
        assert [row["lr"] for row in rows if "lr" in row] == [0.001, 0.001]
        assert [row["videos/_type"] for row in rows if "videos/_type" in row] == ["table-file"]
        [file] = path.parent.glob("files/media/table/videos*.json")
        columns = json.loads(file.read_text())
        assert columns["columns"] == ["measure", "topic", "video", "value", "middle", "annotators"]
        assert {row[1] for row in columns["data"]} == {"topic01"}
        assert sum("/_type" in key for row in rows for key in row if key.startswith("curves/")) == 4
        assert len(list(path.parent.glob("files/media/images/**/*.png"))) == 4
        summary = {
            "/".join(item.nested_key) or item.key: json.loads(item.value_json)
            for record in records
            if record.WhichOneof("record_type") == "summary"
            for item in record.summary.update
        }
        name = "youtube/trapezoid"
        for key in (name, f"chance/{name}", f"middle/{name}", f"annotators/{name}", f"{name}/topic/topic01"):
            assert 0 <= summary[key] <= 1
        kept = [record.artifact for record in records if record.WhichOneof("record_type") == "artifact"]
        [checkpoint] = [each for each in kept if each.type == "model"]
        assert [each.path for each in checkpoint.manifest.contents] == ["last.ckpt"]
    assert names == {"topic01 av seed 0 rank=2", "topic01 av seed 0 rank=3"}


@pytest.mark.parametrize("name", ["t" * 65, "é" * 120, "a\nb\x1b[2J", "[bold]", "/../../x", "${oc.env:HOME}"])
def test_a_topic_and_ids_of_any_text_lose_no_run(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = {"topic": name, "modality": "av", "study": None, "seed": 0, "out": "o", "data": {"root": "r"}}
    node = {"project": None, "group": None, "private": False}
    logger: Any = wandb_logger("offline", save_dir=tmp_path / "out" / "run", run_id="abc", config=config, **node)
    clips = ClipScores(np.array([[0.0, 1.0]]), np.array([0.5]))
    write_scores(tmp_path / "scores.csv", {f"{name}{number}": clips for number in range(2)})
    logger.report({"id": "abc"}, tmp_path)
    logger.end_run(0)
    wandb.teardown()  # which waits until all is written
    [(_, tags, code)] = group_tags_and_exit(tmp_path / "out")
    assert code == 0
    assert tags[0].startswith(shown(name)[:60])
    assert len(list(tmp_path.glob("out/wandb/offline-run-*/files/media/images/curves/**/*.png"))) == 2
    assert capsys.readouterr().err == ""
