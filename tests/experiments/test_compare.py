"""Two settings beside each other, from the records of their runs alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments.compare import main
from highlight_lit.errors import InputError
from highlight_lit.runs.ledger import records


def test_the_difference_is_that_of_the_videos_means_over_seeds(
    quick_train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_train("fusion=concat,product", "seed=0,1", multirun=True) == 0
    capsys.readouterr()
    assert (
        main(
            [
                str(tmp_path / "runs"),
                "--ours",
                "fusion._target_=Concatenation",
                "--theirs",
                "fusion._target_=ElementwiseProduct",
            ]
        )
        == 0
    )
    values: dict[str, list[float]] = {"Concatenation": [], "ElementwiseProduct": []}
    for record in records(tmp_path / "runs"):
        evaluation = record["evaluation"]
        name = record["config"]["fusion"]["_target_"].rpartition(".")[2]
        values[name].append(evaluation["measures"][evaluation["primary"]]["mean"])
    ours, theirs = (float(np.mean(of)) for of in values.values())
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"fusion._target_=Concatenation: {100 * ours:.1f} (")
    assert said[2].startswith(f"difference {100 * (ours - theirs):+.1f} [")


def test_runs_that_do_not_match_are_refused_in_a_line(
    quick_train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_train("fusion=concat,product", multirun=True) == 0
    capsys.readouterr()
    for ours in ("fusion._target_=Nothing", "modality=av"):
        assert main([str(tmp_path / "runs"), "--ours", ours, "--theirs", "fusion._target_=ElementwiseProduct"]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "expected one a topic and seed" in said
    assert json.loads(next((tmp_path / "runs").glob("*/record.json")).read_text())["status"] == "done"


def test_runs_that_were_judged_by_other_measures_are_refused(
    quick_train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_train("fusion=concat,product", multirun=True) == 0
    path = next(path for path in (tmp_path / "runs").glob("*/record.json") if "Concatenation" in path.read_text())
    record = json.loads(path.read_text())
    record["evaluation"]["primary"] = "youtube/step"
    path.write_text(json.dumps(record))
    capsys.readouterr()
    settings = ["--ours", "fusion._target_=Concatenation", "--theirs", "fusion._target_=ElementwiseProduct"]
    assert main([str(tmp_path / "runs"), *settings]) == 2
    assert "runs judged by youtube/step, youtube/trapezoid; expected one measure" in capsys.readouterr().err


def test_a_run_that_was_copied_does_not_count_twice(
    short_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        shutil.copytree(short_run, tmp_path / name)
    assert main([str(tmp_path), "--ours", "data.fold=1/2", "--theirs", "modality=av"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{tmp_path / 'b' / 'record.json'}: the run of {tmp_path / 'a' / 'record.json'} again" in said


def test_the_traceback_comes_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [str(tmp_path), "--ours", "modality=av", "--theirs", "modality=visual"]
    assert main(words) == 2
    monkeypatch.setenv("HIGHLIGHT_LIT_TRACEBACK", "1")
    with pytest.raises(InputError, match="0 runs"):
        main(words)
