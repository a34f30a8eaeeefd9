"""Threads that read windows out of a corpus' shards, and a wait for them that has an end.

Threads and not processes: a read lets go of the interpreter, so files on slow disks and network mounts are read side by
side. They are daemons: one that hangs on a dead mount does not keep the process from ending.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.shards import Shard
from highlight_lit.data.shards.hdf5 import LIBRARY_ROWS
from highlight_lit.data.shards.reader import PIECE_ROWS
from highlight_lit.errors import InputError

READ_TIMEOUT_S = 120.0  # after which a read counts as hung
PART_ROWS = 1024  # of whole videos: fewer cost more than the threads gain
WINDOWS = 64  # read between two looks whether anybody still waits
# For threads to end: one that still runs when the interpreter ends takes the process down with it.
CLOSE_TIMEOUT_S = 2.0


class Windows(NamedTuple):
    """Windows of a corpus' videos, and where they go.

    Attributes:
        videos: (W,) the video of each.
        start: (W,) its first clip.
        clips: (W,) how many it has.
        to: (W,) the row that its first clip goes to.
    """

    videos: NDArray[np.intp]
    start: NDArray[np.int64]
    clips: NDArray[np.int64]
    to: NDArray[np.int64]


class Reading:
    """Windows to be read, by one thread.

    Args:
        corpus: Where from.
        windows: Those of a shard side by side.
        out: (R, D) of each stream to read, and with `audio` (R,) of `audio_mask`.
        room: The rows of `out` that each window has at least: those beyond its clips repeat its first.
    """

    def __init__(self, corpus: Corpus, windows: Windows, out: Mapping[str, NDArray[Any]], room: int = 0) -> None:
        self._corpus, self._windows, self._out, self._room = corpus, windows, out, room
        self.ending = threading.Event()  # set when nobody waits for the windows any more
        self.done: Future[None] = Future()
        self._shard: Shard | None = None  # the one being read

    def run(self) -> None:
        """Read them all; what goes wrong is kept for `wait`."""
        try:
            self._read()
        except BaseException as error:
            self.done.set_exception(error)
        else:
            self.done.set_result(None)

    def _read(self) -> None:
        videos, start, clips, to = self._windows
        number = self._corpus.shards_of(videos)[0]
        first = self._corpus.begin[videos] + start
        windows = list(zip(first.tolist(), (first + clips).tolist(), to.tolist(), strict=True))
        memory = {name: rows.reshape(-1).view(np.uint8).data for name, rows in self._out.items()}
        edges = np.unique([0, *np.flatnonzero(np.diff(number)) + 1, len(number)]).tolist()
        for low, high in pairwise(edges):
            self._shard = shard = self._corpus.shards[number[low]]
            with shard.opened() as file:
                for at in range(low, high, WINDOWS):
                    if self.ending.is_set():
                        return
                    for name, rows in memory.items():
                        shard.packed[name].fill(file, windows[at : min(at + WINDOWS, high)], rows, self._room)

    def _reads(self) -> tuple[Shard | None, int]:
        rows = self._shard.packed.values() if self._shard else ()
        return self._shard, sum(each.reads for each in rows)

    def wait(self) -> None:
        """Wait until all windows are read.

        Raises:
            InputError: A shard is damaged, gone, or not the file it was; or a read has hung.
        """
        while not self.done.done():
            before = self._reads()
            try:
                self.done.result(READ_TIMEOUT_S)
            except TimeoutError:
                if self._reads() == before:
                    where = self._shard.path if self._shard else self._corpus.root
                    raise InputError(
                        f"{where}: a read has not come back within {READ_TIMEOUT_S:g} s; "
                        "expected a disk or mount that answers"
                    ) from None
        self.done.result()


def in_parts(corpus: Corpus, videos: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Videos that are read at once, in their order: of about `PART_ROWS` clips, or one."""
    part = np.cumsum(corpus.clips[videos]) // PART_ROWS
    return np.split(videos, np.flatnonzero(np.diff(part)) + 1)


def whole_videos(
    corpus: Corpus, videos: NDArray[np.intp], streams: Sequence[str], threads: Readers
) -> dict[str, NDArray[Any]]:
    """All clips of some videos, one video after the other: (R, D) of each stream, and with audio (R,) of `audio_mask`.

    Raises:
        InputError: As `Reading.wait`.
    """
    clips = corpus.clips[videos]
    first, total = np.cumsum(clips) - clips, int(clips.sum())
    rows: dict[str, NDArray[Any]] = {
        name: np.empty((total, corpus.streams[name].width), corpus.streams[name].dtype) for name in streams
    }
    if "audio" in streams:
        rows["audio_mask"] = np.empty(total, np.uint8)
    slow = any(corpus.shards[number].slow for number in np.unique(corpus.shards_of(videos)[0]))
    step = LIBRARY_ROWS if slow else PIECE_ROWS
    pieces = -(-clips // step)
    owner = np.repeat(np.arange(len(videos)), pieces)
    start = (np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)) * step
    windows = Windows(videos[owner], start, np.minimum(clips[owner] - start, step), first[owner] + start)
    for reading in threads.give(corpus, windows, rows):
        reading.wait()
    if "audio" in streams and corpus.audio_way is not None:
        for video, at, count in zip(videos.tolist(), first.tolist(), clips.tolist(), strict=True):
            own = slice(at, at + count)
            mask = rows["audio_mask"][own].astype(bool)
            rows["audio"][own] = corpus.audio_way(rows["audio"][own], mask, bytes(corpus.ids[video]))
    return rows


class Readers:
    """A number of threads that read what they are given, in order.

    They end with `close`, or when nothing refers to this any more.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._work: queue.SimpleQueue[Reading | None] = queue.SimpleQueue()
        self._ending = threading.Event()
        options: dict[str, Any] = {"target": _serve, "args": (self._work,), "name": "highlight-lit reader"}
        threads = [threading.Thread(**options, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        self._end = weakref.finalize(self, _close, self._work, self._ending, threads)

    def give(self, corpus: Corpus, windows: Windows, out: Mapping[str, NDArray[Any]], room: int = 0) -> list[Reading]:
        """Spread windows over the threads, each of which reads its part as a `Reading`."""
        parts = np.array_split(np.argsort(windows.videos), self.count)
        readings = [Reading(corpus, Windows(*(column[part] for column in windows)), out, room) for part in parts]
        for reading in readings:
            reading.ending = self._ending
            self._work.put(reading)
        return readings

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads; one that hangs is waited for `CLOSE_TIMEOUT_S` at most."""
        self._end()


def _close(
    work: queue.SimpleQueue[Reading | None], ending: threading.Event, threads: Sequence[threading.Thread]
) -> None:
    ending.set()
    with suppress(queue.Empty):
        while True:
            work.get_nowait()
    for _ in threads:
        work.put(None)
    until = time.monotonic() + CLOSE_TIMEOUT_S
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))


def _serve(work: queue.SimpleQueue[Reading | None]) -> None:
    while (reading := work.get()) is not None:
        reading.run()
        del reading
