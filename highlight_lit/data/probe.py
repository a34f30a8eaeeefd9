"""Shards opened in processes of their own first: the HDF5 library crashes on some files that were made to make it."""

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

EACH = 8  # shards that are worth a process of their own
SECONDS = 20  # of processor time that a shard may take to open
_sound: set[tuple[int, ...]] = set()  # the files that were opened so: a sweep opens its corpus again for each cell


def probe(paths: Sequence[Path]) -> None:
    """Open shards, and read what tells where all else lies, in processes that may die of it.

    What is wrong with a shard in any other way, that it is missing say, is left to who opens it next.

    Raises:
        InputError: A process died, or did not come back.
    """
    found = {path: identity(path.stat()) for path in paths if path.is_file()}
    paths = [path for path in found if found[path] not in _sound]
    count = min(os.cpu_count() or 1, -(-len(paths) // EACH))
    probes: list[_Probe] = []
    try:
        with library:  # no other thread has it at this moment: the processes would wait for it for ever
            for number in range(count):
                probes.append(_Probe(paths[number::count]))
        for one in probes:
            one.wait()
    finally:
        for one in probes:
            one.end()
    _sound.update(found[path] for path in paths)


class _Probe:
    """A process that opens some shards, one after the other."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._read, write = os.pipe()
        self._process: int | None = os.fork()
        if self._process == 0:
            _touch_all(paths, write)
        os.close(write)

    def wait(self) -> None:
        """Wait until it has opened all.

        Raises:
            InputError: It died, or did not come back.
        """
        begun = 0
        while (answered := bool(select.select([self._read], [], [], PATIENCE)[0])) and (told := os.read(self._read, 1 << 16)):  # fmt: skip
            begun += len(told)
        path = self.paths[max(0, begun - 1)]
        if not answered:
            raise InputError(f"{path}: has not been opened within {PATIENCE:.0f} s; expected an answer")
        if (code := self._reap()) != 0:
            ended = f"signal {-code}" if code < 0 else f"status {code}"
            raise InputError(f"{path}: damaged or forged: the HDF5 library dies of it ({ended})")

    def end(self) -> None:
        """Kill it, if it has not been waited for."""
        if self._process is not None:
            os.kill(self._process, signal.SIGKILL)
            self._reap()

    def _reap(self) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        os.close(self._read)
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


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
