"""Processes that this program starts: they leave Ctrl-C to it, and end when it is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from highlight_lit.processes.signals import blocked


def begin_child() -> None:
    """What a process of this program does first: leave Ctrl-C to the one that started it, and end when that one is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """End this process, at once, when the one that started it is gone."""
    if (parent := multiprocessing.parent_process()) is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def deaf() -> Iterator[None]:
    """Processes that are started within never see a signal to stop, from their first instruction on.

    A terminal's Ctrl-C goes to all of them at once, and one that is still importing would print a traceback. Whoever
    starts them is told alone, and ends them. A process may open its ears to SIGTERM with `Signals`.

    What is signalled meanwhile is handled on leaving, or within if another thread listens (see `ending_jobs.conducted`).
    """
    for name in ("multiprocessing.resource_tracker", "joblib.externals.loky.backend.resource_tracker"):
        if (tracker := sys.modules.get(name)) is not None:
            tracker.ensure_running()  # started within, it would open the ears again
    with blocked():
        yield
