"""The exception for bad input, the one for a run that was told to stop, and the signals that raise it."""

from __future__ import annotations

import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from highlight_lit.text import one_line

# A wrapper and a terminal both pass Ctrl-C on: a second signal so soon would only cut the tidying up short.
REPEAT_S = 3.0
_LATER_S = 0.02  # until a signal that came within an import is looked at again
# The files of frames that lose what is raised in them: of an import, and of what is called when an object is gone.
_LOST = {"<frozen importlib._bootstrap>", weakref.__file__}


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one line: it names the file, video, field or key, says what is wrong with it and what was
    expected. The command line prints it alone and exits with status 2.
    """

    def __str__(self) -> str:
        """The message: one line of at most `MAX_LINE` characters, whatever the names and values in it hold."""
        return one_line(super().__str__())


class Interrupted(BaseException):
    """A run was told to stop by a signal.

    Not an `Exception`: nothing that handles a failed run may take it for one.

    Args:
        signum: The signal's number.
        then: What the same command does next.
    """

    def __init__(self, signum: int, then: str = "the same command goes on from the last checkpoint") -> None:
        super().__init__(signum, then)
        self.signum, self.then = signum, then

    @property
    def status(self) -> int:
        """Exit status, as shells give it: 143 after SIGTERM, 130 after SIGINT."""
        return 128 + self.signum

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.signum).name}; {self.then}"


def put_off_within(file: str) -> None:
    """Have signals wait as long as a function of a file is at work, since what calls it cannot take an exception."""
    _LOST.add(file)


def put_off(signum: int, frame: FrameType | None) -> bool:
    """Have a signal come again in a moment, if Python is importing now, or clearing an object away.

    An exception that is raised there is lost, as in a callback of a weak reference, or may be turned into another error.

    Args:
        signum: The signal.
        frame: Where it came.

    Returns:
        Whether it is put off.
    """
    while frame is not None and frame.f_code.co_filename not in _LOST and frame.f_code.co_name != "__del__":
        frame = frame.f_back
    if frame is not None:
        # Raised, not handled here: by then it may be blocked, or another's to handle, as while a process starts.
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signum))
        signal.setitimer(signal.ITIMER_REAL, _LATER_S)
    return frame is not None


@contextmanager
def raised_signals(then: str = "the same command starts again") -> Iterator[None]:
    """Within, SIGTERM, SIGINT and SIGHUP raise `Interrupted`, so that temporary files and processes are cleared away.

    One that comes while Python imports is raised when it has. A repeated signal counts after `REPEAT_S` alone. SIGHUP stays ignored under nohup. In a thread that is not the main
    one nothing is changed, since Python handles signals in the main one alone.

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
