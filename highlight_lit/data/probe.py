"""Shards opened in a process of its own first: the HDF5 library crashes on some files that were made to make it."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import resource
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from highlight_lit.data.readers import PATIENCE
from highlight_lit.data.shard import Shard, identity, library
from highlight_lit.errors import InputError

SECONDS = 20  # of processor time that a shard may take to open
_sound: set[tuple[int, ...]] = set()  # the files that were opened so: a sweep opens its corpus again for each cell


def probe(paths: Sequence[Path]) -> None:
    """Open shards, and read what tells where all else lies, in a process that may die of it.

    What is wrong with a shard in any other way is left to who opens it next.

    Raises:
        InputError: The process died, or did not come back.
    """
    found = {path: identity(path.stat()) for path in paths}
    paths = [path for path in paths if found[path] not in _sound]
    if not paths:
        return
    read, write = os.pipe()
    with library:  # no other thread has it at this moment: the process would wait for it for ever
        process = os.fork()
        if process == 0:
            _touch_all(paths, write)
    os.close(write)
    begun = 0
    with os.fdopen(read, "rb", buffering=0) as pipe:
        while (answered := bool(select.select([pipe], [], [], PATIENCE)[0])) and (told := pipe.read(1 << 16)):
            begun += len(told)
    if not answered:
        os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code != 0:
        path = paths[max(0, begun - 1)]
        if not answered:
            raise InputError(f"{path}: has not been opened within {PATIENCE:.0f} s; expected an answer")
        ended = f"signal {-code}" if code < 0 else f"status {code}"
        raise InputError(f"{path}: damaged or forged: the HDF5 library dies of it ({ended})")
    _sound.update(found[path] for path in paths)


def _touch_all(paths: Sequence[Path], write: int) -> NoReturn:
    """The process: a byte into the pipe before each shard."""
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


def _touch(path: Path) -> None:
    shard = Shard(path)
    for name in shard.streams:
        shard.layout(name)
    if shard.videos:
        shard.video(shard.videos - 1)
    shard.close()
