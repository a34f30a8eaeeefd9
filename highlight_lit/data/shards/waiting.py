"""A wait for reads that has an end: a disk or a mount may be dead, and a thread that reads from it is stuck."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from highlight_lit.errors import InputError

T = TypeVar("T")

READ_TIMEOUT_S = 120.0  # after which a read counts as hung


def wait_for(done: Future[T], reads: Callable[[], tuple[Path, int]]) -> T:
    """Wait for what a thread reads, as long as reads come back.

    Args:
        done: What it has read, or what went wrong.
        reads: The file it is at, and how many reads came back.

    Raises:
        InputError: None came back for `READ_TIMEOUT_S`; or what went wrong there.
    """
    while not done.done():
        before = reads()
        try:
            done.result(READ_TIMEOUT_S)
        except TimeoutError:
            if not done.done() and reads() == before:
                raise InputError(
                    f"{before[0]}: a read has not come back within {READ_TIMEOUT_S:g} s; "
                    "expected a disk or mount that answers"
                ) from None
    return done.result()


def on_a_thread(read: Callable[[], T], reads: Callable[[], tuple[Path, int]]) -> T:
    """Read on a thread of its own, and wait for it as `wait_for` does."""
    done: Future[T] = Future()
    thread = threading.Thread(target=run, args=(read, done), name="highlight-lit reader", daemon=True)
    thread.start()
    try:
        return wait_for(done, reads)
    finally:
        if done.done():
            thread.join()


def run(read: Callable[[], T], done: Future[T]) -> None:
    """Read, and tell those who wait how it ended."""
    try:
        done.set_result(read())
    except BaseException as error:
        done.set_exception(error)
