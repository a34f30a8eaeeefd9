"""A stacked sweep: its groups of cells are trained one after the other, within the memory there is."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import resident_budget
from highlight_lit.errors import InputError, with_kind
from highlight_lit.processes.signals import Signals
from highlight_lit.runs import ledger
from highlight_lit.text import a_few, say
from highlight_lit.training.memory import needs
from highlight_lit.training.stacked.cells import Cell, Trainee, cell_of, changes_buffers, device_of, why_alone
from highlight_lit.training.stacked.loop import Group

# Weights times clips of a batch up to which a CPU gains by stacking (experiments/results/stacked.md): beyond, it is busy.
CPU_WORK = 150_000_000
MAX_MEMBERS = 256  # at once: each holds a lock
OWN_RUN = "its own run says what is wrong"
_SHARE = 4  # of the device's free memory that batches of a stack may take: gradients and copies come on top


def train_stacked(
    jobs: Sequence[tuple[DictConfig | Mapping[str, Any], Sequence[str]]], most: int | None, cpu: str
) -> None:
    """Train the cells of a sweep that can be trained together; each then has the checkpoint of its end.

    A cell that cannot, or whose loss is not finite, is left for its own run, and that is said.

    Args:
        jobs: The configuration and overrides of each.
        most: Cells that are trained at once, at most; None: as many as the memory allows.
        cpu: As `StackedLauncher` takes it.

    Raises:
        InputError: `most` or `cpu` is none of what they take.
        Interrupted: By a signal; what was under way has its checkpoints.
    """
    if cpu not in ("auto", "always", "never"):
        raise InputError(f"hydra.launcher.cpu={cpu}: expected auto, always or never")
    if most is not None and (type(most) is not int or most < 1):
        raise InputError(f"hydra.launcher.members={most}: expected a whole number of at least 1, or null")
    corpora: dict[str, Corpus] = {}
    alone: dict[str, list[Cell]] = {}
    kinds: dict[str, dict[str, Cell]] = {}
    for config, words in jobs:
        cell = None
        try:
            cell = cell_of(config, words, corpora)
            if cell is None:
                continue
            if (reason := why_alone(cell.config)) is not None:
                alone.setdefault(reason, []).append(cell)
            else:
                kinds.setdefault(cell.kind, {})[str(cell.folder)] = cell
        except Exception:  # whatever is wrong with it
            if cell is not None:
                alone.setdefault(OWN_RUN, []).append(cell)
    with Signals() as signals:
        for by_folder in kinds.values():
            cells = list(by_folder.values())
            try:
                reason, at_once = _pays_not(cells, cpu), min(most or MAX_MEMBERS, _fit(cells))
            except Exception:
                reason, at_once = OWN_RUN, 1
            if reason is not None:
                alone.setdefault(reason, []).extend(cells)
                continue
            for first in range(0, len(cells), at_once):
                for reason, left in _train(cells[first : first + at_once], signals).items():
                    alone.setdefault(reason, []).extend(left)
    for reason, left in alone.items():
        say(f"one by one: {len(left)} cell{'s' if len(left) > 1 else ''} ({reason}): {a_few([cell.name for cell in left])}",
            file=sys.stderr)  # fmt: skip


def _pays_not(cells: Sequence[Cell], cpu: str) -> str | None:
    """Why it does not pay to train cells together that could be; None where it pays."""
    if len(cells) == 1:
        return "no other has a network of its shapes"
    if device_of(cells[0]).type == "cpu" and cpu != "always":
        if cpu == "never":
            return "hydra.launcher.cpu=never"
        config = cells[0].config
        work = _needs(cells[0])[0] * 2 * config["data"]["pairs"] * config["tau"]
        if work > CPU_WORK:
            return "a CPU is busy with a cell, stacking does not pay; hydra.launcher.cpu=always does it all the same"
    return None


def _needs(cell: Cell) -> tuple[int, int]:
    """Weights of a cell's network, and bytes that a batch leaves in it."""
    config = cell.config
    streams = {name: {"width": cell.corpus.streams[name].width} for name in config["streams"]}
    return needs(config["model"], streams, config["data"]["pairs"], config["tau"])


def _fit(cells: Sequence[Cell]) -> int:
    """How many of these cells the device's memory takes at once, beside the rows of their corpora; at least 1."""
    device = device_of(cells[0])
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of the kind before: free memory is asked for
    weights, batch = _needs(cells[0])
    rows = {}
    for cell in cells:
        clip = sum(
            stream.width * np.dtype(stream.dtype).itemsize
            for name, stream in cell.corpus.streams.items()
            if name in cell.config["streams"]
        )
        rows[cell.config["data"]["root"], cell.config["data"]["audio"]] = clip * int(cell.corpus.clips.sum())
    left = resident_budget(device) - sum(rows.values())
    return max(1, left * 2 // _SHARE // max(1, batch + 16 * weights))


def _train(cells: Sequence[Cell], signals: Signals) -> dict[str, list[Cell]]:
    """Train cells of one kind at once; returns the cells that are left for their own runs, by the reason."""
    left: dict[str, list[Cell]] = {}
    with contextlib.ExitStack() as held:
        by_steps: dict[int, list[Trainee]] = {}
        # In one order, or two sweeps could wait for each other.
        for cell in sorted(cells, key=lambda cell: cell.run_id):
            held.enter_context(ledger.claimed(Path(cell.config["out"]), cell.run_id, cell.name))
            try:
                trainee, done = Trainee(cell), ledger.read_record(cell.folder, cell.run_id)
            except InputError:  # which the cell's own run will meet again
                left.setdefault(OWN_RUN, []).append(cell)
                continue
            if changes_buffers(trainee.module.network):
                left.setdefault("its network has buffers, which training may change", []).append(cell)
            elif trainee.done < trainee.total and (done is None or done["status"] != "done"):
                by_steps.setdefault(trainee.done, []).append(trainee)
        device = device_of(cells[0])
        for trainees in by_steps.values():
            if len(trainees) == 1:
                left.setdefault("no other is left to be trained with it", []).append(trainees[0].cell)
                continue
            if reason := _together(trainees, device, signals):
                left.setdefault(reason, []).extend(each.cell for each in trainees)
    return left


def _together(trainees: Sequence[Trainee], device: torch.device, signals: Signals) -> str | None:
    """Train members at once; returns the reason if that cannot be done."""
    began, steps = time.monotonic(), max(each.total for each in trainees) - trainees[0].done
    say(f"stacked: {len(trainees)} cells, {steps} steps", file=sys.stderr)
    signals.deferred = True
    try:
        group = Group(trainees, device, signals)
        group.train()
    except InputError:
        return OWN_RUN
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        return with_kind(error)
    finally:
        signals.deferred = False
    say(f"stacked: {len(trainees)} cells trained in {time.monotonic() - began:.1f} s", file=sys.stderr)
    if group.diverged:
        names = a_few([each.cell.name for each in group.diverged])
        say(
            f"stacked: the loss of {len(group.diverged)} is NaN or infinite, each is trained alone: {names}",
            file=sys.stderr,
        )
    return None
