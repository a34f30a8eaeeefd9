"""One run from a corpus to its record; done once, it is not done again; what fails says so and leaves no lie behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.errors import InputError
from highlight_lit.evaluation.scores_csv import read_scores
from highlight_lit.inference.loading.load import load_detector
from highlight_lit.runs.ledger import records
from highlight_lit.training.module import HighlightModule
from tests.real_processes import python
from tests.tolerance import FUNCTION, rounding

Train = Callable[..., int]


def runs(tmp_path: Path) -> list[dict[str, object]]:
    return list(records(tmp_path / "runs"))


def test_a_run_leaves_a_record_scores_a_judgement_and_a_checkpoint(quick_train: Train, tmp_path: Path) -> None:
    assert quick_train() == 0
    [record] = runs(tmp_path)
    assert (record["status"], record["epochs"], record["steps"]) == ("done", 2, 4)
    folder = tmp_path / "runs" / str(record["id"])
    assert {path.name for path in folder.iterdir()} == {
        "record.json", "scores.csv", "evaluation.json", "evaluation.csv", "last.ckpt"}  # fmt: skip
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert 0 <= evaluation["measures"]["youtube/trapezoid"]["mean"] <= 1
    assert set(evaluation["levels"]) == {"chance", "middle", "annotators"}


def test_a_run_that_is_done_is_not_done_again(
    quick_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_train()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    monkeypatch.setattr("pytorch_lightning.Trainer.fit", lambda *_: pytest.fail("trained again"))
    assert quick_train() == 0
    assert "done before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before


def test_two_processes_that_want_the_same_run_train_it_once(small_corpus: Path, tmp_path: Path) -> None:
    command = python("-m", "highlight_lit", "train", f"data.root={small_corpus}", "topic=topic01",
                     f"out={tmp_path}", "data.pairs=4", "tau=8", "trainer.max_epochs=3", "logger=none")  # fmt: skip
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("done before" in line for line in said) == [False, True]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(quick_train: Train, tmp_path: Path) -> None:
    quick_train("seed=0")
    quick_train("seed=0", "evaluate.draws=11")
    quick_train("seed=1")
    weights = {}
    for record in runs(tmp_path):
        state = torch.load(tmp_path / "runs" / str(record["id"]) / "last.ckpt", weights_only=True)["state_dict"]
        weights.setdefault(record["seed"], []).append(state["network.head.weight"])
    assert torch.equal(*weights[0])
    assert not torch.equal(weights[0][0], weights[1][0])


@pytest.mark.parametrize("modality", ["visual", "audio"])
def test_each_stream_alone_trains(quick_train: Train, tmp_path: Path, modality: str) -> None:
    assert quick_train(f"modality={modality}") == 0
    [record] = runs(tmp_path)
    assert record["modality"] == modality


@pytest.mark.parametrize(
    "option", ["trainer.precision=bf16-mixed", "model=mini_net", "loss=sparsity", "optimizer=paper"]
)
def test_every_way_to_train_ends_with_a_record(quick_train: Train, tmp_path: Path, option: str) -> None:
    assert quick_train(option) == 0
    assert runs(tmp_path)[0]["status"] == "done"


def test_a_compiled_step_is_the_same_step(quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def compile_nothing(
        step: Callable[..., Any], options: object
    ) -> Callable[..., Any]:  # which takes most of a minute
        return lambda *given: calls.append(given) or step(*given)

    quick_train("compile=false", f"out={tmp_path / 'plain'}")
    monkeypatch.setattr(torch, "compile", compile_nothing)
    quick_train("compile=true", f"out={tmp_path / 'compiled'}")
    [plain], [compiled] = (list(records(tmp_path / name)) for name in ("plain", "compiled"))
    assert len(calls) == compiled["steps"]
    assert compiled["losses"] == plain["losses"]
    assert compiled["evaluation"] == plain["evaluation"]


def test_a_sweep_prints_a_table_and_a_cell_that_fails_leaves_the_rest_intact(
    quick_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_train("topic=topic01,nosuch,topic02", "seed=0,1", multirun=True) == 1
    shown = capsys.readouterr()
    assert len(runs(tmp_path)) == 4
    assert "mean over topics" in shown.out
    assert "chance" in shown.out
    assert "2 of the sweep's cells failed" in shown.err
    assert "topic=nosuch: no such topic" in shown.err
    assert not list((tmp_path / "runs").glob(".sweep-*"))


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(
    quick_train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = HighlightModule.forward
    seen = []

    def third_is_nan(self: HighlightModule, bags: object) -> object:
        seen.append(1)
        detection = step(self, bags)  # type: ignore[arg-type]
        return detection._replace(z_hat=detection.z_hat * float("nan")) if len(seen) == 3 else detection

    monkeypatch.setattr(HighlightModule, "forward", third_is_nan)
    with pytest.raises(InputError, match="loss is NaN or infinite at epoch 1, batch 0 of 2"):
        quick_train()
    [record] = runs(tmp_path)
    assert record["status"] == "failed"
    monkeypatch.undo()
    assert quick_train() == 0  # a failed run is run again


@pytest.mark.parametrize("modality", ["visual", "audio"])
def test_a_sweep_over_fusions_and_a_stream_alone_trains_each_run_once(
    quick_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], modality: str
) -> None:
    assert quick_train(f"modality={modality}") == 0
    [alone] = runs(tmp_path)
    assert quick_train("fusion=low_rank,residual", f"modality={modality},av", multirun=True) == 0
    shown = capsys.readouterr()
    assert len(runs(tmp_path)) == 3
    assert shown.out.count(f"done before, {tmp_path / 'runs' / str(alone['id'])}") == 2
    for name, fusion in (("low_rank", "LowRankFusion"), ("residual", "ResidualFusion")):
        assert (f"{modality} seed 0 fusion={name}: modality={modality}: one stream, nothing to fuse; {fusion} gives way to "
                f"fusion={modality}_only\n") in shown.err  # fmt: skip
    assert sum("Fusion" in line for line in shown.out.splitlines()) == 2  # rows of the table
    assert quick_train(f"modality={modality}", "fusion=concat") == 0  # the same run, outside a sweep
    assert len(runs(tmp_path)) == 3


def test_modality_and_fusion_that_contradict_are_refused_before_anything_is_written(
    quick_train: Train, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="AudioOnly reads the audio stream"):
        quick_train("modality=visual", "fusion=audio_only")
    with pytest.raises(InputError, match="modality=av: the model reads visual; choose another fusion"):
        quick_train("fusion=visual_only")
    with pytest.raises(InputError, match="ReduceLROnPlateau: follows a measure, .* expected one by epochs"):
        quick_train("optimizer.schedule={_target_: torch.optim.lr_scheduler.ReduceLROnPlateau}")
    with pytest.raises(InputError, match="optimizer.algorithm: torch.optim.AdamW: Invalid learning rate: -1"):
        quick_train("optimizer.algorithm.lr=-1")
    assert not (tmp_path / "runs").exists()


def test_a_detector_scores_as_the_run_did_and_refuses_other_features(
    quick_train: Train, tmp_path: Path, small_corpus: Path
) -> None:
    quick_train()
    [record] = runs(tmp_path)
    folder = tmp_path / "runs" / str(record["id"])
    detector = load_detector(folder / "last.ckpt")
    apart = rounding(12, 8 * 8, 2 * (32 + 5 * FUNCTION), 8, dtype=torch.float32, scale=4.0)  # logits, of up to 4
    corpus = Corpus(small_corpus)
    for name, scores in read_scores(folder / "scores.csv").items():
        video = corpus.index(name)
        assert video is not None
        rows = corpus.rows(video, "visual"), corpus.rows(video, "audio")
        np.testing.assert_allclose(detector.logits(*rows), scores.logit, rtol=0, atol=apart)
        np.testing.assert_allclose(detector.score(*rows), scores.score, rtol=0, atol=apart)
    synthesize(tmp_path / "wide", Plan(topics=2, videos=4, rank=2, Dv=13, Da=8))
    with pytest.raises(InputError, match="visual: width 13, but .* was trained on 12"):
        detector.score_corpus(Corpus(tmp_path / "wide"), np.array([0]))


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "foreign", "target"])
def test_a_damaged_or_foreign_checkpoint_is_refused_by_name(quick_train: Train, tmp_path: Path, damage: str) -> None:
    quick_train()
    path = next((tmp_path / "runs").glob("*/last.ckpt"))
    whole = path.read_bytes()
    if damage in ("empty", "cut", "text"):
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"hello"}[damage])
    else:
        checkpoint = torch.load(path, weights_only=True)
        if damage == "foreign":
            del checkpoint["hyper_parameters"]
        else:
            checkpoint["hyper_parameters"]["model"]["fusion"]["_target_"] = "os.system"
        torch.save(checkpoint, path)
    with pytest.raises(InputError, match=r"last\.ckpt: (damaged|model.fusion._target_: 'os.system')"):
        load_detector(path)


def test_a_checkpoint_with_a_pickled_object_is_refused_and_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.mkdir, (tmp_path / "owned",)  # type: ignore[return-value]

    torch.save({"state_dict": {}, "hyper_parameters": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"evil\.ckpt: damaged, or not a checkpoint"):
        load_detector(tmp_path / "evil.ckpt")
    assert not (tmp_path / "owned").exists()


def test_wandb_gets_one_closed_offline_run_a_cell(quick_train: Train, tmp_path: Path) -> None:
    assert quick_train("logger=wandb", "logger.group=try", "seed=0,1", multirun=True) == 0
    folders = sorted((tmp_path / "runs").glob("wandb/offline-run-*"))
    names = {str(record["id"]) for record in runs(tmp_path)}
    assert len(folders) == 2
    assert {folder.name.rpartition("-")[2] for folder in folders} == names


def test_training_is_possible_where_nothing_is_labelled(tmp_path: Path, corpus: Corpus, quick_train: Train) -> None:
    bare = [replace(video, labels=None) for video in corpus.shards[0]]
    write_corpus(tmp_path / "bare", bare, corpus.streams, name="bare", clip_seconds=1.0)
    assert quick_train(f"data.root={tmp_path / 'bare'}") == 0
    [record] = runs(tmp_path)
    assert "evaluation" not in record


def test_a_sweep_tells_systems_apart_by_what_was_varied(
    quick_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_train("fusion=low_rank", "rank=1,2", "seed=0,1", multirun=True) == 0
    table = capsys.readouterr().out
    assert "rank=1" in table
    assert "rank=2" in table
    assert quick_train("fusion=low_rank", "rank=1,2", multirun=True) == 0  # done before, in the table all the same
    assert "rank=2" in capsys.readouterr().out


def test_no_progress_bar_is_shown_but_the_one_that_was_asked_for(
    quick_train: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    assert quick_train("callbacks=[last]") == 0
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == 1
    assert err == ""
