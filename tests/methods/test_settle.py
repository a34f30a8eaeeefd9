"""How settings are chosen: on training videos, and by what is known of them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.analyses import settle_methods as settle
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.methods.networks import vesd
from highlight_lit.methods.videos import Clips


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "corpus"
    synthesize(root, Plan(topics=2, videos=20, rank=2, Dv=12, Da=8))
    return root


def _training_list_alone(read: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: Corpus, video: int, *rest: Any) -> Any:
        assert self.split[video] == "train"
        return read(self, video, *rest)

    return checked


def test_nothing_of_a_video_off_the_training_list_is_read(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn", reason="needs the extra methods")
    for name in ("rows", "labels"):
        monkeypatch.setattr(Corpus, name, _training_list_alone(getattr(Corpus, name)))
    monkeypatch.setattr(settle, "GRID", {name: [{"STEPS": 2}] for name in settle.GRID})
    out = tmp_path / "settled.csv"
    assert settle.main(["--corpus", str(corpus), "--out", str(out), "--draws", "2"]) == 0
    rows = list(csv.DictReader(out.open()))
    assert {row["choice"] for row in rows} >= {"preparation", *settle.GRID}
    assert all(0 <= float(row["mean"]) <= 100 and int(row["parts"]) == 4 for row in rows)


def test_what_is_held_out_is_not_learned_from(corpus: Path) -> None:
    opened = Corpus(corpus)
    parts = [settle.HeldOut(opened, "topic01", "duration", draw, 2) for draw in range(2)]
    for part in parts:
        assert not set(part.held_positive) & {*part.positive, *part.tagged}
        assert not set(part.held_negative) & set(part.negative)
        assert not set(part.held_tagged) & set(part.labelled)
        kept_and_held = sorted([*part.positive, *part.held_positive])
        assert kept_and_held == sorted(opened.weak_labels("topic01", "duration", "lists")[0])


def test_separation_is_the_area_under_the_curve_of_the_positives_clips_wherever_they_stand() -> None:
    def video(name: str) -> Clips:
        return Clips(name, 4.0, np.zeros((4, 2)), np.zeros((4, 1), np.float32))

    score = np.array([3.0, 1.0, 1.0, 0.0])
    assert settle.separation([video("2 positive")], [score]) == 3.5 / 4  # eighths, exact
    assert settle.separation([video("2 negative")], [score]) == 0.5 / 4
    assert settle.separation([video("2 negative")], [np.zeros(4)]) == 0.5


def test_a_methods_constants_are_back_when_the_comparison_is_over() -> None:
    before = vesd.STEPS
    with settle.constants(vesd, {"STEPS": before + 1}):
        inside = vesd.STEPS
    assert (inside, vesd.STEPS) == (before + 1, before)
