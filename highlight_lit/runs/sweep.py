"""Hydra's callback for runs and sweeps: a line a run as it ends, then the table of all cells and the cells that failed."""

from __future__ import annotations

import math
import os
import re
import socket
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from highlight_lit.config.compose_cache import CachedConfigLoader
from highlight_lit.errors import InputError
from highlight_lit.files import read_json, remove_other, remove_tree, write_json
from highlight_lit.launch import SWEEP_FILE
from highlight_lit.processes.ending_jobs import HERE, conducted
from highlight_lit.processes.locks import alive
from highlight_lit.processes.signals import Signals
from highlight_lit.runs.names import forget_words, share_words
from highlight_lit.runs.record_schema import check
from highlight_lit.runs.run_line import run_line
from highlight_lit.runs.sweep_table import heading, sweep_table
from highlight_lit.text import columns, say, say_table

# Names the folder in which the jobs of a sweep leave their notes, whatever process or machine runs them.
_NOTES = "HIGHLIGHT_LIT_SWEEP"
_WHOLE = "whole"  # a file beside the notes until a job could not write: to remove it takes no room
_AGAIN = "the same command makes the table of all cells"
_MEND = f"make room: {_AGAIN}"


def _keep(error: Exception) -> None:
    """Keep an error for the end of the command."""
    Sweep.error = error
    if _NOTES in os.environ:
        with suppress(OSError):
            Path(os.environ[_NOTES], _WHOLE).unlink()


@contextmanager
def _kept_error() -> Iterator[None]:
    """Keep what is raised, of a full disk or a damaged note say, for the end of the command: Hydra only warns of it."""
    try:
        yield
    except Exception as error:
        _keep(error)


class Sweep(Callback):
    """Hydra callback. Jobs may run in other processes (joblib, submitit, ray), so each leaves a note in a shared folder.

    Attributes:
        signals: Of this process, while a command is under way.
        outcome: The record of the run that has just ended in this process, or how it failed.
        failures: What failed in the last sweep of this process: the cells by their error.
        error: What a single run of this process raised, or what was raised here: Hydra only warns of it.
    """

    signals: ClassVar[Signals]
    outcome: ClassVar[dict[str, Any]]
    failures: ClassVar[dict[str, list[str]]] = {}
    error: ClassVar[Exception | None] = None
    _open: ClassVar[ExitStack] = ExitStack()

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forget the run before."""
        Sweep.failures, Sweep.error = {}, None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the folder of notes, beside the results so that other machines see it."""
        Sweep.failures, Sweep.error = {}, None
        if (hydra := GlobalHydra.instance().hydra) is not None:  # this sweep's
            hydra.config_loader = CachedConfigLoader(hydra.config_loader)  # type: ignore[assignment]
        out, prefix = Path(config.out).resolve(), f".sweep-{socket.gethostname()}-"
        try:
            out.mkdir(parents=True, exist_ok=True)
            remove_other(Path(config.hydra.sweep.dir) / SWEEP_FILE)
            os.environ[_NOTES] = tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=out)
            Path(os.environ[_NOTES], _WHOLE).touch()
            share_words(config.hydra.overrides.task)
        except OSError as error:  # a callback cannot stop Hydra, which writes to the same folder next
            _keep(InputError(f"{config.out}: no table of the sweep ({error.strerror}); {_MEND}"))
            return
        for left in out.glob(".sweep-*"):
            owner = re.fullmatch(rf"{re.escape(prefix)}(\d+)-[^-]*", left.name)
            if owner is not None and not alive(int(owner[1])):  # it was killed
                remove_tree(left)
        if not config.hydra.launcher._target_.endswith(HERE):
            Sweep._open.enter_context(conducted(Path(os.environ[_NOTES]), Sweep.signals))

    @_kept_error()
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Print the run's line and leave a note of it."""
        if job_return.status != JobStatus.COMPLETED:
            return
        record = Sweep.outcome
        overrides = " ".join(job_return.overrides or [])
        notes = Path(os.environ[_NOTES]) if _NOTES in os.environ else None
        if (error := record.pop("exception", None)) is not None:
            Sweep.error = error
        elif record["status"] == "failed":
            if notes is None or record["error"] not in [noted.get("error") for noted in _read(notes)]:
                say(f"failed: {overrides}: {record['error']}", file=sys.stderr)
        elif record["status"] == "done":
            with _kept_error():  # and the note is left all the same
                say(run_line(record, job_return.overrides if notes is not None else ()))
        if notes is not None and notes.is_dir():
            try:
                write_json(notes / f"{config.hydra.job.num:06d}.json", {"overrides": overrides, **record})
            except InputError as error:  # Hydra only warns, and the table would be one of fewer cells
                say(f"not in the sweep's table: {overrides}", file=sys.stderr)
                _keep(InputError(f"{error}; {_MEND}"))

    @staticmethod
    def close() -> None:
        """End what goes on as long as a sweep does, and remove its notes."""
        Sweep._open.close()
        forget_words()
        if (notes := os.environ.pop(_NOTES, None)) is not None:
            remove_tree(Path(notes))

    @_kept_error()
    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table over all cells of the sweep, done now or before."""
        if _NOTES not in os.environ:
            return
        notes = Path(os.environ[_NOTES])
        records = _read(notes)
        if Sweep.error is None and not (notes / _WHOLE).exists():  # a job of another process kept an error
            Sweep.error = InputError(f"{config.out}: not all cells could write their lines and notes; {_MEND}")
        self.close()
        if Sweep.signals.received is not None:
            return
        failures = defaultdict(list)
        for record in records:
            if record["status"] != "done":
                failures[record["error"]].append(record["overrides"])
        Sweep.failures = dict(failures)
        done = [record for record in records if record["status"] == "done"]
        judged = [record for record in done if math.isfinite(record.get("value", math.nan))]
        if judged:
            metric = config.optimized_metric
            direction = config.hydra.sweeper.get("direction") or ("minimize" if "loss" in metric else "maximize")
            best = (min if direction == "minimize" else max)(judged, key=lambda record: record["value"])
            say(f"best of {len(judged)} by {metric}: {best['value']:.6g} with {best['overrides']}")
        runs = list({record["id"]: record for record in done}.values())  # two cells may be the same run
        if any("evaluation" in record for record in runs):
            say("", heading(runs))
            say_table(sweep_table(runs, columns()))


def _read(notes: Path) -> list[dict[str, Any]]:
    try:
        return [read_note(path) for path in sorted(notes.glob("*.json"))]
    except InputError as error:
        raise InputError(f"{error}; {_AGAIN}") from error


def read_note(path: Path) -> dict[str, Any]:
    """What a job of a sweep has noted of its run: its words, and the record, or the error alone.

    Raises:
        InputError: It is damaged.
    """
    note = read_json(path, "a note of a sweep")
    if not isinstance(note, dict) or type(note.get("overrides")) is not str:
        raise InputError(f"{path}: expected a note of a sweep")
    if note.get("status") == "done":
        check(note, path)
    elif type(note.get("error")) is not str:
        raise InputError(f"{path}: error: expected text")
    return note
