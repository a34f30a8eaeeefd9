"""How the jobs of a command end with it: a folder of notes is there as long as the command is, and jobs look for it.

So a job ends on whatever machine it is, whether its launcher tells it or not. On one machine that takes a second.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker, util
from pathlib import Path
from types import FrameType
from typing import Any

from highlight_lit.errors import Interrupted
from highlight_lit.files import remove_tree
from highlight_lit.media.extraction.parts_folder import PARTS, remove_lock
from highlight_lit.processes.signals import raised_signals

AGAIN = "the same command does what is left"
_WATCH_S = 0.5  # how often a job looks whether its command is still there
_TIDY_S = 3.0  # how long a job or its command waits until what was stopped is tidied up
_GRACE_S = 0.3  # until processes that have tidied up are gone
_here: set[str] = set()  # folders of notes of commands of this process: their jobs here need no watching
_at_work: set[str] = set()  # those of which a job is at work in this process


@contextmanager
def notes_of_jobs(out: Path, within: Path) -> Iterator[Path]:
    """A folder of notes for the jobs. It goes with the block, and so do jobs that are still at work.

    Args:
        out: The corpus' folder.
        within: Where the folder is made.
    """
    folder = Path(tempfile.mkdtemp(prefix="notes-", dir=within))
    _here.add(folder.name)
    try:
        yield folder
    finally:
        _here.discard(folder.name)
        for scratch in _end_jobs(out, folder):  # of jobs that were killed
            remove_tree(scratch)
        remove_lock(out)


def _end_jobs(out: Path, notes: Path) -> list[Path]:
    """Have the jobs end that are at work elsewhere; what those have left that did not in time."""
    remove_tree(notes)
    until = time.monotonic() + _WATCH_S + _TIDY_S
    while (left := list((out / PARTS).glob(f".run-{notes.name}-*"))) and time.monotonic() < until:
        time.sleep(0.05)
    return left


@contextmanager
def stopped_in_order(out: Path, notes: Path) -> Iterator[None]:
    """Within, a signal ends the jobs before it stops the command: their launcher would kill them in the middle.

    Ctrl-C, which a terminal sends to all processes, is for this one and blocked in those that it starts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted, over = threading.Event(), threading.Event()
    main = threading.get_ident()

    def receive() -> None:
        signal.sigwait({signal.SIGINT})
        if not over.is_set():
            interrupted.set()
            signal.pthread_kill(main, signal.SIGTERM)  # wakes it from whatever it waits for

    def stop(signum: int, frame: FrameType | None) -> None:
        if notes.name not in _at_work:
            _end_jobs(out, notes)
            time.sleep(_GRACE_S)
        handler = before[signum]
        signal.signal(signum, handler)
        if callable(handler):
            handler(signum, frame)
        else:
            signal.raise_signal(signum)

    _start_trackers()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, stop)
    receiver = threading.Thread(target=receive, daemon=True)
    receiver.start()
    try:
        yield
    except Interrupted as stopped:
        raise Interrupted(signal.SIGINT if interrupted.is_set() else stopped.signum, stopped.then) from None
    finally:
        over.set()
        if receiver.is_alive() and receiver.ident is not None:
            signal.pthread_kill(receiver.ident, signal.SIGINT)
        receiver.join()
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _start_trackers() -> None:
    """Have the processes that clear up after others, which unblock Ctrl-C as they are started, started before."""
    resource_tracker.ensure_running()
    with suppress(ImportError):
        from joblib.externals.loky.backend import resource_tracker as of_joblib

        of_joblib.ensure_running()


@contextmanager
def tied(out: Path, notes: Path, name: str) -> Iterator[None]:
    """While a job is at work: its process ends, all tidied up, when the command is gone and when a signal says so.

    In the command's own process there is nothing to watch.

    Args:
        out: The corpus' folder.
        notes: The command's folder of notes.
        name: Of the job.
    """
    if notes.name in _here:
        _at_work.add(notes.name)
        try:
            yield
        finally:
            _at_work.discard(notes.name)
        return
    with _watched(notes, out / PARTS / f".run-{name}-process"):
        yield


@contextmanager
def _watched(notes: Path, mark: Path) -> Iterator[None]:
    """End this process, all tidied up, when the command that waits for its job is gone, and when a signal says so.

    Args:
        notes: A folder that is there as long as the command is.
        mark: A folder that is there as long as the job is at work.
    """
    done = threading.Event()
    mark.mkdir(parents=True, exist_ok=True)

    def watch() -> None:
        while not done.wait(_WATCH_S):
            if not notes.is_dir():
                os.kill(os.getpid(), signal.SIGTERM)
                if not done.wait(_TIDY_S - 1):
                    os._exit(128 + signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        with raised_signals(AGAIN):
            yield
    except Interrupted as stop:  # not for the launcher, which would raise it in the command
        util._exit_function()  # type: ignore[attr-defined]  # os._exit leaves out what gives semaphores back to the system
        remove_tree(mark)
        os._exit(stop.status)
    finally:
        done.set()
        with suppress(OSError):
            mark.rmdir()
