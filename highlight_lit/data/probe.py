"""Shards opened in a process of its own first: the HDF5 library crashes on some files that were made to make it."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import resource
import time
from collections.abc import Sequence
from pathlib import Path

from highlight_lit.data.shard import Shard
from highlight_lit.errors import InputError

SECONDS = 20  # of processor time that a shard may take to open


def probe(paths: Sequence[Path]) -> None:
    """Open shards, and read what tells where all else lies, in a process that may die of it.

    What is wrong with a shard in any other way is left to who opens it next.

    Raises:
        InputError: The process died, or did not come back.
    """
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        gc.freeze()  # what the parent left to collect may wait for threads that are not here
        status = 1
        try:
            faulthandler.disable()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            for path in paths:
                os.write(write, b".")
                _, most = resource.getrlimit(resource.RLIMIT_CPU)
                resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + SECONDS, most))
                with contextlib.suppress(Exception):
                    _touch(path)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        begun = len(pipe.read())
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code != 0:
        ended = f"signal {-code}" if code < 0 else f"status {code}"
        raise InputError(f"{paths[max(0, begun - 1)]}: damaged or forged: the HDF5 library dies of it ({ended})")


def _touch(path: Path) -> None:
    shard = Shard(path)
    for name in shard.streams:
        shard.layout(name)
    if shard.videos:
        shard.video(shard.videos - 1)
    shard.close()
