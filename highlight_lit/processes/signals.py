"""Signals that stop a process: SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal is gone)."""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from highlight_lit.errors import Interrupted

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A wrapper and a terminal both pass Ctrl-C on: a second signal so soon would only cut the tidying up short.
REPEAT_S = 3.0
_LATER_S = 0.02  # until a signal that came within an import is looked at again
# Files of functions that swallow exceptions: of an import, and of what is called when an object is gone.
_LOST = {"<frozen importlib._bootstrap>", weakref.__file__}
_blocks = 0  # of `blocked` that the main thread is in


def put_off_within(file: str) -> None:
    """Have signals wait as long as a function of a file is at work, since what calls it cannot take an exception."""
    _LOST.add(file)


def put_off(signum: int, frame: FrameType | None) -> bool:
    """Have a signal come again in a moment, if Python is importing now, or clearing an object away, or within `blocked`.

    An exception that is raised there is lost, as in a callback of a weak reference, or may be turned into another error.

    Args:
        signum: The signal.
        frame: Where it came.

    Returns:
        Whether it is put off.
    """
    while frame is not None and frame.f_code.co_filename not in _LOST and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    if frame is None and not _blocks:
        return False
    # Raised, not handled here: by then it may be blocked, or another's to handle, as while a process starts.
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signum))
    signal.setitimer(signal.ITIMER_REAL, _LATER_S)
    return True


@contextmanager
def blocked() -> Iterator[None]:
    """Have signals of `STOPS` that come to this thread within handled on leaving, and leave them so to what is started within.

    A thread that some library has started may take one in its place. Python then runs the handler here all the same.
    """
    global _blocks
    main = threading.current_thread() is threading.main_thread()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    _blocks += main
    try:
        yield
    finally:
        _blocks -= main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_blocks() -> None:
    """In a process that was forked within `blocked`, have signals raised again once they are let in."""
    global _blocks
    _blocks = 0


os.register_at_fork(after_in_child=_leave_blocks)


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
        if self._mask is None:  # of a job that was started within `children.deaf`
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
def raised_signals(then: str = "the same command starts again") -> Iterator[None]:
    """Within, SIGTERM, SIGINT and SIGHUP raise `Interrupted`, so that temporary files and processes are cleared away.

    One that comes while Python imports is raised when it has. A repeated signal counts after `REPEAT_S` alone. SIGHUP
    stays ignored under nohup. In a thread that is not the main one nothing is changed, since Python handles signals in
    the main one alone.

    Args:
        then: What the same command does next, for the message.
    """
    first: list[float] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        if put_off(signum, frame):
            return
        now = time.monotonic()
        if not first or now - first[0] > REPEAT_S:
            first.append(now)
            raise Interrupted(signum, then)

    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            taken.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in taken}
    try:
        yield
    finally:
        if taken:
            signal.setitimer(signal.ITIMER_REAL, 0)  # of `put_off`
        for number, handler in before.items():
            signal.signal(number, handler)
