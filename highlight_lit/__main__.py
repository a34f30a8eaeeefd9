"""The command `highlight-lit`, also `python -m highlight_lit`; a signal to stop is one line even while Python imports."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from types import FrameType

_STOPS = (signal.SIGTERM, signal.SIGINT)
COLLECT_AFTER = 20_000  # objects; after 700, as Python does, it goes through all of PyTorch's again and again while that is imported
END_S = 4.0  # that Python's own end may take once a command was stopped


def main() -> int:
    """Run the command line; returns its exit status.

    A signal to stop that comes after that is not heeded: all is done, and Python's own end, interrupted, would leave
    semaphores of its libraries behind and print a traceback.
    """
    for number in _STOPS:
        signal.signal(number, _end)
    # Python puts the working folder before its own library in a process that is started by -c or -m, as those of `multiprocessing`
    # and joblib are: a `signal.py` among somebody's videos would be run.
    os.environ["PYTHONSAFEPATH"] = "1"
    gc.set_threshold(COLLECT_AFTER)
    _import_numpy()
    try:
        from highlight_lit.cli import main as command

        status = command()
        if status > 128:  # stopped: a library's thread may wait for a lock that was left
            _end_within(END_S, status)
        return status
    finally:
        for number in _STOPS:
            signal.signal(number, signal.SIG_IGN)
        gc.freeze()  # what is left goes with the process: to look through it would take a second


def _import_numpy() -> None:
    """Import NumPy, whose threads are to take no signal: one comes to the main thread, or waits where that takes none."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_STOPS, signal.SIGHUP})
    try:
        import numpy  # noqa: F401
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_within(seconds: float, status: int) -> None:
    """End this process with `status` after `seconds` at the latest, even where Python's own shutdown hangs."""
    timer = threading.Timer(seconds, os._exit, [status])
    timer.daemon = True
    timer.start()


def _end(signum: int, frame: FrameType | None) -> None:
    """End the process at once on a signal. An exception raised within an import may be lost or become another."""
    os.write(2, f"highlight-lit: stopped by {signal.Signals(signum).name}; the same command starts again\n".encode())
    os._exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
