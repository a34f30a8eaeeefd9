"""Folds put together: every video of a topic counts once, whatever fold it is in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from highlight_lit import HighlightDataModule, HighlightModule
from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.errors import InputError
from highlight_lit.inference.evaluate import evaluate
from highlight_lit.inference.loading.load import load_detector
from highlight_lit.runs.cross_fit import put_together
from highlight_lit.runs.ledger import records


def fold(
    number: int, count: int, values: dict[str, float | None], chance: float, std: float, **config: Any
) -> dict[str, Any]:
    present = [value for value in values.values() if value is not None]
    measure = {"mean": sum(present) / len(present), "videos": {"dog": values}, "topics": {}, "n_videos": len(values),
               "labellings": len(values), "without_positive": 0}  # fmt: skip
    levels: dict[str, Any] = {level: {"measures": {"ap": {**measure}}} for level in ("middle", "annotators")}
    levels["chance"] = {"measures": {"ap": {"mean": chance, "std": std}}}
    return {
        "topic": "dog", "seed": 0, "corpus": {"name": "c", "fingerprint": "f"},
        "config": {"data": {"fold": f"{number}/{count}"}, "rank": 8, "out": f"runs{number}", **config},
        "evaluation": {"primary": "ap", "measures": {"ap": measure}, "levels": levels},
    }  # fmt: skip


def test_a_mean_is_that_of_the_videos_and_not_of_the_folds() -> None:
    first = fold(1, 2, {"a": 1.0}, chance=0.5, std=0.2)
    second = fold(2, 2, {"b": 0.0, "c": 0.25, "d": None}, chance=0.2, std=0.1)
    (record,) = put_together([second, first])
    found = record["evaluation"]["measures"]["ap"]
    assert found["mean"] == pytest.approx(1.25 / 3, rel=1e-15)
    assert found["n_videos"] == 4
    assert record["evaluation"]["levels"]["middle"]["measures"]["ap"]["mean"] == pytest.approx(1.25 / 3, rel=1e-15)
    chance = record["evaluation"]["levels"]["chance"]["measures"]["ap"]
    assert chance["mean"] == pytest.approx((0.5 + 2 * 0.2) / 3, rel=1e-15)
    assert chance["std"] == pytest.approx((0.2**2 + 0.2**2) ** 0.5 / 3, rel=1e-15)
    assert first["evaluation"]["measures"]["ap"]["mean"] == 1.0  # the records themselves stay


def test_folds_of_other_settings_or_seeds_are_not_mixed_and_what_lacks_a_fold_stays() -> None:
    one, two = (fold(number, 2, {str(number): 0.5}, 0.3, 0.1) for number in (1, 2))
    other = fold(2, 2, {"x": 0.9}, 0.3, 0.1, tau=4)
    of_three = fold(1, 3, {"y": 0.1}, 0.3, 0.1)
    two["config"] |= {"logger": {"csv": {}}, "study": "guided"}  # how loudly it ran is no other setting
    plain = {**fold(1, 2, {"z": 0.2}, 0.3, 0.1), "config": {"data": {"fold": None}}}
    found = put_together([one, other, of_three, plain, two])
    assert sorted(str(record["config"]["data"]["fold"]) for record in found) == ["1/3", "2 folds", "2/2", "None"]


def test_records_without_counts_of_labellings_are_put_together_too() -> None:
    """As an older version, or another tool, wrote them."""
    one, two = (fold(number, 2, {str(number): 0.5}, 0.3, 0.1) for number in (1, 2))
    for measures in (
        two["evaluation"]["measures"],
        *(each["measures"] for each in two["evaluation"]["levels"].values()),
    ):
        for key in ("labellings", "without_positive"):
            measures["ap"].pop(key, None)
    (record,) = put_together([one, two])
    assert record["evaluation"]["measures"]["ap"]["n_videos"] == 2
    assert "labellings" not in record["evaluation"]["measures"]["ap"]


def test_folds_that_were_measured_otherwise_stay_apart() -> None:
    one, two = (fold(number, 2, {str(number): 0.5}, 0.3, 0.1) for number in (1, 2))
    for measures in (
        two["evaluation"]["measures"],
        *(each["measures"] for each in two["evaluation"]["levels"].values()),
    ):
        measures["f1"] = measures.pop("ap")
    assert len(put_together([one, two])) == 2


def test_a_checkpoint_of_a_fold_is_judged_on_that_fold_alone(
    quick_train: Callable[..., int], small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_train("data.fold=1/2,2/2", multirun=True) == 0
    capsys.readouterr()
    found = {each["config"]["data"]["fold"]: each for each in records(tmp_path / "runs")}
    paths = [str(tmp_path / "runs" / found[fold]["id"] / "last.ckpt") for fold in ("1/2", "2/2")]
    words = ["evaluate", "--corpus", str(small_corpus), "--draws", "10", "--checkpoint"]
    assert main([*words, paths[0], "--out", str(tmp_path / "judged")]) == 0
    judged = json.loads((tmp_path / "judged" / "evaluation.json").read_text())
    [measure] = [each for name, each in judged["measures"].items() if name == found["1/2"]["evaluation"]["primary"]]
    assert measure["mean"] == found["1/2"]["evaluation"]["measures"][found["1/2"]["evaluation"]["primary"]]["mean"]
    assert "judged on the fold's videos" in capsys.readouterr().err
    assert main([*words, *paths]) == 2
    assert "several folds" in capsys.readouterr().err
    assert main([*words, paths[0], "--split", "all"]) == 2
    assert "is judged on that alone" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["benchmark", "videos"])
def test_a_fold_of_another_corpus_is_refused_and_nothing_is_written(
    quick_train: Callable[..., int], small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    assert quick_train("data.fold=1/2", "trainer.max_epochs=1") == 0
    [path] = (tmp_path / "runs").glob("*/last.ckpt")
    other = tmp_path / "other"
    if change == "videos":
        synthesize(other, Plan(topics=2, videos=20, rank=2, Dv=12, Da=8, seed=1))
    else:
        shutil.copytree(small_corpus, other)
        manifest = json.loads((other / "manifest.json").read_text())
        (other / "manifest.json").write_text(json.dumps({**manifest, "benchmark": "tvsum"}))
    capsys.readouterr()
    words = ["evaluate", "--corpus", str(other), "--checkpoint", str(path), "--out", str(tmp_path / "judged")]
    assert main(words) == 2
    said = capsys.readouterr()
    assert f"{path}: trained without fold 1/2 of another corpus" in said.err
    assert (said.err.count("\n"), said.out, (tmp_path / "judged").exists()) == (1, "", False)
    with pytest.raises(InputError, match="of another corpus"):
        evaluate(load_detector(path), other)


def test_a_fold_that_does_not_name_its_corpus_is_judged_and_one_that_names_it_otherwise_than_in_text_is_refused(
    quick_train: Callable[..., int], small_corpus: Path, tmp_path: Path
) -> None:
    assert quick_train("data.fold=1/2", "trainer.max_epochs=1") == 0
    [path] = (tmp_path / "runs").glob("*/last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["hyper_parameters"]["corpus"] == Corpus(small_corpus).fingerprint
    for corpus, good in ((None, True), (["x"], False)):
        checkpoint["hyper_parameters"]["corpus"] = corpus
        torch.save(checkpoint, path)
        if good:
            assert load_detector(path).corpus is None
        else:
            with pytest.raises(InputError, match="corpus: expected text"):
                load_detector(path)


def test_a_fold_trained_from_python_is_known_to_its_checkpoint(corpus: Corpus, tmp_path: Path) -> None:
    data = HighlightDataModule(corpus, "topic01", fold="1/2", tau=4, pairs=2)
    trainer = pl.Trainer(max_steps=1, logger=False, enable_progress_bar=False, enable_checkpointing=False)
    trainer.fit(HighlightModule(streams=data.features, topic="topic01"), data)
    trainer.save_checkpoint(tmp_path / "fold.ckpt")
    detector = load_detector(tmp_path / "fold.ckpt")
    assert (detector.fold, detector.corpus) == ("1/2", corpus.fingerprint)
    trained = {corpus.ids[video].decode() for video in (*data.positive, *data.negative)}
    assert trained.isdisjoint(evaluate(detector, corpus).report.measures["youtube/trapezoid"].videos["topic01"])
