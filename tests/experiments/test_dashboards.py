"""What reaches W&B: a view a study, and every run that was logged offline, once."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from experiments.dashboards import main, views, workspace
from experiments.reproduce.study import studies
from tests.experiments.wandb_server import Server
from tests.real_processes import python

ROOT = Path(__file__).parents[2]


def run(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    environment = {**kept, "OMP_NUM_THREADS": "1", "HOME": "/nonexistent", **environment}
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=300, env=environment)


def dashboards(what: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(python("-m", "experiments.dashboards", what, folder), **environment)


@pytest.fixture(scope="module")
def reproduction(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Table 2, its runs logged offline."""
    out = tmp_path_factory.mktemp("reproduction")
    words = python("-m", "experiments.reproduce", "--profile", str(tiny / "tiny.yaml"), "--corpus",
             str(tiny / "corpus"), "--study", "table2", "--out", str(out), "logger=wandb")  # fmt: skip
    ended = run(words, WANDB_MODE="offline")
    assert ended.returncode == 0, ended.stderr
    return out


@pytest.fixture
def server() -> Iterator[Server]:
    listening = Server()
    yield listening
    listening.shutdown()
    listening.server_close()


def test_every_study_has_a_view_of_its_own_runs_and_a_second_time_makes_none(
    reproduction: Path, server: Server
) -> None:
    pytest.importorskip("wandb_workspaces", reason="needs the extra dashboards")
    ids = {path.parent.name for path in reproduction.glob("tiny/runs/*/record.json")}
    made = dashboards("views", reproduction, **server.environment)
    assert made.returncode == 0, made.stderr
    [view] = server.views
    assert view["displayName"] == "Table 2: Clips in a training bag"
    spec = json.dumps(json.loads(view["spec"]))
    assert all(run_id in spec for run_id in ids)
    assert "youtube/trapezoid" in spec and "tau" in spec
    again = dashboards("views", reproduction, **server.environment)
    assert (again.returncode, again.stdout) == (0, made.stdout)
    assert len(server.views) == 1


def test_wandb_takes_the_view_of_any_study() -> None:
    pytest.importorskip("wandb_workspaces", reason="needs the extra dashboards")
    swept = [replace(study, about=f"{study.about}, R = 8") for study in studies() if study.sweep]
    plan = {
        "corpora": {"f": {"benchmark": "youtube-highlights"}},
        "studies": {study.name: {"f": [{"id": "1"}]} for study in swept},
    }
    made = [workspace(view, "me") for view in views(plan, swept, "highlight-lit")]
    assert len(made) == len(swept) > 5


def test_runs_logged_offline_are_sent_once(reproduction: Path, server: Server) -> None:
    ids = {path.parent.name for path in reproduction.glob("tiny/runs/*/record.json")}
    sent = dashboards("sync", reproduction, **server.environment)
    assert sent.returncode == 0, sent.stderr
    assert server.runs == server.streamed == ids
    server.streamed.clear()
    assert dashboards("sync", reproduction, **server.environment).returncode == 0
    assert not server.streamed


def test_without_a_key_the_views_are_written_and_nothing_is_sent(reproduction: Path) -> None:
    said = dashboards("views", reproduction)
    assert said.returncode == 0
    lacking = "no W&B key was found" if find_spec("wandb_workspaces") else "wandb-workspaces is not installed"
    assert f"{lacking}: what would be made is written to" in said.stdout
    refused = dashboards("sync", reproduction)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_a_key_that_is_none_is_refused_in_one_line(reproduction: Path, server: Server) -> None:
    pytest.importorskip("wandb_workspaces", reason="needs the extra dashboards")
    (reproduction / "tiny" / "dashboards.json").unlink(missing_ok=True)
    said = dashboards("views", reproduction, **server.environment | {"WANDB_API_KEY": "short"})
    assert said.returncode == 2
    assert "dashboards: W&B does not take the view" in said.stderr
    assert "Traceback" not in said.stderr
    assert not server.views


def test_ordinary_runs_are_found_too_and_a_folder_without_runs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for run_id in ("runs/a", "other runs/b", "reproduce/full/runs/c"):  # as older versions left them
        (tmp_path / run_id / "wandb" / "offline-run-1").mkdir(parents=True)
    for folder in ("runs", "reproduce/full/runs"):
        (tmp_path / folder / "wandb" / "offline-run-2").mkdir(parents=True)
    sent: list[str] = []

    def call(words: list[str]) -> subprocess.CompletedProcess[str]:
        sent.extend(words[4:])
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr("experiments.dashboards.subprocess.run", call)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert main(["sync", *(str(tmp_path / name) for name in ("reproduce", "runs", "other runs", "missing"))]) == 0
    assert sorted(Path(path).parts[-3] for path in sent) == ["a", "b", "c", "runs", "runs"]
    assert main(["sync", str(tmp_path / "missing")]) == 2
    assert f"{tmp_path / 'missing'}: no run that was logged offline" in capsys.readouterr().err


def test_runs_of_no_reproduction_have_views_by_what_was_varied(
    quick_train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    assert quick_train("rank=2,3", multirun=True) == 0
    assert main(["views", str(tmp_path / "runs")]) == 0
    [view] = json.loads((tmp_path / "runs" / "dashboards.json").read_text())
    assert [(panel["x"], panel["y"]) for panel in view["panels"]] == [("rank", "youtube/trapezoid")]
    assert len(view["runs"]) == 2
    assert main(["views", str(tmp_path / "nothing")]) == 2
