"""Real processes for tests that kill, starve or crash one."""

from __future__ import annotations

import contextlib
import gc
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from multiprocessing import spawn
from pathlib import Path

import pytest

from tests import preloaded

FAILED = 99  # exit status of work that raised
SERVER = "HIGHLIGHT_LIT_TEST_PYTHON"  # where the Python of all processes of a test run listens
_servers: list[subprocess.Popen[bytes]] = []
LAUNCHERS = {"joblib": "joblib", "submitit_local": "submitit", "ray": "ray"}  # of extras


def need_launcher(words: Sequence[str]) -> None:
    """Skip the test if its command names a launcher that is not installed."""
    for launcher, library in LAUNCHERS.items():
        if f"hydra/launcher={launcher}" in words:
            pytest.importorskip(f"hydra_plugins.hydra_{library}_launcher", reason=f"needs the launcher {launcher}")


def peak_kb() -> int:
    """The largest memory this process has had, in KiB. `ru_maxrss` would count that of the process that started it."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def forked(work: Callable[[], object]) -> int:
    """Do work in a process of its own, whose exit status is what it returns (None: 0); its process id."""
    process = os.fork()
    if process == 0:
        gc.freeze()  # what the parent left to collect may wait for threads that are not here
        status: object = FAILED
        try:
            status = work()
        finally:
            os._exit(status if isinstance(status, int) else 0)
    return process


def _stat(process: int) -> tuple[str, int]:
    """State and parent of a process."""
    state, parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    return state, int(parent)


def _words(process: int) -> list[str]:
    """The command line of a process; nothing where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    return []


def running(process: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return _stat(process)[0] != "Z"
    except OSError:
        return False


def takes_signals(process: int) -> bool:
    """Whether it has a handler of SIGTERM; before, Python itself dies of a signal, and nothing has begun."""
    caught = int(Path(f"/proc/{process}/status").read_text().split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def exit_status(process: int) -> int:
    """Wait for a process; its exit status as shells give it, 128 and more for a signal."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code if code >= 0 else 128 - code


def serve() -> Path:
    """Start a Python that imports PyTorch and Lightning; it listens there, and ends with this process, which holds its input.

    Beside it lie `python` and `highlight-lit` that ask it for a process.
    """
    path = Path(tempfile.mkdtemp(prefix="python-")) / "socket"
    for name, words in (("python", ()), ("highlight-lit", ("-P", "-m", "highlight_lit"))):
        path.with_name(name).write_text(f'#!/bin/sh\nexec {shlex.join([*_asking(path), *words])} "$@"\n')
        path.with_name(name).chmod(0o755)
    command = [sys.executable, preloaded.__file__, "serve", path]
    _servers.append(subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}))
    return path


def _asking(socket: Path) -> list[str]:
    return [sys.executable, "-S", "-E", preloaded.__file__, "run", str(socket)]


@cache
def _preloaded() -> Path:
    """Where such a Python listens; all processes of a test run share one."""
    socket = Path(os.environ.get(SERVER) or serve())
    until(lambda: socket.exists() or any(server.poll() is not None for server in _servers))
    assert socket.exists()
    return socket


def python(*words: object) -> list[str]:
    """The command line of `python -m MODULE` or `python -c CODE`, begun in 0.1 s in place of 3: see `tests.preloaded`."""
    return [*_asking(_preloaded()), *map(str, words)]


def executables() -> Path:
    """A folder for PATH: `python` and `highlight-lit` as what a test runs finds them, begun as by `python()`."""
    return _preloaded().parent


@contextlib.contextmanager
def quick_workers() -> Iterator[None]:
    """Processes that this one starts for its work, by multiprocessing or joblib, are begun as by `python()`."""
    before, sys.executable = sys.executable, str(executables() / "python")
    spawn.set_executable(sys.executable)
    try:
        yield
    finally:
        sys.executable = before
        spawn.set_executable(before)


def begun(*words: object, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """`highlight-lit`, where neither its start nor what it leaves matters."""
    return subprocess.Popen(
        python("-P", "-m", "highlight_lit", *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
    )  # fmt: skip


def end_of(process: subprocess.Popen[str], timeout: float = 300) -> tuple[int, list[str]]:
    """Its exit status as shells give it, and the lines it printed."""
    with process:
        try:
            said = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    code = process.returncode
    return code if code >= 0 else 128 - code, said.splitlines()


def ended(*words: object, environment: dict[str, str] | None = None) -> tuple[int, list[str]]:
    """Exit status of `highlight-lit`, and the lines it printed, where neither its start nor what it leaves matters."""
    return end_of(begun(*words, environment=environment))


class Command:
    """`highlight-lit`, as a shell starts it: a session of its own, so that every process it leaves can be found.

    Args:
        words: What follows `highlight-lit`.
        environment: Beside that of the tests.
        quick: Begin it, and what it starts, as by `python()`.
    """

    def __init__(self, *words: str, environment: dict[str, str] | None = None, quick: bool = False) -> None:
        need_launcher(words)
        self._sessions = Path(tempfile.mkdtemp(prefix="sessions-"))
        command = [*(python() if quick else [sys.executable]), "-P", "-m", "highlight_lit", *words]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", preloaded.SESSIONS: str(self._sessions), **(environment or {})},
        )  # fmt: skip

    def members(self) -> list[int]:
        """The processes that are there of its session, of those begun for it, or with its environment (a daemon's own session)."""
        found, mark = [], str(self._sessions).encode()
        sessions = {self.process.pid, *(int(path.name) for path in self._sessions.iterdir())}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if state != "Z" and (int(session) in sessions or mark in (folder / "environ").read_bytes()):
                    found.append(int(folder.name))
        return found

    def ends(self, timeout: float = 300) -> tuple[int, list[str]]:
        """Its exit status as shells give it, and the lines it printed."""
        try:
            return end_of(self.process, timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def left(self, within: float = 5.0) -> list[str]:
        """The command lines of the processes that are left so many seconds later."""
        until = time.monotonic() + within
        while (found := self.members()) and time.monotonic() < until:
            time.sleep(0.1)
        return [f"{process} {shlex.join(_words(process))}" for process in found]

    def kill(self) -> None:
        """End all of it."""
        for process in self.members():
            with contextlib.suppress(OSError):
                os.kill(process, 9)


def until(holds: Callable[[], object], seconds: float = 300, every: float = 0.05) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(every)
