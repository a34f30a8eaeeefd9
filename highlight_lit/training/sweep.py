"""What a sweep says of itself: a line a run as it ends, then the table of all cells and the list of those that failed."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from highlight_lit.files import write_json
from highlight_lit.text import columns, say, say_table
from highlight_lit.training import summary
from highlight_lit.training.ledger import read_note

# Names the folder in which the jobs of a sweep leave their notes, whatever process or machine runs them.
_NOTES = "HIGHLIGHT_LIT_SWEEP"


class Sweep(Callback):
    """Hydra callback. Jobs may run in other processes (joblib, submitit), so each leaves a note in a shared folder.

    Attributes:
        failures: What failed in the last sweep of this process, a line each.
        error: What a single run of this process raised.
    """

    failures: ClassVar[list[str]] = []
    error: ClassVar[Exception | None] = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forget the run before."""
        Sweep.failures, Sweep.error = [], None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the folder of notes, beside the results so that other machines see it."""
        out = Path(config.out).resolve()
        out.mkdir(parents=True, exist_ok=True)
        here = f".sweep-{socket.gethostname()}-"
        for left in out.glob(".sweep-*"):
            owner = re.fullmatch(rf"{re.escape(here)}(\d+)-[^-]*", left.name)
            if owner is not None and not _alive(int(owner[1])):  # it was killed
                shutil.rmtree(left, ignore_errors=True)
        os.environ[_NOTES] = tempfile.mkdtemp(prefix=f"{here}{os.getpid()}-", dir=out)
        Sweep.failures, Sweep.error = [], None

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Print the run's line and leave a note of it."""
        if job_return.status != JobStatus.COMPLETED:
            return
        record = job_return.return_value
        overrides = " ".join(job_return.overrides or [])
        if (error := record.pop("exception", None)) is not None:
            Sweep.error = error
        elif record["status"] == "failed":
            say(f"failed: {overrides}: {record['error']}", file=sys.stderr)
        else:
            say(summary.line(record))
        if _NOTES in os.environ:
            write_json(
                Path(os.environ[_NOTES]) / f"{config.hydra.job.num:06d}.json", {"overrides": overrides, **record}
            )

    @staticmethod
    def discard_notes() -> None:
        """Remove what a sweep that does not reach its end has noted."""
        if (notes := os.environ.pop(_NOTES, None)) is not None:
            shutil.rmtree(notes, ignore_errors=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the table over all cells of the sweep, done now or before."""
        notes = Path(os.environ[_NOTES])
        records = [read_note(path) for path in sorted(notes.glob("*.json"))]
        self.discard_notes()
        Sweep.failures = [f"{r['overrides']}: {r['error']}" for r in records if r["status"] == "failed"]
        done = [record for record in records if record["status"] == "done"]
        if any("evaluation" in record for record in done):
            say("", summary.heading(done))
            say_table(summary.sweep_table(done, columns()))


def _alive(process: int) -> bool:
    """Whether a process of this machine still is."""
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True
