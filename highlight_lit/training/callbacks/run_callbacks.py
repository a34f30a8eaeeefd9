"""Which callbacks a run has: those of `conf/callbacks`, and always the one that writes `last.ckpt`.

A cell with others than that one and a progress bar is not trained in a stack (`stacked.cells.why_alone`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import BatchSizeFinder, LearningRateFinder, ModelCheckpoint, ProgressBar

from highlight_lit.config.build import build
from highlight_lit.errors import InputError
from highlight_lit.processes.signals import Signals
from highlight_lit.training.callbacks.last_checkpoint import LastCheckpoint
from highlight_lit.untrusted.checkpoint_file import LAST_CHECKPOINT


def make_callbacks(config: Mapping[str, Any], folder: Path, signals: Signals) -> list[pl.Callback]:
    """The callbacks of a resolved configuration; the one that writes `last.ckpt` is always among them.

    Args:
        config: The configuration.
        folder: The run's.
        signals: Where a signal to stop is noted.

    Raises:
        InputError: A node that is none, or whose class does not take an argument or its value.
    """
    given: dict[str, Any] = {"path": folder / LAST_CHECKPOINT, "signals": signals, "dirpath": str(folder)}
    nodes = {name: node for name, node in config["callbacks"].items() if node is not None}
    callbacks = [build(_node(node, name), f"callbacks.{name}", **given) for name, node in nodes.items()]
    if not any(isinstance(each, LastCheckpoint) for each in callbacks):
        callbacks.append(LastCheckpoint(folder / LAST_CHECKPOINT, signals, **config["checkpoint"]))
    wanted = config["trainer"].get("enable_progress_bar") is not False
    # One that shows nothing is not made: tqdm would keep locks that a process which is killed leaves behind.
    callbacks = [
        each
        for each in callbacks
        if not isinstance(each, ProgressBar) or (wanted and not getattr(each, "is_disabled", False))
    ]
    for each in callbacks:
        if isinstance(each, LearningRateFinder | BatchSizeFinder):
            raise InputError(
                f"callbacks: {type(each).__name__} changes what the run is named by; expected optimizer.algorithm.lr and "
                "data.pairs as given, or a search (hparams_search=grid)"
            )
        watched = getattr(each, "monitor", None) or ""
        if watched.startswith("val/") and not config["data"]["validation"]:
            raise InputError(
                f"callbacks: {type(each).__name__} watches {watched}, which needs videos that are held out; "
                "expected data.validation=0.2, say"
            )
    return callbacks


def _node(node: object, name: str) -> Mapping[str, Any]:
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise InputError(f"callbacks.{name}={node}: expected a mapping with _target_")
    return node


def best_checkpoint(trainer: pl.Trainer) -> ModelCheckpoint | None:
    """The callback that has kept the checkpoint with the best measure, if one has."""
    for each in trainer.checkpoint_callbacks:
        if isinstance(each, ModelCheckpoint) and each.monitor and each.best_model_path:
            return each
    return None
