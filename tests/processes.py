"""Real processes for tests that kill, starve or crash one."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

FAILED = 99  # exit status of work that raised


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


def running(process: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return _stat(process)[0] != "Z"
    except OSError:
        return False


def exit_status(process: int) -> int:
    """Wait for a process; its exit status as shells give it, 128 and more for a signal."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code if code >= 0 else 128 - code
