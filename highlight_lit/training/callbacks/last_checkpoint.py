"""When `last.ckpt` is written, so that a run can be stopped anywhere (`training.checkpoint`: what it holds, how a run goes on)."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from highlight_lit.errors import Interrupted
from highlight_lit.processes.signals import Signals
from highlight_lit.training.checkpoint.contents import read_time_spent, time_spent


class LastCheckpoint(Checkpoint):
    """Keeps `last.ckpt`: every so many steps, every so many minutes, on a signal, and at the end of training.

    What falls due on the last batch of an epoch is written once the epoch is over: a run resumed from it goes on with
    the next one.

    Args:
        path: The file.
        signals: Where a signal to stop is noted.
        steps: Steps between two checkpoints; None: not by steps.
        minutes: Minutes between two; None: not by time.

    Attributes:
        seconds: Spent in training so far, over all the processes the run has had.
        began: Whether training has begun, in this process: what it goes on from is restored then.
        stacked: How many cells its training was stacked of (`training.stacked`), 1 if it was not.
    """

    def __init__(self, path: Path, signals: Signals, steps: int | None = None, minutes: float | None = 5.0) -> None:
        self.path, self.steps, self.minutes, self.signals = path, steps, minutes, signals
        self.seconds, self.stacked, self.began, self._between_epochs = 0.0, 1, False, False
        self._resumed_at = self._saved_at = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let signals wait for the end of their step from now on."""
        self.began = True
        self._resumed_at = self._saved_at = time.monotonic()
        self.signals.install()
        self.signals.deferred = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save in the middle of an epoch, but not of batches whose gradients are added up: those are not kept."""
        if not trainer.is_last_batch and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save between two epochs."""
        self._between_epochs = True
        self._save_if_due(trainer)
        self._between_epochs = False

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say whose it is; between two epochs, have the next one begin at its first batch.

        Where `trainer.max_steps` is set, Lightning would go on in the epoch that is over, find no batch in it, and leave
        out the next one.
        """
        checkpoint["run"] = self.path.parent.name
        if self._between_epochs and trainer.max_steps != -1:
            loop = checkpoint["loops"]["fit_loop"]
            for epochs in (loop["epoch_progress"]["total"], loop["epoch_progress"]["current"]):
                epochs["completed"] = epochs["processed"]
            batches = loop["epoch_loop.batch_progress"]
            batches |= {"current": dict.fromkeys(batches["current"], 0), "is_last_batch": False}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the weights that training ends with, whatever ended it; from here on there is nothing to save."""
        self._save_if_due(trainer, last=True)
        self.signals.deferred = False

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Let signals act at once again when training ends early."""
        self.signals.deferred = False

    def _save_if_due(self, trainer: pl.Trainer, last: bool = False) -> None:
        by_steps = self.steps is not None and trainer.global_step % self.steps == 0
        by_time = self.minutes is not None and time.monotonic() - self._saved_at >= 60 * self.minutes
        stop = self.signals.received is not None
        due = last or by_steps or by_time or stop
        if trainer.world_size > 1:  # ranks must agree: saving waits for all of them
            due, stop = (trainer.strategy.reduce_boolean_decision(decision, all=False) for decision in (due, stop))
        if due:
            self._count_seconds()
            trainer.save_checkpoint(self.path)
            self._saved_at = time.monotonic()
        if stop:
            raise Interrupted(self.signals.received or signal.SIGTERM)

    def _count_seconds(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._resumed_at
        self._resumed_at = now

    def state_dict(self) -> dict[str, Any]:
        """What goes into the checkpoint."""
        return time_spent(self.seconds, self.stacked)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the seconds of training so far."""
        self.seconds, self.stacked = read_time_spent(state_dict)
