"""The only file that knows W&B: one run a cell, closed with its exit code."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from highlight_lit.errors import InputError
from highlight_lit.training import privacy


@contextmanager
def tracked(
    options: Mapping[str, Any], folder: Path, run_id: str, config: Mapping[str, Any]
) -> Iterator[pl.loggers.Logger | None]:
    """Yield a logger whose W&B run is closed on leaving: exit code 0, or 1 if anything was raised.

    Args:
        options: `mode` (`offline`, `online` or `disabled`; disabled yields None and imports nothing), `project`, `group`,
            `private` (W&B is told nothing of the machine).
        folder: Where W&B keeps the run's files.
        run_id: The run's identity, its id in W&B too, so that a resumed run goes on in the same one.
        config: What to keep as the run's config.
    """
    mode = options["mode"]
    if mode == "disabled":
        yield None
        return
    further = privacy.settings(options["private"])
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "wandb").is_symlink():
        raise InputError(
            f"{folder / 'wandb'}: a link; expected a folder, since what an ended run left there is removed"
        )
    if mode == "offline":  # what a killed process of this run left; the run logs its finished epochs again
        for left in folder.glob(f"wandb/offline-run-*-{run_id}"):
            shutil.rmtree(left, ignore_errors=True)
    os.environ.setdefault("WANDB_SILENT", "true")
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, quiet=True, **further)
    run = wandb.init(
        project=options["project"],
        id=run_id,
        name=f"{config['topic']} {config['modality']} seed {config['seed']}",
        group=options["group"],
        job_type="train",
        tags=[str(config[key]) for key in ("topic", "modality", "study") if config[key] is not None],
        dir=folder,
        mode="offline" if mode == "offline" else "online",
        resume="allow" if mode == "online" else None,
        config=privacy.sent(config, options["private"]),
        settings=settings,
    )
    exit_code = 1
    try:
        yield once(run)
        exit_code = 0
    finally:
        run.finish(exit_code=exit_code)


def once(run: Any) -> pl.loggers.Logger:
    """A logger that logs no step twice to a W&B run, though the process that logged it first was killed.

    Such a process may have logged epochs that came after its last checkpoint; its successor trains them again, to the
    same bit. A run that was resumed knows the last step it has.
    """
    from pytorch_lightning.loggers import WandbLogger

    last = int(run.summary.get("trainer/global_step", -1)) if run.resumed else -1

    class Once(WandbLogger):
        def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
            if step is None or step > last:
                super().log_metrics(metrics, step)

    return Once(experiment=run)


def summarize(logger: pl.loggers.Logger | None, measures: Mapping[str, float]) -> None:
    """Put the run's measures into its W&B summary."""
    if logger is not None:
        logger.experiment.summary.update(dict(measures))  # type: ignore[attr-defined]
