"""Signals that ask to stop: SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal is gone)."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from highlight_lit.errors import Interrupted, put_off

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """The signals of `STOPS` while something is under way, as a context manager.

    While `deferred`, the first signal is noted in `received` and left to whoever looks there; a second one, and any
    signal while not `deferred`, raises `Interrupted` at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.deferred = False
        self._before: dict[int, Any] = {}
        self._mask: set[signal.Signals] | None = None

    def __enter__(self) -> Signals:
        self.install()
        return self

    def install(self) -> None:
        """Take the signals over, again if Lightning has put its own handlers in between."""
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets no other thread do it
        for number in STOPS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup
            before = signal.signal(number, self._note)
            self._before.setdefault(number, before)
        if self._mask is None:  # of a job that was started within `deaf`
            self._mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # type: ignore[assignment]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.deferred and put_off(number, frame):
            return
        again, self.received = self.received is not None, number
        if again or not self.deferred:
            raise Interrupted(number)

    def __exit__(self, *_: object) -> None:
        if self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)  # of `put_off`
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            self._mask = None


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started within never see a signal to stop, from their first instruction on.

    A terminal's Ctrl-C goes to all of them at once, and one that is still importing would print a traceback. Whoever
    starts them is told alone, and ends them. A process may open its ears to SIGTERM with `Signals`.

    What is signalled meanwhile is handled on leaving, or within if another thread listens (see `jobs.conducted`).
    """
    for name in ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker"):
        if (tracker := sys.modules.get(name)) is not None:
            tracker.ensure_running()  # started within, it would open the ears again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
