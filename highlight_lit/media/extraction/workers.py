"""Work over several processes that survives the death of one: a decoder may crash, the folder goes on.

No process outlives its work: those in work are killed when the one that started them stops early, and end by themselves
when it is gone.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from queue import SimpleQueue
from types import FrameType
from typing import TypeVar

from highlight_lit.processes.children import begin_child
from highlight_lit.processes.signals import STOPS

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crashed(Exception):
    """The process that worked on an item died."""


def run_all(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Generator[tuple[Item, Result | Exception]]:
    """Do `work` on every item; yield (item, result or what it raised) as they are done.

    Close it (`contextlib.closing`) if it may be left early: that ends its processes.

    Args:
        work: A function of a module; it is called in other processes, or in this one if `workers` is 1.
        items: What to work on.
        workers: How many processes. When one dies, the items then in work are tried again alone, one by one; the one
            that kills its process again is given `Crashed`.
    """
    if workers <= 1:
        for item in items:
            try:
                result: Result | Exception = work(item)
            except Exception as error:
                result = error
            yield item, result
        return
    suspects: list[Item] = []
    waiting = list(reversed(items))
    while waiting:
        yield from _run_pool(work, waiting, suspects, workers)
    for item in suspects:
        yield item, _run_alone(work, item)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the block, at once if it is left by an exception."""
    before = set(multiprocessing.active_children())
    # Not forked: threads of the decoder and of PyTorch do not live through a fork.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=begin_child)
    try:
        yield pool
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _starting() -> Iterator[None]:
    """While a process starts: signals wait, so that none is left half started, and Ctrl-C is blocked in the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(signum: int, frame: FrameType | None) -> None:
        came.append(signum)

    resource_tracker.ensure_running()  # which would unblock Ctrl-C later
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    before = {number: signal.signal(number, note) for number in STOPS if signal.getsignal(number) != signal.SIG_IGN}
    method = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)  # a process is told it, and knows none of joblib's
    try:
        yield
    finally:
        multiprocessing.set_start_method(method, force=True)
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for signum in came:
            signal.raise_signal(signum)


def _run_pool(
    work: Callable[[Item], Result], waiting: list[Item], suspects: list[Item], workers: int
) -> Iterator[tuple[Item, Result | Exception]]:
    """Take items off `waiting` until it is empty, or until a process dies: then those in work become suspects."""
    with _pool(workers) as pool:
        running: dict[Future[Result], Item] = {}
        done: SimpleQueue[Future[Result]] = SimpleQueue()
        while waiting or running:
            try:
                while waiting and len(running) < workers:
                    running[_submit(pool, work, waiting[-1], done)] = waiting[-1]
                    waiting.pop()
            except BrokenProcessPool:
                suspects += running.values()
                return
            future = done.get()
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                suspects += running.values()
                return
            item = running.pop(future)
            yield item, error if isinstance(error, Exception) else future.result()


def _submit(
    pool: ProcessPoolExecutor, work: Callable[[Item], Result], item: Item, done: SimpleQueue[Future[Result]]
) -> Future[Result]:
    """Have a process work on an item; the future is put into `done` when it has.

    Not waited for by `concurrent.futures.wait`, which holds the futures' locks: a signal that is raised there would leave
    them locked, and the pool waiting for them.
    """
    with _starting():
        future = pool.submit(work, item)
        future.add_done_callback(done.put)
    return future


def _run_alone(work: Callable[[Item], Result], item: Item) -> Result | Exception:
    with _pool(1) as pool:
        done: SimpleQueue[Future[Result]] = SimpleQueue()
        try:
            _submit(pool, work, item, done)
            return done.get().result()
        except BrokenProcessPool:
            return Crashed("the process died")
        except Exception as error:
            return error
