"""Run the cells that are missing, in processes of one thread each, and say how it goes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from highlight_lit.errors import with_kind
from highlight_lit.processes.children import begin_child, deaf
from highlight_lit.processes.signals import raised_signals
from highlight_lit.runs.ledger import read_record, run_dir
from highlight_lit.text import clock, say

from .cells import Cell

CELLS_A_PROCESS = 50
GOES_ON = "what is done is kept, the same command goes on"
Failures = dict[str, str]  # a cell's text to what it raised


def missing(cells: Sequence[Cell], out: Path) -> list[Cell]:
    """The cells that are not done.

    Raises:
        InputError: A record is damaged or of another version.
    """
    return [cell for cell in cells if not _done(out, cell)]


def _done(out: Path, cell: Cell) -> bool:
    record = read_record(run_dir(out, cell.id), cell.id)
    return record is not None and record["status"] == "done"


def stack(cells: Sequence[Cell], out: Path) -> None:
    """Train cells of one shape together, as `hydra/launcher=stacked` does; each is then run from the end of its training.

    Raises:
        Interrupted: By a signal; what was trained has its checkpoints.
    """
    from highlight_lit.training.stacked.sweep import train_stacked

    jobs = [({**cell.config, "out": str(out)}, ()) for cell in cells if "method" not in cell.config]
    train_stacked(jobs, None, "auto")


def run(cells: Sequence[Cell], out: Path, workers: int) -> Failures:
    """Run cells; whatever fails, the others go on.

    Args:
        cells: Those to run, in this order.
        out: The ledger's folder.
        workers: Processes at once.

    Returns:
        What failed.

    Raises:
        Interrupted: By a signal: every record that was written stays, and what was under way is run again next time.
        InputError: `out` cannot be written.
    """
    failures: Failures = {}
    waiting = list(reversed(cells))
    progress = _Progress(len(cells), workers)
    with raised_signals(GOES_ON):
        while waiting:
            with _pool(min(workers, len(waiting))) as pool:
                _drain(pool, waiting, out, workers, failures, progress)
    return failures


def _drain(
    pool: ProcessPoolExecutor, waiting: list[Cell], out: Path, workers: int, failures: Failures, progress: _Progress
) -> None:
    """Feed a pool until nothing waits, or until one of its processes dies, which breaks it."""
    under_way: dict[Future[dict[str, Any]], Cell] = {}
    # Not `concurrent.futures.wait`: a signal that is raised there leaves futures locked, and the pool waits for them.
    ended: SimpleQueue[Future[dict[str, Any]]] = SimpleQueue()
    while waiting or under_way:
        while waiting and len(under_way) < workers:
            cell = waiting.pop()
            with deaf():  # a process that is being started is known, to be ended, once it is there
                future = pool.submit(_train, {**cell.config, "out": str(out)})
            under_way[future] = cell
            future.add_done_callback(ended.put)
        future = ended.get()
        cell = under_way.pop(future)
        try:
            outcome = future.result()
        except BrokenProcessPool:
            failures[cell.text] = "its process died (killed, or out of memory)"
            failures.update({other.text: failures[cell.text] for other in under_way.values()})
            return
        if "error" in outcome:
            failures[cell.text] = outcome["error"]
        progress.show(cell, outcome)


def _train(config: dict[str, Any]) -> dict[str, Any]:
    """One cell, in a process of the pool; what it raises comes back as words."""
    from highlight_lit.training.train import train

    from .references import score

    started = time.perf_counter()
    try:
        record = score(config) if "method" in config else train(config)
    except Exception as error:
        return {"error": with_kind(error)}
    evaluation = record.get("evaluation")
    value = evaluation and evaluation["measures"][evaluation["primary"]]["mean"]
    return {"value": value, "seconds": time.perf_counter() - started}


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, however it ends.

    They are forks of a server that has imported what a cell needs, once for all, and done nothing else: torch does not
    fork well once it has computed.
    """
    # Tensors of many megabytes stay with the process: given back to the system after each step, as glibc would, every
    # step pays for its pages anew.
    for limit in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        os.environ.setdefault(limit, str(1 << 30))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["highlight_lit.training.train"])
    # A process is renewed now and then: Lightning's trainers leave memory behind.
    pool = ProcessPoolExecutor(workers, context, initializer=_start, max_tasks_per_child=CELLS_A_PROCESS)
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _start() -> None:
    """Prepare a process: one thread, deaf to the terminal's Ctrl-C, and not to outlive its parent."""
    import torch

    torch.set_num_threads(1)
    begin_child()


class _Progress:
    """A line a cell: how many are done, what it reached, the time that is left."""

    def __init__(self, total: int, workers: int) -> None:
        self.total, self.workers, self.done, self.started = total, workers, 0, time.perf_counter()

    def show(self, cell: Cell, outcome: dict[str, Any]) -> None:
        """Count a cell."""
        self.done += 1
        elapsed = time.perf_counter() - self.started
        left = elapsed / self.done * (self.total - self.done)
        if "error" in outcome:
            reached = f"failed: {outcome['error']}"
        else:
            value = "no labels" if outcome["value"] is None else f"{100 * outcome['value']:.1f}"
            reached = f"{value} in {outcome['seconds']:.1f} s"
        say(f"[{self.done}/{self.total}, {clock(left)} left] {cell.text}: {reached}", file=sys.stderr)
