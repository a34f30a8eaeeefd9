"""Threads that read windows out of a corpus' shards, and a wait for them that has an end.

Threads and not processes: a read lets go of the interpreter, so files on slow disks and network mounts are read side by
side. They are daemons: one that hangs on a dead mount does not keep the process from ending.
"""

from __future__ import annotations

import itertools
import operator
import queue
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError

READ_TIMEOUT_S = 120.0  # without a window being read after which a read counts as hung


class Reading:
    """Windows to be read, by one thread.

    Args:
        corpus: Where from.
        videos: (W,) the video of each window.
        start: (W,) its first clip.
        clips: (W,) how many it has.
        to: (W,) the row of `out` that its first clip goes to.
        out: (R, D) of each stream to read, and with `audio` (R,) of `audio_mask`.
    """

    def __init__(
        self,
        corpus: Corpus,
        videos: NDArray[np.intp],
        start: NDArray[np.int64],
        clips: NDArray[np.int64],
        to: NDArray[np.int64],
        out: Mapping[str, NDArray[Any]],
    ) -> None:
        self._corpus = corpus
        self._windows = videos, start, clips, to
        self._out = {name: rows.reshape(-1).view(np.uint8).data for name, rows in out.items()}
        self.done: Future[None] = Future()
        self.path: Path = corpus.root  # the shard it is at
        self.count = 0  # of windows that were read

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
        shard, row = self._corpus.shards_of(videos)
        order = np.argsort(shard, kind="stable")
        windows = zip(*(part[order].tolist() for part in (shard, row, start, clips, to)), strict=True)
        for number, group in itertools.groupby(windows, key=operator.itemgetter(0)):
            one = self._corpus.shards[number]
            self.path = one.path
            fills = [(one.packed[name].fill, memory) for name, memory in self._out.items()]
            with one.opened() as file:
                for _, video, begin, length, place in group:
                    first = int(one.offsets[video]) + begin
                    for fill, memory in fills:
                        fill(one, file, first, first + length, memory, place)
                    self.count += 1

    def wait(self) -> None:
        """Wait until all is there.

        Raises:
            InputError: A shard is damaged, gone, or not the file it was; or a read has hung.
        """
        while not self.done.done():
            before = self.count
            try:
                self.done.result(READ_TIMEOUT_S)
            except TimeoutError:
                if self.count == before:
                    raise InputError(
                        f"{self.path}: a read has not come back within {READ_TIMEOUT_S:g} s; "
                        "expected a disk or mount that answers"
                    ) from None
        self.done.result()


class Readers:
    """A number of threads that read what they are given, in order.

    They end with `close`, or when nothing refers to this any more.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._work: queue.SimpleQueue[Reading | None] = queue.SimpleQueue()
        for _ in range(count):
            threading.Thread(target=_serve, args=(self._work,), name="highlight-lit reader", daemon=True).start()
        self._end = weakref.finalize(self, _close, self._work, count)

    def give(
        self,
        corpus: Corpus,
        videos: NDArray[np.intp],
        start: NDArray[np.int64],
        clips: NDArray[np.int64],
        to: NDArray[np.int64],
        out: Mapping[str, NDArray[Any]],
    ) -> list[Reading]:
        """Have windows read, as `Reading` says, spread over the threads."""
        parts = np.array_split(np.argsort(corpus.shards_of(videos)[0], kind="stable"), self.count)
        readings = [Reading(corpus, videos[part], start[part], clips[part], to[part], out) for part in parts]
        for reading in readings:
            self._work.put(reading)
        return readings

    def close(self) -> None:
        """Have the threads end after what they are at."""
        self._end()


def _close(work: queue.SimpleQueue[Reading | None], count: int) -> None:
    with suppress(queue.Empty):
        while True:
            work.get_nowait()
    for _ in range(count):
        work.put(None)


def _serve(work: queue.SimpleQueue[Reading | None]) -> None:
    while (reading := work.get()) is not None:
        reading.run()
        del reading
