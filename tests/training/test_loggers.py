"""Loggers, several at once, have every epoch of a run once, also of one that was stopped and went on."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from highlight_lit.errors import Interrupted
from tests.training.test_resume import EPOCHS, Watched
from tests.training.test_trainer import BATCHES, HELD_OUT

LAST_STEPS = [BATCHES * epoch - 1 for epoch in range(1, EPOCHS + 1)]


@pytest.fixture(params=[(), (1, 2)], ids=["unbroken", "stopped twice"])
def run(request: pytest.FixtureRequest, trained: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Train three epochs, stopped by a signal in some steps; the record and folder at the end."""

    def go(*words: str) -> tuple[dict[str, Any], Path]:
        watched = Watched(monkeypatch)
        watched.stop_at = set(request.param)
        for _ in request.param:
            with pytest.raises(Interrupted):
                trained("runs", *words, f"trainer.max_epochs={EPOCHS}")
        return trained("runs", *words, f"trainer.max_epochs={EPOCHS}")

    return go


def test_several_loggers_have_every_epoch_once(run: Any) -> None:
    record, folder = run(HELD_OUT, "logger=[wandb,csv]", "callbacks=[last,lr_monitor]")
    with open(folder / "csv" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows if row["train/loss"]] == ["0", "1", "2"]
    assert all(row["val/loss"] for row in rows if row["train/loss"])
    assert [row["lr"] for row in rows if row["train/loss"]] == ["0.001"] * EPOCHS
    primary = record["evaluation"]["primary"]
    assert [float(row[primary]) for row in rows if row.get(primary)] == [
        pytest.approx(record["evaluation"]["measures"][primary]["mean"])
    ]
    assert len(list(folder.parent.glob("wandb/offline-run-*"))) == 1


def test_the_learning_rate_monitor_logs_its_own(trained: Any) -> None:
    _, folder = trained("runs", "logger=csv", "callbacks=[last,lr_monitor]", "optimizer.algorithm.lr=0.0123")
    with open(folder / "csv" / "metrics.csv", newline="") as file:
        assert [row["lr-AdamW"] for row in csv.DictReader(file) if row["lr-AdamW"]] == ["0.0123"] * 2


def test_tensorboard_has_every_epoch(run: Any) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, folder = run("logger=tensorboard")
    found = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert [event.step for event in found.Scalars("train/loss")] == LAST_STEPS


def test_mlflow_has_every_epoch_and_the_measures(run: Any, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    pytest.importorskip("sqlalchemy", reason="needs the extra mlflow")
    store = f"sqlite:///{tmp_path}/mlflow.db"
    record, _ = run("logger=mlflow", f"logger.mlflow.tracking_uri='{store}'")
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("highlight-lit")
    [found] = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert [metric.step for metric in client.get_metric_history(found.info.run_id, "train/loss")] == LAST_STEPS
    primary = record["evaluation"]["primary"]
    assert found.data.metrics[primary] == pytest.approx(record["evaluation"]["measures"][primary]["mean"])
