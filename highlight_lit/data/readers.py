"""Processes that read ahead into memory they share with this one, and never leave it waiting for ever.

Not threads: a read of a window takes some ten microseconds, after which a thread must have the interpreter's lock again,
so that two threads move no more than one does. A process that dies of a forged file does not take this one with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.rows import CorpusRows, Part
from highlight_lit.data.shared import Shared
from highlight_lit.errors import InputError

PATIENCE = 120.0  # seconds without an answer after which a read counts as stuck
_STARTED = "import sys; from highlight_lit.data.readers import serve; serve(int(sys.argv[1]))"

Suspects = dict[str, NDArray[np.bool_]]


class Readers:
    """A number of processes, each of which reads its part of every batch.

    Args:
        count: Processes, at least 1.
        rows: What they read.
        known: What is known of its units, which they share.

    Raises:
        InputError: A process cannot be started.
    """

    def __init__(self, count: int, rows: CorpusRows, known: Shared) -> None:
        self.count = count
        self._shards = rows.shards
        self._at = Shared({"shard": ((count,), "i8")})  # the one each process is at, -1 before the first
        self._at.arrays["shard"][:] = -1
        self._processes = [_Process() for _ in range(count)]
        self._end = weakref.finalize(self, _end, os.getpid(), self._processes)
        self._known_to_them: set[int] = set()
        self._answers: dict[int, dict[int, Suspects]] = {}  # of each batch, by process
        self._given = 0
        for number, process in enumerate(self._processes):
            message = list(rows.shards), rows.streams, number, known.shapes, self._at.shapes
            self._send(process, message, known.file, self._at.file)

    def give(self, parts: Sequence[Part], out: Shared, kept: Sequence[Shared]) -> int:
        """Have a batch read.

        Args:
            parts: One for each process.
            out: What they read it into.
            kept: Memory that will be given again; the processes let go of any other.

        Returns:
            The number of the batch, for `arrived` and `take`.
        """
        number, self._given = self._given, self._given + 1
        self._answers[number] = {}
        new = out.number not in self._known_to_them
        self._known_to_them = {one.number for one in kept} & self._known_to_them | {out.number}
        for process, part in zip(self._processes, parts, strict=True):
            message = part, out.number, out.shapes if new else None, self._known_to_them
            self._send(process, message, *([out.file] if new else []))
        return number

    def arrived(self, number: int) -> bool:
        """Whether all of a batch is there."""
        self._receive(0)
        return len(self._answers[number]) == self.count

    def take(self, number: int) -> list[Suspects]:
        """Wait for a batch; what `CorpusRows.read` says of each part.

        Raises:
            InputError: What a process raised, or that it died or has not answered within `PATIENCE` seconds.
        """
        while not self.arrived(number):
            if not self._receive(PATIENCE):
                waiting = next(process for process in self._processes if process.answered <= number)
                raise InputError(
                    f"{self._file(waiting)}: a read has not come back within {PATIENCE:.0f} s; expected an answer"
                )
        answers = self._answers.pop(number)
        return [answers[process] for process in range(self.count)]

    def close(self) -> None:
        """End the processes."""
        self._end()

    def _receive(self, seconds: float) -> bool:
        """Take the answers that are there, or come within some seconds; whether there were any."""
        by_channel: dict[Any, _Process] = {process.channel: process for process in self._processes}
        found = wait(list(by_channel), seconds)
        for channel in found:
            process = by_channel[channel]
            try:
                answer = process.channel.recv()
            except (EOFError, OSError):
                self._died(process)
            if isinstance(answer, str):
                raise InputError(answer)
            self._answers[process.answered][self._processes.index(process)] = answer
            process.answered += 1
        return bool(found)

    def _send(self, process: _Process, message: object, *files: int) -> None:
        try:
            process.channel.send(message)
            for file in files:
                process.hand(file)
        except OSError:
            self._died(process)

    def _died(self, process: _Process) -> None:
        raise InputError(f"{self._file(process)}: the process that read it died ({process.ending()})")

    def _file(self, process: _Process) -> str:
        """The file a process is at."""
        shard = int(self._at.arrays["shard"][self._processes.index(process)])
        return str(self._shards[shard].path) if shard >= 0 else "a reader, before its first file"


class _Process:
    """One process, and the channel to it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        with theirs:
            try:
                # A session of its own: what a terminal or a scheduler sends to this process' group is not for it.
                self._process = subprocess.Popen([sys.executable, "-P", "-c", _STARTED, str(theirs.fileno())],
                                                 pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                                                 env=environment, start_new_session=True)  # fmt: skip
            except OSError as error:
                ours.close()
                raise InputError(f"{sys.executable}: cannot be started as a reader ({error.strerror})") from error
        self.answered = 0  # batches
        self.channel = Connection(ours.detach())

    def hand(self, file: int) -> None:
        """Give the process a descriptor of its own of a file."""
        with socket.socket(fileno=os.dup(self.channel.fileno())) as link:
            socket.send_fds(link, [b"."], [file])

    def ending(self) -> str:
        """How it ended."""
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "no more answers"
        return f"signal {-code}" if code < 0 else f"status {code}"

    def end(self) -> None:
        """Kill it: it has nothing to lose."""
        self.channel.close()
        self._process.kill()
        with contextlib.suppress(
            subprocess.TimeoutExpired
        ):  # in a read that nothing ends, it dies when that comes back
            self._process.wait(1)


def _end(owner: int, processes: list[_Process]) -> None:
    if os.getpid() == owner:  # and not a copy of the owner, made by a fork
        for process in processes:
            process.end()


def serve(descriptor: int) -> None:
    """What a process does until the one that started it closes the channel or is gone."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # the one that started it decides
    with Connection(descriptor) as channel, contextlib.suppress(EOFError, OSError):
        _serve(channel)


def _serve(channel: Connection) -> None:
    shards, streams, number, known, at = channel.recv()
    rows = CorpusRows(shards, streams, Shared(known, _handed(channel)))
    here = Shared(at, _handed(channel)).arrays["shard"]
    memory: dict[int, Shared] = {}

    def tell(shard: int) -> None:
        here[number] = shard

    while True:
        part, out, shapes, kept = channel.recv()
        if shapes is not None:
            memory[out] = Shared(shapes, _handed(channel))
        memory = {name: shared for name, shared in memory.items() if name in kept}
        try:
            answer: Suspects | str = rows.read(part, memory[out].arrays, tell)
        except InputError as error:
            answer = str(error)
        except Exception as error:
            answer = f"{shards[int(here[number])].path}: cannot be read ({type(error).__name__}: {error})"
        channel.send(answer)


def _handed(channel: Connection) -> int:
    """The descriptor that comes next."""
    with socket.socket(fileno=os.dup(channel.fileno())) as link:
        _, [file], _, _ = socket.recv_fds(link, 1, 1)
    return file
