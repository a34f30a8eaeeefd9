"""Real processes for tests that kill, starve or crash one."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

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


def exit_status(process: int) -> int:
    """Wait for a process; its exit status as shells give it, 128 and more for a signal."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return code if code >= 0 else 128 - code
