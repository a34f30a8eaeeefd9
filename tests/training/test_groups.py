"""Every option of every group is trained a step, and options of the user's own files too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from highlight_lit.errors import InputError
from highlight_lit.runs.ledger import records
from tests.config.test_config import GROUPS

Train = Callable[..., int]
NEEDS = {"tensorboard": "tensorboard", "mlflow": "mlflow"}
# Options that fit no others alone are brought, and so trained, by these: modality=audio, modality=visual, experiment=guided.
BROUGHT = [("fusion", "audio_only"), ("fusion", "visual_only"), ("loss", "ranking"), ("teacher", "recurrence_change")]
# The best of an epoch, and its end, need an epoch; a search is tried in test_search, debug below.
OPTIONS = [(group, option) for group, options in GROUPS.items() for option in options
           if group not in ("hparams_search", "debug") and (group, option) not in BROUGHT]  # fmt: skip


@pytest.mark.usefixtures("quick_first_stage")
@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_is_trained_a_step(quick_train: Train, tmp_path: Path, group: str, option: str) -> None:
    if option in NEEDS:
        pytest.importorskip(NEEDS[option], reason=f"needs the extra {option}")
    guided = (group, option) == ("experiment", "guided")  # whose first stage is a run of its own
    further = ["data.validation=0", "teacher.seeds=1", "trainer.max_steps=1"] if guided else ["data.validation=0.2"]
    words = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "model.d=4", "data.pairs=4", f"{group}={option}"]
    logger = ["logger=csv"] * (option in ("lr_monitor", "device_stats"))  # which have something to log
    assert quick_train(*words, *further, *logger) == 0
    [record] = [record for record in records(tmp_path / "runs") if ("teacher" in record) == guided]
    assert (record["status"], record["steps"]) == ("done", 1)


@pytest.mark.parametrize(("option", "steps"), [("one_batch", 1), ("one_epoch", 2), ("overfit", 8), ("profile", 2)])
def test_debugging_is_short_and_logs_nothing(quick_train: Train, tmp_path: Path, option: str, steps: int) -> None:
    short = ["trainer.max_epochs=4"] if option == "overfit" else ["trainer.max_epochs=1"]
    assert quick_train(f"debug={option}", *short) == 0
    [record] = records(tmp_path / "runs")
    assert record["steps"] == steps
    assert not list((tmp_path / "runs").glob("*/wandb"))


@pytest.mark.parametrize(
    "words", [["callbacks.early_stopping.monitor=val/los"], ["trainer.limit_val_batches=0"]], ids=["misspelt", "none"]
)
def test_a_watched_measure_that_is_not_there_is_a_line(quick_train: Train, words: list[str]) -> None:
    with pytest.raises(InputError, match="callbacks: Early stopping conditioned on metric `val/los"):
        quick_train("data.validation=0.2", "callbacks=[last,early_stopping]", *words)


def test_a_best_epoch_by_a_measure_that_is_not_there_is_a_line(quick_train: Train) -> None:
    with pytest.raises(InputError, match=r"trainer: `ModelCheckpoint\(monitor='val/los'\)` could not find"):
        quick_train(
            "data.validation=0.2", "callbacks=[last,best_checkpoint]", "callbacks.best_checkpoint.monitor=val/los"
        )


def test_what_lightning_refuses_when_it_begins_is_a_line(quick_train: Train) -> None:
    with pytest.raises(
        InputError, match="trainer: Cannot use `LearningRateMonitor` callback with `Trainer` that has no logger"
    ):
        quick_train("callbacks=[last,lr_monitor]")


@pytest.mark.parametrize("interval", ["50", "1e308"])
def test_an_interval_of_more_batches_than_an_epoch_has_is_a_line(quick_train: Train, interval: str) -> None:
    with pytest.raises(InputError, match=r"trainer: `val_check_interval` \(.*must be less than or equal to the number"):
        quick_train("data.validation=0.2", f"trainer.val_check_interval={interval}")
