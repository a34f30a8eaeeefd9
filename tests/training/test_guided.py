"""A guided training: two stages by one command, no clip label read, the same weights whether it was stopped or not."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError, Interrupted
from highlight_lit.inference.loading.load import load_detector
from highlight_lit.methods.recurrence.recurrence_change import ranks, standard, teach
from highlight_lit.methods.videos import view
from highlight_lit.training.command import main as train
from highlight_lit.training.guided import targets
from highlight_lit.training.module import HighlightModule

Train = Callable[..., int]
GUIDED = ("experiment=guided", "trainer.max_steps=6", "data.pairs=3", "teacher.seeds=2")


def guided_record(runs: Path) -> dict[str, Any]:
    records = [json.loads(path.read_text()) for path in runs.glob("*/record.json")]
    (found,) = [record for record in records if "teacher" in record]
    return found


@pytest.fixture(scope="module")
def first_stage(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results with the runs of the first stage, which are the same in each test."""
    out = tmp_path_factory.mktemp("guided") / "runs"
    assert train([f"data.root={small_corpus}", f"out={out}", "topic=topic01", "tau=8", "model.d=8", "logger=none",
                  "evaluate.draws=10", *GUIDED]) == 0  # fmt: skip
    shutil.rmtree(out / guided_record(out)["id"])
    return out


@pytest.fixture
def guided(quick_train: Train, first_stage: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    shutil.copytree(first_stage, tmp_path / "runs")

    def run(*words: str) -> dict[str, Any]:
        assert quick_train(*GUIDED, *words) == 0
        return guided_record(tmp_path / "runs")

    return run


def test_one_command_does_both_stages_and_its_record_tells_of_both(
    guided: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    record = guided()
    assert record["status"] == "done"
    assert record["steps"] == 6
    assert record["teacher"]["method"] == "recurrence_change"
    assert set(record["losses"]) == {"train/loss", "train/pair_accuracy"}
    first = [json.loads((tmp_path / "runs" / name / "record.json").read_text()) for name in record["teacher"]["runs"]]
    assert [run["seed"] for run in first] == [0, 1]
    assert {run["modality"] for run in first} == {"visual"}
    assert load_detector(tmp_path / "runs" / record["id"] / "last.ckpt").topic == "topic01"


def test_targets_are_the_ranks_of_the_teachers_sum(
    guided: Callable[..., dict[str, Any]], tmp_path: Path, corpus: Corpus
) -> None:
    record = guided()
    first = [json.loads((tmp_path / "runs" / name / "record.json").read_text()) for name in record["teacher"]["runs"]]
    found = targets(record["config"], corpus, first)
    videos = view(corpus, "topic01", modality="av")
    detectors = [load_detector(tmp_path / "runs" / run["id"] / "last.ckpt") for run in first]
    for video, scores in zip(videos.tagged, teach(videos, videos.tagged), strict=True):
        index = corpus.index(video.id)
        assert index is not None
        logits = np.mean([each.score_corpus(corpus, np.array([index]))[index] for each in detectors], axis=0)
        np.testing.assert_array_equal(found[index], ranks(scores + standard(logits)))
        assert found[index].min() == 0.0
        assert found[index].max() == 1.0
    assert len(found) == len(videos.tagged)


@pytest.mark.usefixtures("quick_first_stage")
def test_no_label_of_a_clip_is_read_before_the_detector_is_judged(
    quick_train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a label was read")

    monkeypatch.setattr("highlight_lit.data.corpus.Corpus.labels", refuse)
    monkeypatch.setattr("highlight_lit.training.train.evaluated", lambda *_: {})
    assert quick_train(*GUIDED) == 0
    assert guided_record(tmp_path / "runs")["steps"] == 6


def test_stopped_in_its_second_stage_it_ends_with_the_same_weights(
    quick_train: Train, first_stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "cut"):
        shutil.copytree(first_stage, tmp_path / name)

    def weights(runs: Path) -> dict[str, torch.Tensor]:
        path = runs / guided_record(runs)["id"] / "last.ckpt"
        found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
        return found

    assert quick_train(*GUIDED, f"out={tmp_path / 'whole'}") == 0
    step = HighlightModule.training_step

    def stopped(self: HighlightModule, *arguments: Any) -> Any:
        if self.trainer.datamodule.targets is not None and self.global_step == 3:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, *arguments)

    monkeypatch.setattr(HighlightModule, "training_step", stopped)
    with pytest.raises(Interrupted):
        quick_train(*GUIDED, f"out={tmp_path / 'cut'}")
    monkeypatch.undo()
    assert not [path for path in (tmp_path / "cut").glob("*/record.json") if "teacher" in json.loads(path.read_text())]
    assert quick_train(*GUIDED, f"out={tmp_path / 'cut'}") == 0
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("loss=ranking",), "loss: it needs a teacher"),
        (("teacher=recurrence_change",), "the loss reads no teacher"),
        ((*GUIDED, "teacher.method=smrs"), "teacher.method=smrs: no teacher"),
        ((*GUIDED, "teacher.method=nothing"), "expected one of"),
        ((*GUIDED, "data.validation=0.2"), "data.validation: a teacher's training holds nothing out"),
        ((*GUIDED, "trainer.devices=2", "trainer.accelerator=cpu"), "trains on one device"),
        (("data.fold=1/2", "data=transductive"), "trains on the fold that is evaluated on"),
        (("data.fold=3/2",), "expected K/n"),
        (("data.audio=loud",), "data.audio=loud: expected one of as_is"),
        (("data.audio=mean", "data.store=stream"), "data.store=stream: reads audio as it is"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line_and_nothing_is_written(
    quick_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        quick_train(*words)
    assert not list((tmp_path / "runs").glob("*/record.json"))


def test_folds_of_a_sweep_are_one_row_of_its_table(
    quick_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_train("data.fold=1/2,2/2", multirun=True) == 0
    out = capsys.readouterr().out
    table = [line for line in out.splitlines() if "topic01" in line and "seed" not in line]
    assert len(table) == 1
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/record.json")]
    tested = [set(next(iter(record["evaluation"]["measures"].values()))["videos"]["topic01"]) for record in records]
    assert not tested[0] & tested[1]


def test_results_that_were_moved_are_gone_on_from(quick_train: Train, first_stage: Path, tmp_path: Path) -> None:
    shutil.copytree(first_stage, tmp_path / "first")
    assert quick_train(*GUIDED, f"out={tmp_path / 'first'}") == 0
    (tmp_path / "first").rename(tmp_path / "moved")
    assert quick_train(*GUIDED, "seed=1", f"out={tmp_path / 'moved'}") == 0
    records = [json.loads(path.read_text()) for path in (tmp_path / "moved").glob("*/record.json")]
    assert len([record for record in records if "teacher" not in record]) == 2  # the first stage was not run again
    assert not (tmp_path / "first").exists()
