"""Work over several processes that survives the death of one: a decoder may crash, the folder goes on."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Crashed(Exception):
    """The process that worked on an item died."""


def run_all(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[tuple[Item, Result | Exception]]:
    """Do `work` on every item; yield (item, result or what it raised) as they are done.

    Args:
        work: A function of a module; it is called in other processes, or in this one if `workers` is 1.
        items: What to work on.
        workers: How many processes. When one dies, the items then in work are tried again alone, one by one; the one
            that kills its process again is given `Crashed`.
    """
    if workers <= 1:
        for item in items:
            try:
                yield item, work(item)
            except Exception as error:
                yield item, error
        return
    suspects: list[Item] = []
    waiting = list(reversed(items))
    while waiting:
        yield from _run_pool(work, waiting, suspects, workers)
    for item in suspects:
        yield item, _run_alone(work, item)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Not forked: threads of the decoder and of PyTorch do not live through a fork.
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _run_pool(
    work: Callable[[Item], Result], waiting: list[Item], suspects: list[Item], workers: int
) -> Iterator[tuple[Item, Result | Exception]]:
    """Take items off `waiting` until it is empty, or until a process dies: then those in work become suspects."""
    with _pool(workers) as pool:
        running: dict[Future[Result], Item] = {}
        while waiting or running:
            try:
                while waiting and len(running) < workers:
                    running[pool.submit(work, waiting[-1])] = waiting[-1]
                    waiting.pop()
            except BrokenProcessPool:
                suspects += running.values()
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            broken = False
            for future in done:
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    broken = True
                    continue
                item = running.pop(future)
                yield item, error if isinstance(error, Exception) else future.result()
            if broken:
                suspects += running.values()
                return


def _run_alone(work: Callable[[Item], Result], item: Item) -> Result | Exception:
    with _pool(1) as pool:
        try:
            return pool.submit(work, item).result()
        except BrokenProcessPool:
            return Crashed("the process died")
        except Exception as error:
            return error
