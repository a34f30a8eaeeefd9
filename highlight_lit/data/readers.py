"""Threads that read ahead, and never leave the reader of their results waiting for ever."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from highlight_lit.errors import InputError

PATIENCE = 120.0  # seconds without an answer after which a read counts as stuck


class Task:
    """A call that a reader makes.

    Args:
        call: What to do; called with a function that notes which file is being read.
    """

    def __init__(self, call: Callable[[Callable[[str], None]], None]) -> None:
        self._call, self._done = call, threading.Event()
        self._error: BaseException | None = None
        self._file = "no file yet"

    def run(self) -> None:
        """Make the call; what it raises is kept for `wait`."""
        try:
            self._call(self._note)
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def _note(self, file: str) -> None:
        self._file = file

    def wait(self) -> None:
        """Wait until the call was made.

        Raises:
            InputError: What the call raised, or that it has not come back within `PATIENCE` seconds.
        """
        if not self._done.wait(PATIENCE):
            raise InputError(f"{self._file}: a read has not come back within {PATIENCE:.0f} s; expected an answer")
        if isinstance(self._error, Exception):
            raise self._error
        if self._error is not None:
            raise InputError(f"{self._file}: the thread that read it died ({self._error!r})") from self._error


class Readers:
    """A number of threads that take tasks in the order they were given; with none, a task is done when given.

    The threads are daemons: one that is stuck in a read does not keep the process from ending.
    """

    def __init__(self, count: int) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"reader-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def give(self, task: Task) -> Task:
        """Have a task done."""
        if self._threads:
            self._tasks.put(task)
        else:
            task.run()
        return task

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task.run()

    def close(self) -> None:
        """Let the threads end once they have done what was given to them."""
        for _ in self._threads:
            self._tasks.put(None)
        self._threads = []
