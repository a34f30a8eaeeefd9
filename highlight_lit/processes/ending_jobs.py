"""Jobs of a command that other processes run, on this machine or on others that share its disk, end with the command.

As long as a sweep goes on there is a file, its beacon. A job watches the beacon, and whether the sweep's process still
is, where that is one of its own machine. Once either is gone, the job sends itself SIGTERM, which a training answers
with a checkpoint, and an extraction by tidying up.
"""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from highlight_lit.errors import Interrupted
from highlight_lit.processes.children import deaf
from highlight_lit.processes.locks import alive
from highlight_lit.processes.signals import STOPS, Signals

GRACE_S = 30.0  # that jobs have to end once the sweep is to stop
HERE = (".BasicLauncher", ".StackedLauncher")  # launchers that run their jobs in the command's own process
_PERIOD_S = 0.2  # between two looks
_BEACON = "HIGHLIGHT_LIT_BEACON"


@contextmanager
def conducted(folder: Path, signals: Signals) -> Iterator[None]:
    """Let other processes run jobs, in the main thread of the process that waits for them.

    A signal to stop takes the beacon away; jobs in progress have `GRACE_S` to end, those that wait do not begin. After
    that, and on a second signal, `Interrupted` is raised.

    Args:
        folder: Where the beacon is to be; every machine that runs jobs sees it.
        signals: Of this process, installed.
    """
    with contextlib.suppress(ImportError):
        import joblib.externals.loky.backend.resource_tracker  # noqa: F401  for `deaf`
    beacon = folder / f"beacon-{socket.gethostname()}-{os.getpid()}"
    beacon.touch()
    over = threading.Event()

    def listen() -> None:  # the main thread is deaf, and a handler of a library (Ray's) would end the process at once
        until = math.inf
        heard = [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]  # under nohup
        while not over.wait(_PERIOD_S) and time.monotonic() < until:
            taken = signal.sigtimedwait(heard, 0)
            if taken is not None and signals.received is not None:
                break
            if taken is not None:
                signals.received = taken.si_signo
            if signals.received is not None and beacon.exists():
                beacon.unlink(missing_ok=True)
                until = time.monotonic() + GRACE_S
        if not over.is_set() and signals.received is not None:
            _thread.interrupt_main(signal.Signals(signals.received))

    listener = threading.Thread(target=listen, daemon=True)
    os.environ[_BEACON], signals.deferred = str(beacon.resolve()), True
    try:
        with deaf():
            listener.start()
            yield
    finally:
        signals.deferred = False
        over.set()
        listener.join()
        os.environ.pop(_BEACON, None)
        beacon.unlink(missing_ok=True)
        _end_workers()


def _end_workers() -> None:
    """End the processes that joblib keeps for a next sweep, which would watch the beacon of this one.

    After a signal too: Python's own end would wait for them, and has less time (`__main__.END_S`) than they take on a
    busy machine.
    """
    loky = sys.modules.get("joblib.externals.loky.reusable_executor")
    # One that has lost a worker has ended its others itself.
    if loky is not None and loky._executor is not None and loky._executor._flags.broken is None:
        manager = loky._executor._executor_manager_thread
        loky._executor.shutdown(wait=False)
        if manager is not None:
            manager.join(GRACE_S)


def conducted_elsewhere() -> bool:
    """Whether this process runs jobs of another one."""
    beacon = os.environ.get(_BEACON)
    return beacon is not None and _owner(Path(beacon)) != (socket.gethostname(), os.getpid())


@contextmanager
def job() -> Iterator[None]:
    """A job: SIGTERM to this process once its sweep is over. Where the sweep runs its jobs itself this does nothing.

    Raises:
        Interrupted: The sweep is over before the job has begun.
    """
    if not conducted_elsewhere():
        yield
        return
    beacon = Path(os.environ[_BEACON])
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_PERIOD_S):
            if not _goes_on(beacon):
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    try:
        if not _goes_on(beacon):
            raise Interrupted(signal.SIGTERM)
        watcher.start()
        yield
    finally:
        over.set()
        if watcher.ident is not None:
            watcher.join()
        if not _owner_is_alive(beacon):  # nobody waits for this process' answer, nor would end it
            os._exit(128 + signal.SIGTERM)


def _owner(beacon: Path) -> tuple[str, int]:
    """Machine and process id of a sweep."""
    machine, _, process = beacon.name.removeprefix("beacon-").rpartition("-")
    return machine, int(process)


def _goes_on(beacon: Path) -> bool:
    return beacon.exists() and _owner_is_alive(beacon)


def _owner_is_alive(beacon: Path) -> bool:
    machine, process = _owner(beacon)
    return machine != socket.gethostname() or alive(process)
