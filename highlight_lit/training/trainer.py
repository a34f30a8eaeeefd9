"""The Lightning Trainer of a run, its callbacks among its arguments, from their nodes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.callbacks import BatchSizeFinder, LearningRateFinder, ModelCheckpoint, ProgressBar
from pytorch_lightning.loggers import Logger

from highlight_lit.config.build import build
from highlight_lit.errors import InputError
from highlight_lit.signals import Signals
from highlight_lit.training.callbacks.last_checkpoint import LastCheckpoint
from highlight_lit.training.checkpoint.atomic_io import AtomicCheckpointIO
from highlight_lit.untrusted.checkpoint_file import NAME


def make_callbacks(config: Mapping[str, Any], folder: Path, signals: Signals) -> list[pl.Callback]:
    """The callbacks of a resolved configuration; the one that writes `last.ckpt` is always among them.

    Args:
        config: The configuration.
        folder: The run's.
        signals: Where a signal to stop is noted.

    Raises:
        InputError: A node that is none, or whose class does not take an argument or its value.
    """
    given: dict[str, Any] = {"path": folder / NAME, "signals": signals, "dirpath": str(folder)}
    nodes = {name: node for name, node in config["callbacks"].items() if node is not None}
    callbacks = [build(_node(node, name), f"callbacks.{name}", **given) for name, node in nodes.items()]
    if not any(isinstance(each, LastCheckpoint) for each in callbacks):
        callbacks.append(LastCheckpoint(folder / NAME, signals, **config["checkpoint"]))
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


def make_trainer(
    config: Mapping[str, Any],
    place: ClusterEnvironment,
    folder: Path,
    callbacks: Sequence[pl.Callback],
    loggers: Sequence[Logger] = (),
) -> pl.Trainer:
    """The trainer of a resolved configuration.

    Args:
        config: The configuration.
        place: Which of how many processes this is.
        folder: The run's.
        callbacks: As `make_callbacks` gives them.
        loggers: Those that are open.

    Raises:
        InputError: An argument that Lightning does not take, or not with this value or on this machine.
    """
    quiet_lightning()
    node = dict(config["trainer"])
    if not any(isinstance(each, ProgressBar) for each in callbacks):
        node["enable_progress_bar"] = False  # Lightning would add a bar of its own, to files too
    further = [build(each, "trainer.plugins") for each in node.pop("plugins", None) or ()]
    trainer: pl.Trainer = build(
        node,
        "trainer",
        callbacks=list(callbacks),
        logger=list(loggers) or False,
        default_root_dir=folder,
        plugins=[AtomicCheckpointIO(), place, *further],
    )
    return trainer


def best_checkpoint(trainer: pl.Trainer) -> ModelCheckpoint | None:
    """The callback that has kept the checkpoint with the best measure, if one has."""
    for each in trainer.checkpoint_callbacks:
        if isinstance(each, ModelCheckpoint) and each.monitor and each.best_model_path:
            return each
    return None


def quiet_lightning() -> None:
    """Silence what Lightning says that does not concern the user of this package."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning.profilers.profiler").setLevel(logging.INFO)  # a profile is what was asked for
    for message in (
        ".*does not have many workers.*",
        ".*`training_step` returned.*",
        ".*LeafSpec.*",
        ".*no `val_dataloader`.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*Experiment logs directory .* exists and is not empty.*",
        ".*`overfit_batches`.*",
        ".*Total length of `list` across ranks is zero.*",
        ".*functional.all_gather is deprecated.*",
        ".*The dirpath has changed from.*",
    ):
        warnings.filterwarnings("ignore", message)
