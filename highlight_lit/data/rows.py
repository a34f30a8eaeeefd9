"""Rows of a shard read past the HDF5 library, by any number of threads at once, checked by the shard's own checksums.

The library reads under one lock for the whole process. A shard's chunks lie in the file as they are in memory, each
followed by its Fletcher-32 checksum, so that once the library has said where they lie, plain reads do. A chunk is read
whole and checked before a row of it is first given out; after that its rows are read alone.

Python's threads take turns at everything but long calls into C, and a turn costs more than a small call does. So many
windows are read at once, worked out with few calls, and chunks are checked several at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.checksums import all_finite, fletcher32, table_bytes, table_sums
from highlight_lit.data.shard import Layout, Shard, identity
from highlight_lit.errors import InputError

CHECKED_BYTES = 1 << 22
_UNKNOWN, _SOUND, _SUSPECT = range(3)


class _Chunks(NamedTuple):
    layout: Layout
    state: NDArray[np.uint8]  # (chunks,) _UNKNOWN, _SOUND, or _SUSPECT: sound, with a value that is not finite


class _Pieces:
    """What windows of rows have in single chunks: a piece each, in the order of the windows.

    Attributes:
        of_window: (W,) each window's first piece.
        chunk: (P,) where a piece lies.
        skip: (P,) bytes of the chunk before it.
        start, stop: (P,) bytes of the memory that it goes to.
    """

    def __init__(
        self, layout: Layout, first: NDArray[np.int64], count: NDArray[np.int64], at: NDArray[np.intp]
    ) -> None:
        of_chunk = first // layout.rows
        pieces = (first + count - 1) // layout.rows - of_chunk + 1
        self.of_window = np.cumsum(pieces) - pieces
        window = np.repeat(np.arange(len(first)), pieces)
        self.chunk = of_chunk[window] + np.arange(len(window)) - self.of_window[window]
        low = np.maximum(first[window], self.chunk * layout.rows)
        high = np.minimum((first + count)[window], (self.chunk + 1) * layout.rows)
        self.skip = (low - self.chunk * layout.rows) * layout.row_bytes
        self.start = at[window] + (low - first[window]) * layout.row_bytes
        self.stop = self.start + (high - low) * layout.row_bytes

    def lists(self, which: NDArray[np.bool_]) -> tuple[list[int], list[int], list[int]]:
        """`skip`, `start` and `stop` of some, to be gone through."""
        skip, start, stop = (part[which].tolist() for part in (self.skip, self.start, self.stop))
        return skip, start, stop


class ShardRows:
    """Reads rows of one shard into arrays of the caller, from any thread.

    Args:
        shard: The shard; its file must stay the one it was opened on.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._chunks: dict[str, _Chunks | None] = {}
        self._heard: NDArray[np.uint8] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the file for some reads.

        Raises:
            InputError: Before or after them the file is gone, or no longer the one that was opened: replaced, cut or
                written to.
        """
        path = self.shard.path
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"{path}: cannot be read any more ({error.strerror}); expected a feature shard") from error
        try:
            self._same(file)
            yield file
            self._same(file)
        finally:
            os.close(file)

    def _same(self, file: int) -> None:
        if identity(os.fstat(file)) != self.shard.identity:
            raise InputError(f"{self.shard.path}: replaced or changed since it was opened; expected the same file")

    def read(
        self,
        file: int,
        name: str,
        first: NDArray[np.int64],
        count: NDArray[np.int64],
        out: NDArray[Any],
        into: NDArray[np.intp],
    ) -> NDArray[np.bool_]:
        """Read windows of rows of `visual` or `audio`.

        Args:
            file: From `opened`.
            name: The dataset.
            first, count: (W,) the row each window starts at, and how many it has, at least 1.
            out: (B, tau, ...) contiguous, of the dataset's type; rows beyond a window's are left as they are.
            into: (W,) which of the B each window goes into, from its start.

        Returns:
            (W,) whether a value of the window, or near it, may be NaN or infinite.

        Raises:
            InputError: A chunk is damaged, or the file ends too soon.
        """  # fmt: skip
        chunks = self._of(name)
        if chunks is None:
            with self._lock:
                for start, rows, bag in zip(first.tolist(), count.tolist(), into.tolist(), strict=True):
                    out[bag, :rows] = self.shard.rows(name, start, start + rows)
            return np.ones(len(first), bool)
        layout = chunks.layout
        pieces = _Pieces(layout, first, count, into * out.shape[1] * layout.row_bytes)
        memory = out.reshape(-1).view(np.uint8)
        unknown = chunks.state[pieces.chunk] == _UNKNOWN
        offsets = layout.offsets[pieces.chunk[~unknown]].tolist()
        for offset, skip, start, stop in zip(offsets, *pieces.lists(~unknown), strict=True):
            self._pread(file, [memory.data[start:stop]], offset + skip)
        for group, bodies in self._checked(file, name, chunks, np.unique(pieces.chunk[unknown])):
            here = unknown & np.isin(pieces.chunk, group)
            within = np.searchsorted(group, pieces.chunk[here]).tolist()
            for body, skip, start, stop in zip(within, *pieces.lists(here), strict=True):
                memory[start:stop] = bodies[body, skip : skip + stop - start]
        return np.asarray(np.add.reduceat(chunks.state[pieces.chunk] == _SUSPECT, pieces.of_window) > 0)

    def heard(self, first: NDArray[np.int64], tau: int) -> NDArray[np.uint8]:
        """(W, tau) rows of `heard` from `first` on, any beyond the last; kept in memory, a bit a clip, once asked for."""
        with self._lock:
            if self._heard is None:
                self._heard = np.packbits(self.shard.rows("heard", 0, int(self.shard.offsets[-1])))
        row = np.minimum(first[:, None] + np.arange(tau), 8 * len(self._heard) - 1)
        return np.asarray(self._heard[row >> 3] >> (7 - (row & 7)) & 1, np.uint8)

    def _of(self, name: str) -> _Chunks | None:
        """Where a dataset's chunks lie; None where only the library can read them (compressed, say)."""
        if name not in self._chunks:
            with self._lock:
                if name not in self._chunks:
                    layout = self.shard.layout(name)
                    state = None if layout is None else np.zeros(len(layout.offsets), np.uint8)
                    self._chunks[name] = None if layout is None or state is None else _Chunks(layout, state)
        return self._chunks[name]

    def _checked(
        self, file: int, name: str, chunks: _Chunks, unknown: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Read and check chunks, a few at a time: which they are, and (K, bytes) what is in them."""
        layout, state = chunks.layout, chunks.state
        size = layout.rows * layout.row_bytes
        together = max(1, CHECKED_BYTES // size)
        bodies = np.zeros((min(len(unknown), together), table_bytes(size)), np.uint8)
        stored = np.empty(len(bodies), "<u4")
        for start in range(0, len(unknown), together):
            group = unknown[start : start + together]
            tails = stored.view(np.uint8).reshape(-1, 4)
            for body, tail, chunk in zip(bodies, tails, group.tolist(), strict=False):
                self._pread(file, [body[:size].data, tail.data], int(layout.offsets[chunk]))
            found = bodies[: len(group)]
            if layout.sums is not None:
                sound = table_sums(found) == layout.sums[group]
            else:
                sound = fletcher32(found[:, :size]) == stored[: len(group)]
            if len(bad := group[~sound]):
                row = int(bad[0]) * layout.rows
                raise InputError(
                    f"{self.shard.path}: {name}: rows {row} to {row + layout.rows - 1} are damaged: "
                    "their checksum differs from the one stored with them"
                )
            state[group] = np.where(all_finite(found, layout.dtype), _SOUND, _SUSPECT)
            yield group, found

    def _pread(self, file: int, into: list[memoryview], offset: int) -> None:
        """Fill buffers from the file."""
        path, size = self.shard.path, sum(map(len, into))
        try:
            if (got := os.preadv(file, into, offset)) == size:
                return
        except (OSError, OverflowError, ValueError) as error:
            raise InputError(f"{path}: cannot be read at byte {offset} ({error})") from error
        if got == 0:
            raise InputError(f"{path}: ends before byte {offset + size}: truncated or damaged")
        while into and got >= len(into[0]):
            got -= len(into.pop(0))
        self._pread(file, [into[0][got:], *into[1:]], offset + size - sum(map(len, into)) + got)
