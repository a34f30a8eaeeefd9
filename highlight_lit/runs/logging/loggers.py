"""The loggers of a run, any of Lightning's and several at once; whatever one of them does, the run goes on.

The record is the truth for tables; a logger is told, and never asked. A logger may have, beside Lightning's methods:

- `starts_anew`: whether a process that goes on with a run finds nothing of what was logged before.
- `conclude(measures, step)`: takes the measures of a run that is done.
- `report(record, folder)`: takes the record of a run that is done, and the folder of its files.
- `end_run(exit_code)`: closes the run.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import CSVLogger, Logger

from highlight_lit.config.build import build, check_node
from highlight_lit.errors import InputError, with_kind
from highlight_lit.text import say

# Methods whose failure may not end a run.
_CALLS = (
    "log_metrics", "log_hyperparams", "log_graph", "save", "finalize", "after_save_checkpoint", "conclude", "report", "end_run",
)  # fmt: skip


def check_loggers(config: Mapping[str, Any]) -> None:
    """Refuse nodes of loggers that name no class, or what it does not take.

    Raises:
        InputError: Names the node and the argument.
    """
    for name, node in _nodes(config).items():
        check_node(node, f"logger.{name}")
        if node["_target_"].endswith(".wandb_logger"):
            from highlight_lit.runs.logging.tracking import chosen_mode

            chosen_mode(node["mode"])


def _nodes(config: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: node for name, node in config["logger"].items() if isinstance(node, Mapping) and "_target_" in node}


@contextmanager
def opened(config: Mapping[str, Any], folder: Path, run_id: str) -> Iterator[list[Logger]]:
    """The loggers of a resolved configuration; their runs are closed on leaving: exit code 0, or 1 if anything was raised.

    A logger that cannot be opened is a line on standard error.

    Args:
        config: The configuration.
        folder: The run's, where loggers keep their files.
        run_id: The run's identity.
    """
    loggers = []
    for name, node in _nodes(config).items():
        make = functools.partial(build, node, f"logger.{name}", save_dir=folder, run_id=run_id, config=config)
        logger = attempt(f"logger.{name} could not be opened; goes on without", _in_own_folder, make, node, folder)
        if logger is not None:
            loggers.append(tolerant(logger))
    exit_code = 1
    try:
        yield loggers
        exit_code = 0
    finally:
        for logger in loggers:
            if hasattr(logger, "end_run"):
                logger.end_run(exit_code=exit_code)


def _in_own_folder(make: Callable[[], Any], node: Mapping[str, Any], folder: Path) -> Any:
    """Make a logger. Lightning's write to names that others can guess, and would follow a link and wait for a pipe.

    Raises:
        InputError: Something else than files and folders is in the logger's folder, or in its place.
    """
    if isinstance(name := node.get("name"), str):
        for path in (folder / name, *(folder / name).rglob("*")):
            if os.path.lexists(path) and not (stat.S_ISREG(mode := path.lstat().st_mode) or stat.S_ISDIR(mode)):
                raise InputError(
                    f"{path}: a link, a pipe or a device; expected a file or a folder of this run: remove it"
                )
    return make()


def mlflow_logger(run_id: str, tracking_uri: str, experiment_name: str, run_name: str | None = None) -> Logger:
    """A logger to MLflow, which names its runs itself: a run that is resumed is found by the tag `highlight_lit.run`.

    Args:
        run_id: The run's identity.
        tracking_uri, experiment_name, run_name: As MLflow takes them.
    """
    from mlflow import MlflowClient
    from pytorch_lightning.loggers import MLFlowLogger

    client, known = MlflowClient(tracking_uri), None
    if (experiment := client.get_experiment_by_name(experiment_name)) is not None:
        runs = client.search_runs([experiment.experiment_id], f"tags.`highlight_lit.run` = '{run_id}'", max_results=1)
        known = runs[0].info.run_id if runs else None
    tags = {"highlight_lit.run": run_id}
    return MLFlowLogger(experiment_name, run_name, tracking_uri, tags, run_id=known)


def start_anew(logger: Logger) -> bool:
    """Whether a run that goes on must be told to a logger from its first epoch on."""
    return bool(getattr(logger, "starts_anew", isinstance(logger, CSVLogger)))


def conclude(
    loggers: Sequence[Logger], measures: Mapping[str, float], step: int, record: Mapping[str, Any], folder: Path
) -> None:
    """Tell the loggers the measures of a run that is done, and its record."""
    for logger in loggers:
        if hasattr(logger, "conclude"):
            logger.conclude(measures, step)
        elif measures:
            logger.log_metrics(dict(measures), step)
            logger.save()
        if hasattr(logger, "report"):
            logger.report(record, folder)


def tolerant(logger: Logger) -> Logger:
    """The logger, whose failures are a line on standard error, the first of them alone, and never an exception."""
    failed: list[Exception] = []

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def tried(*arguments: Any, **named: Any) -> Any:
            try:
                return call(*arguments, **named)
            except Exception as error:
                if not failed:
                    _warn(f"{type(logger).__name__} failed; training goes on", error)
                failed.append(error)
                return None

        return tried

    for name in _CALLS:
        if hasattr(logger, name):
            setattr(logger, name, guarded(getattr(logger, name)))
    return logger


def attempt(what: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns; None, and a line that says what and why, if it fails."""
    try:
        return call(*arguments)
    except Exception as error:
        _warn(what, error)
        return None


def _warn(what: str, error: Exception) -> None:
    say(f"highlight-lit: {what} ({with_kind(error)})", file=sys.stderr)
