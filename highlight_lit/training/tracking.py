"""The only file that knows W&B: one run a cell, closed with its exit code. Whatever W&B does, the run goes on.

W&B's own variables: WANDB_MODE and WANDB_DISABLED count where `logger.mode` is null, WANDB_PROJECT where
`logger.project` is. A run's id, name and folder are its own, so WANDB_RUN_ID, WANDB_NAME, WANDB_RESUME and WANDB_DIR
are not heeded.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from highlight_lit.errors import InputError
from highlight_lit.text import say
from highlight_lit.training import privacy

PROJECT = "highlight-lit"
# W&B's words for them, the old ones too.
_MODES = {"online": "online", "run": "online", "offline": "offline", "dryrun": "offline", "disabled": "disabled"}
_CALLS = ("log_metrics", "log_hyperparams", "log_graph", "save", "finalize", "after_save_checkpoint")
# How long W&B may hold up a run: when it begins, when it ends, and in tries to send.
_PATIENCE_S = {"init_timeout": 30, "finish_timeout": 60}


def chosen_mode(options: Mapping[str, Any]) -> str:
    """`online`, `offline` or `disabled`.

    Raises:
        InputError: WANDB_MODE is none of these.
    """
    if options["mode"] is not None:
        return str(options["mode"])
    if os.environ.get("WANDB_DISABLED", "").lower() in ("1", "true", "yes", "on"):
        return "disabled"
    given = os.environ.get("WANDB_MODE") or "offline"
    if given.lower() not in _MODES:
        raise InputError(f"WANDB_MODE={given}: expected online, offline or disabled, or logger.mode=... in its place")
    return _MODES[given.lower()]


@contextmanager
def tracked(
    options: Mapping[str, Any], folder: Path, run_id: str, config: Mapping[str, Any]
) -> Iterator[pl.loggers.Logger | None]:
    """Yield a logger whose W&B run is closed on leaving: exit code 0, or 1 if anything was raised.

    Where W&B cannot be reached, has no key, or fails in any other way, a line says so and the run goes on, logged
    offline if that is possible.

    Args:
        options: `mode` (disabled yields None and imports nothing), `project`, `group`, `private` (W&B is told nothing of
            the machine).
        folder: Where W&B keeps the run's files.
        run_id: The run's identity, its id in W&B too, so that a resumed run goes on in the same one.
        config: What to keep as the run's config.
    """
    mode = chosen_mode(options)
    run = None
    if mode == "online":
        run = _attempt("online; goes on offline", _begin, mode, options, folder, run_id, config)
    if mode == "offline" or (mode == "online" and run is None):
        run = _attempt("offline; goes on without", _begin, "offline", options, folder, run_id, config)
    logger = run and _attempt("as a logger; goes on without", once, run)
    exit_code = 1
    try:
        yield logger and tolerant(logger)
        exit_code = 0
    finally:
        if run is not None:
            _attempt("to its end", run.finish, exit_code=exit_code)


def _begin(mode: str, options: Mapping[str, Any], folder: Path, run_id: str, config: Mapping[str, Any]) -> Any:
    """A run of W&B."""
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
    known = type(wandb.Settings()).model_fields
    patience: dict[str, Any] = {name: seconds for name, seconds in _PATIENCE_S.items() if name in known}
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True, quiet=True, **patience, **further)
    call = functools.partial(
        wandb.init,
        project=options["project"] or os.environ.get("WANDB_PROJECT") or PROJECT,
        id=run_id,
        name=f"{config['topic']} {config['modality']} seed {config['seed']}",
        group=options["group"],
        job_type="train",
        tags=[str(config[key]) for key in ("topic", "modality", "study") if config[key] is not None],
        dir=folder,
        mode="offline" if mode == "offline" else "online",
        resume="allow" if mode == "online" else "never",
        config=privacy.sent(config, options["private"]),
        settings=settings,
    )
    try:
        return call()
    except Exception:
        wandb.teardown()  # W&B's service else takes the id for one in use
        raise


def _attempt(what: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a call of W&B returns; None, and a line that says why, if it fails."""
    try:
        return call(*arguments, **named)
    except Exception as error:
        _warn(f"W&B could not be used {what}", error)
        return None


def _warn(what: str, error: Exception) -> None:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    say(f"highlight-lit: {what} ({type(error).__name__}: {first})", file=sys.stderr)


def tolerant(logger: pl.loggers.Logger) -> pl.loggers.Logger:
    """The logger, whose failures are a line on standard error, the first of them alone, and never an exception."""
    failed: list[Exception] = []

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def attempt(*arguments: Any, **named: Any) -> Any:
            try:
                return call(*arguments, **named)
            except Exception as error:
                if not failed:
                    _warn(f"{type(logger).__name__} failed; training goes on", error)
                failed.append(error)
                return None

        return attempt

    for name in _CALLS:
        setattr(logger, name, guarded(getattr(logger, name)))
    return logger


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
        _attempt("for a summary", logger.experiment.summary.update, dict(measures))  # type: ignore[attr-defined]
