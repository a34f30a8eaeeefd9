"""Makes the Lightning Trainer of a run, of the node `trainer`, its callbacks and loggers, and where its processes are."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.loggers import Logger

from highlight_lit.config.build import build
from highlight_lit.training.checkpoint.atomic_io import AtomicCheckpointIO


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
