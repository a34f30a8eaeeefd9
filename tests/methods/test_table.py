"""The runner that fills table 4's layout."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from experiments import methods as table
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.methods import METHODS
from highlight_lit.methods.networks import desumnet


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    synthesize(root, Plan(topics=2, videos=10, annotators=3, rank=2, Dv=12, Da=8))
    return root


def test_every_number_of_the_table_follows_from_the_values_of_the_seeds(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desumnet, "STEPS", 3)
    out = tmp_path / "out"
    words = [
        "--corpus",
        str(corpus),
        "--out",
        str(out),
        "--name",
        "t",
        "--seeds",
        "3",
        "--methods",
        "recurrence",
        "desumnet",
    ]
    assert table.main(words) == 0
    written = json.loads((out / "t.json").read_text())
    assert list(written["measures"]) == ["cosum/top5", "cosum/ap5", "cosum/step"]
    assert [row["name"] for row in written["rows"]] == ["chance", "middle", "annotators", "recurrence", "desumnet"]
    assert [len(row["seeds"]) for row in written["rows"]] == [1, 1, 1, 1, 3]

    of_seeds = [
        [100 * seed["cosum/top5"][topic] for topic in written["topics"]] for seed in written["rows"][-1]["seeds"]
    ]
    means = np.mean(of_seeds, axis=1)
    half = 4.302653 * means.std(ddof=1) / 3**0.5  # Student's t with 2 degrees of freedom
    lines = (out / "t.md").read_text().splitlines()
    line = next(line for line in lines if line.startswith("| DSN"))
    assert line.split(" | ")[-2] == f"{means.mean():.1f} ± {half:.1f}"

    rows = list(csv.DictReader((out / "t.csv").open()))
    averages = [
        100 * float(r["value"])
        for r in rows
        if (r["measure"], r["method"], r["topic"]) == ("cosum/top5", "desumnet", "average")
    ]
    assert averages == pytest.approx(means, rel=0, abs=100 * 0.501e-6)  # percent, of half the last digit written


def test_supervised_and_weakly_supervised_methods_stand_apart(corpus: Path, tmp_path: Path) -> None:
    words = ["--corpus", str(corpus), "--out", str(tmp_path), "--name", "t", "--methods", "submodular", "cvs"]
    assert table.main(words) == 0
    lines = (tmp_path / "t.md").read_text().splitlines()
    order = [
        next(i for i, line in enumerate(lines) if text in line)
        for text in ("topic tags**", "| CVS", "clip labels**", "| SM")
    ]
    assert order == sorted(order)


def test_a_network_of_the_trainer_is_a_row_and_is_not_trained_twice(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--corpus", str(corpus), "--out", str(tmp_path), "--name", "t", "--methods", "lim", "--seeds", "1"]
    assert table.main([*words, "--topics", "topic01"]) == 0
    first = json.loads((tmp_path / "t.json").read_text())["rows"][-1]
    made = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/record.json")}
    assert len(made) == 1
    assert table.main([*words, "--topics", "topic01"]) == 0
    again = json.loads((tmp_path / "t.json").read_text())["rows"][-1]
    assert again["seeds"] == first["seeds"]
    assert made == {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/record.json")}


def test_an_unknown_method_is_refused_before_anything_runs(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert table.main(["--corpus", str(corpus), "--out", str(tmp_path / "o"), "--methods", "smurs"]) == 2
    assert "smurs" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_the_networks_and_the_methods_have_names_of_their_own() -> None:
    assert not set(table.NETWORKS) & set(METHODS)
