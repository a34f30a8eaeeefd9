"""`highlight-lit train`: Hydra's overrides in, runs out."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from highlight_lit.config.overrides import MULTIRUN, prepared
from highlight_lit.data.corpus.manifest import read_manifest
from highlight_lit.errors import InputError, Interrupted, with_kind
from highlight_lit.launch import launch
from highlight_lit.processes import ending_jobs
from highlight_lit.processes.signals import Signals
from highlight_lit.runs.names import cell_name, known_overrides
from highlight_lit.runs.sweep import Sweep
from highlight_lit.text import say
from highlight_lit.training.distributed.variables import several_processes
from highlight_lit.training.done_before import done_before


def main(arguments: Sequence[str]) -> int:
    """Run `highlight-lit train` with Hydra's own command line.

    Args:
        arguments: Overrides and Hydra's flags (`-m`, `--cfg job`, `--help`).

    Returns:
        Exit status: 0, or 1 if a cell of a sweep failed.

    Raises:
        InputError: A key, value or corpus that cannot be used, in one line.
        Interrupted: By a signal; every cell in progress has written its checkpoint.
    """
    if set(MULTIRUN) & set(arguments):
        _check_sweep(arguments)
    with Signals() as signals:
        try:
            Sweep.signals = signals
            launch("highlight-lit train", "config", _cell, arguments)
        except Exception as error:
            if signals.received is None and isinstance(error, BrokenProcessPool):
                say("highlight-lit: a process of the sweep was killed (by hand, or out of memory); "
                    "the same command goes on with what is missing", file=sys.stderr)  # fmt: skip
                return 1
            if signals.received is None:
                raise
        finally:
            Sweep.close()
        if signals.received is not None:  # and the launcher has waited for its processes
            raise Interrupted(signals.received)
    if Sweep.error is not None:
        raise Sweep.error
    for reason, cells in Sweep.failures.items():
        say(f"{len(cells)} of the sweep's cells failed: {reason}", *(f"  {cell}" for cell in cells), file=sys.stderr)
    return 1 if Sweep.failures else 0


def _check_sweep(arguments: Sequence[str]) -> None:
    """Refuse a `data.root` that all cells of a sweep share, before there are any, and what ranks cannot share."""
    if several_processes():
        from highlight_lit.training.distributed.cluster import started_externally

        if started_externally():
            raise InputError(
                "-m: a sweep under torchrun or srun; expected one run there, or a sweep outside, whose launcher starts "
                "its jobs (hydra/launcher=submitit_slurm)"
            )
    try:
        words = [word for word in prepared(arguments) if "=" in word and not word.startswith("-")]
        overrides = OverridesParser.create().parse_overrides(words)
    except HydraException:
        return  # hydra says what is wrong
    for override in overrides:
        if override.key_or_group == "data.root" and not override.is_sweep_override():
            root = str(override.value())
            if "${" not in root:
                read_manifest(Path(root))


def _say_begins(config: DictConfig, words: Sequence[str]) -> None:
    """Say on a terminal what begins, before the seconds that importing PyTorch takes."""
    if sys.stderr.isatty():
        first = "" if sys.modules.get("torch") is not None else " (PyTorch is being loaded)"
        say(f"{cell_name(config, words)}: begins{first}", file=sys.stderr)


def _cell(config: DictConfig) -> float | None:
    """One run; the measure that a sweeper optimises, if it is to optimise one.

    What it raises is handed over beside it: Hydra would print a traceback of its own, and stop a sweep.
    """
    try:
        with ending_jobs.job():
            from highlight_lit.config.settle import settle

            words = HydraConfig.get().overrides.task
            for note in settle(config, words):
                say(f"{cell_name(config, words)}: {note}", file=sys.stderr)
            if config.optimized_metric is None and (done := done_before(config)) is not None:
                Sweep.outcome = done
                return None
            _say_begins(config, words)
            from highlight_lit.training.train import train

            with known_overrides(words):
                Sweep.outcome = train(config)
            metric = config.optimized_metric
            if metric is None or Sweep.outcome["status"] != "done":
                return None
            Sweep.outcome["value"] = _value(Sweep.outcome, metric)
            return float(Sweep.outcome["value"])
    except Interrupted as stop:
        if not ending_jobs.conducted_elsewhere():
            raise
        # Raised, it would end the others before they have saved.
        Sweep.outcome = {"status": "stopped", "error": str(stop)}
    except Exception as raised:
        error = raised
        if isinstance(raised, OmegaConfBaseException):
            said = " ".join(str(raised).split())
            error = InputError(f"{said}; expected a key that is there, or \\${{ for a text with ${{ in it")
        alone = HydraConfig.get().mode == RunMode.RUN
        Sweep.outcome = {"status": "failed", "error": with_kind(error), "exception": error if alone else None}
    return None if config.get("optimized_metric") is None else math.nan


def _value(record: Mapping[str, Any], measure: str) -> float:
    """A measure of a run that is done, for a sweeper: of the epoch that was kept, or of its evaluation.

    Raises:
        InputError: The run has no such measure.
    """
    evaluation = record.get("evaluation", {"measures": {}})["measures"]
    values = {**record["losses"], **{name: each["mean"] for name, each in evaluation.items()}}
    if (kept := record.get("kept")) is not None:
        values[kept["monitor"]] = kept["value"]
    if measure not in values:
        raise InputError(f"optimized_metric={measure}: no measure of the run; expected one of {', '.join(values)}")
    return float(values[measure]) if values[measure] is not None else math.nan
