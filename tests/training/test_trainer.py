"""What Lightning's Trainer and callbacks are asked for has its effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from highlight_lit.data.batch import Bags
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.errors import InputError
from highlight_lit.evaluation.scores_csv import read_scores
from highlight_lit.inference.loading.load import load_detector
from highlight_lit.training.module import HighlightModule
from highlight_lit.untrusted.checkpoint_file import read_checkpoint
from tests.real_processes import ended

Train = Callable[..., int]
BATCHES = 2  # in an epoch of the small corpus, with data.pairs=4
HELD_OUT = "data.validation=0.3"
PLAIN_SGD = ["optimizer=paper", "optimizer.schedule=null", "optimizer.algorithm.momentum=0",
             "optimizer.algorithm.weight_decay=0", "optimizer.algorithm.lr=0.1"]  # fmt: skip


def weights(folder: Path, name: str = "last.ckpt") -> dict[str, Tensor]:
    return read_checkpoint(folder / name)["state_dict"]


def moved(one: Path, other: Path) -> float:
    """The largest difference of two runs' weights."""
    theirs = weights(other)
    return max(float((value - theirs[name]).abs().max()) for name, value in weights(one).items())


def test_clipped_gradients_move_weights_no_further_than_they_may(trained: Any) -> None:
    clips = [*PLAIN_SGD, "trainer.gradient_clip_val=1e-3"]
    _, clipped = trained("clipped", *clips)
    _, first = trained("first", *clips, "trainer.max_steps=1")
    _, free = trained("free", *PLAIN_SGD)
    assert 0 < moved(clipped, first) <= 3 * 0.1 * 1e-3
    assert moved(free, first) > 3 * 0.1 * 1e-3


def test_accumulated_batches_make_one_step(trained: Any) -> None:
    record, _ = trained("runs", "trainer.accumulate_grad_batches=2")
    assert (record["epochs"], record["steps"]) == (2, 2 * BATCHES // 2)


def test_a_limit_of_batches_holds(trained: Any) -> None:
    record, _ = trained("runs", "trainer.limit_train_batches=1", "trainer.max_epochs=3")
    assert (record["epochs"], record["steps"]) == (3, 3)


def test_training_that_ends_after_a_time_or_a_number_of_steps_is_recorded(trained: Any) -> None:
    for words in (
        ["trainer.max_time=00:00:00:01"],
        ["callbacks=[last,timer]", "callbacks.timer.duration={seconds: 1}"],
    ):
        record, folder = trained(words[0], *words, "trainer.max_epochs=100000")
        assert record["steps"] == read_checkpoint(folder / "last.ckpt")["global_step"] < 100000 * BATCHES
    record, folder = trained("steps", "trainer.max_steps=3", "trainer.max_epochs=100000")
    assert record["steps"] == read_checkpoint(folder / "last.ckpt")["global_step"] == 3


def test_the_same_batches_again_and_again(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Bags] = []
    step = HighlightModule.training_step

    def watched(self: HighlightModule, bags: Bags, batch: int) -> Tensor:
        seen.append(bags)
        return step(self, bags, batch)

    monkeypatch.setattr(HighlightModule, "training_step", watched)
    trained("runs", "trainer.overfit_batches=1", "trainer.max_epochs=4")
    assert len(seen) == 4
    assert all(torch.equal(bags.mask, seen[0].mask) for bags in seen)
    assert all(torch.equal(bags.visual, seen[0].visual) for bags in seen)  # type: ignore[arg-type]


def test_a_profile_is_shown(small_corpus: Path, tmp_path: Path) -> None:
    words = [f"data.root={small_corpus}", f"out={tmp_path}", "topic=topic01", "tau=8", "model.d=8", "debug=profile"]
    status, said = ended("train", *words)
    assert status == 0
    assert any("run_training_batch" in line for line in said)


def test_early_stopping_ends_training_and_the_last_checkpoint_is_the_last(trained: Any) -> None:
    record, folder = trained("runs", HELD_OUT, "callbacks=[last,progress,early_stopping]", "trainer.max_epochs=50",
                             "callbacks.early_stopping.patience=2", "callbacks.early_stopping.min_delta=100")  # fmt: skip
    assert record["epochs"] == 3
    checkpoint = read_checkpoint(folder / "last.ckpt")
    assert checkpoint["global_step"] == record["steps"]
    assert [epoch["epoch"] for epoch in checkpoint["progress"]["history"]] == [0, 1, 2]
    assert set(record["losses"]) >= {"train/loss", "val/loss", "val/bag_accuracy", "val/bag_auroc"}


def test_the_best_epoch_is_evaluated_and_the_record_says_which(trained: Any, small_corpus: Path) -> None:
    record, folder = trained("runs", HELD_OUT, "callbacks=[last,best_checkpoint]", "trainer.max_epochs=6",
                             "optimizer.algorithm.lr=0.3")  # fmt: skip
    losses = [epoch["val/loss"] for epoch in read_checkpoint(folder / "last.ckpt")["progress"]["history"]]
    best = min(range(6), key=losses.__getitem__)
    assert best < 5  # else this shows nothing
    kept = record["kept"]
    assert (kept["checkpoint"], kept["epoch"], kept["monitor"]) == ("best.ckpt", best, "val/loss")
    assert kept["value"] == pytest.approx(losses[best])
    assert_scored_with(folder / "best.ckpt", folder, small_corpus)


def assert_scored_with(checkpoint: Path, folder: Path, corpus: Path) -> None:
    """The run's scores are those of a checkpoint."""
    detector, videos = load_detector(checkpoint), Corpus(corpus)
    for name, scores in read_scores(folder / "scores.csv").items():
        video = videos.index(name)
        assert video is not None
        z = detector.logits(videos.rows(video, "visual"), videos.rows(video, "audio"))
        assert z == pytest.approx(scores.logit, abs=1e-4)


def test_averaged_weights_are_those_that_are_kept_and_evaluated(trained: Any, small_corpus: Path) -> None:
    _, plain = trained("plain")
    _, folder = trained("averaged", "callbacks=[last,weight_averaging]", "callbacks.weight_averaging.decay=0.9")
    assert moved(plain, folder) > 1e-4
    assert_scored_with(folder / "last.ckpt", folder, small_corpus)


def test_the_mean_of_the_last_epochs_is_kept_and_evaluated(
    trained: Any, small_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[dict[str, Tensor]] = []

    def watched(self: HighlightModule) -> None:
        began.append({name: value.detach().clone() for name, value in self.named_parameters()})

    monkeypatch.setattr(HighlightModule, "on_train_epoch_start", watched)
    _, folder = trained("swa", "callbacks=[last,swa]", "callbacks.swa.swa_epoch_start=2", "trainer.max_epochs=5")
    kept = weights(folder)
    for name in began[0]:
        assert torch.allclose(kept[name], torch.stack([each[name] for each in began[1:]]).mean(0), atol=1e-6)
    assert any(not torch.allclose(kept[name], began[-1][name], atol=1e-4) for name in began[0])
    assert_scored_with(folder / "last.ckpt", folder, small_corpus)


def test_the_learning_rate_is_the_one_given_and_a_finder_is_refused(trained: Any) -> None:
    _, folder = trained("given", "optimizer.algorithm.lr=0.0123", "trainer.max_epochs=1")
    assert read_checkpoint(folder / "last.ckpt")["optimizer_states"][0]["param_groups"][0]["lr"] == 0.0123
    for finder in ("LearningRateFinder", "BatchSizeFinder"):
        with pytest.raises(InputError, match=f"{finder} changes what the run is named by; expected optimizer"):
            trained(finder, f"+callbacks.finder={{_target_: pytorch_lightning.callbacks.{finder}}}")


def test_videos_are_held_out_by_the_seed_and_never_trained_on(corpus: Corpus) -> None:
    def data(**options: Any) -> HighlightData:
        return HighlightData(corpus, "topic01", ("visual", "audio"), tau=8, pairs=4, store="resident", **options)

    whole, parts = data(), data(validation=0.25)
    assert parts.held_out is not None
    for kind in ("positive", "negative"):
        kept, held = getattr(parts, kind).tolist(), getattr(parts.held_out, kind).tolist()
        assert sorted([*kept, *held]) == getattr(whole, kind).tolist()
        assert len(held) == max(1, round(0.25 * len(getattr(whole, kind))))
    assert data(validation=0.25).held_out.positive.tolist() == parts.held_out.positive.tolist()  # type: ignore[union-attr]
    draws = {tuple(data(validation=0.25, seed=seed).held_out.positive) for seed in range(8)}  # type: ignore[union-attr]
    assert len(draws) > 1
    drawn = {int(video) for epoch in range(5) for draw in parts.plan.draws(epoch) for video in draw.video}
    assert drawn == {*parts.positive.tolist(), *parts.negative.tolist()}
    one, other = (next(iter(loader)) for loader in (parts.val_dataloader()[0],) * 2)
    assert torch.equal(one.visual, other.visual)
    with pytest.raises(InputError, match="data.validation=0.99 holds out .* expected some to train on"):
        data(validation=0.99)


def test_holding_out_none_changes_no_weight(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation itself draws nothing that training would have drawn."""
    _, held = trained("held", HELD_OUT)
    monkeypatch.setattr(HighlightData, "val_dataloader", lambda self: [])
    _, blind = trained("blind", HELD_OUT)
    assert moved(held, blind) == 0.0
