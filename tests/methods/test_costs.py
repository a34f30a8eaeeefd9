"""The script that says what a method costs as a video grows."""

from __future__ import annotations

import re

import numpy as np
import pytest

from experiments.benchmarks import method_costs as costs
from highlight_lit.methods import METHODS, find
from highlight_lit.methods.networks import desumnet


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "WIDTH", 16)
    monkeypatch.setattr(costs, "LENGTHS", (10, 80))
    monkeypatch.setattr(desumnet, "STEPS", 3)


def test_there_is_a_row_for_each_method_named_with_a_number_for_each_length(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["smrs", "desumnet", "submodular"]  # one that learns nothing, one with steps, one with labels
    assert costs.main(["--methods", *names]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.endswith("| 10 | 80 |")
    assert [row.split(" | ")[0] for row in rows] == [f"| {METHODS[name].title}" for name in names]
    assert all(re.fullmatch(r"\|[^|]+(\| \d+\.\d\d ){3}\|", row) for row in rows)


def test_a_method_trains_as_long_as_ever_once_it_has_been_measured() -> None:
    costs.measured(find("desumnet"), (5,), np.random.default_rng(0))
    assert desumnet.STEPS == 3


def test_an_unknown_method_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert costs.main(["--methods", "smurs"]) == 2
    assert "expected one of smrs" in capsys.readouterr().err
