"""Rows of a shard by plain reads, each checked when it is first touched.

Not a memory map: a file that is cut under one kills the process, where a read fails with an error.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from highlight_lit.data.shards.format import BLOCK_ROWS, all_finite
from highlight_lit.errors import InputError

MAX_CHECK_BYTES = 1 << 20  # read and then checked at once: what stays in the cache of a core
MAX_KEPT_BYTES = 1  # of a row, as of `audio_mask`: all rows are kept in memory, since a read costs more


class Owner(Protocol):
    """The shard that rows are of."""

    def library_rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows through the HDF5 library."""

    def not_finite(self, name: str, row: int) -> InputError:
        """The error for a row with a value that is NaN or infinite."""


class PackedRows:
    """The rows of `visual`, `audio` or `audio_mask` of one shard, and which of them are known to be valid.

    Args:
        path: The shard.
        name: The dataset.
        rows: How many it has.
        row_bytes: Of each.
        dtype: Of its values.
        place: The bytes of the file at which the rows and their sums begin; None where they lie otherwise, and the
            HDF5 library reads them.
    """

    def __init__(
        self, path: Path, name: str, rows: int, row_bytes: int, dtype: np.dtype[Any], place: tuple[int, int] | None
    ) -> None:
        self.path, self.name, self.rows, self.row_bytes, self.dtype = path, name, rows, row_bytes, dtype
        self.place = place
        self.reads = 0  # that came back
        self._begin, self._begin_sums = place or (0, 0)
        self._valid = bytearray(-(-rows // BLOCK_ROWS))  # of each block 1 once it was checked
        self._sums: Sequence[int] = ()
        self._kept: bytes | None = None  # all rows, where they are small, once one was read

    def fill(
        self,
        owner: Owner,
        file: int,
        start: NDArray[np.int64],
        stop: NDArray[np.int64],
        memory: memoryview,
        to: NDArray[np.int64],
    ) -> None:
        """Read windows of rows, each to a place in memory.

        Args:
            owner: The shard.
            file: A descriptor of it.
            start, stop: (W,) of each window's rows; within 0 to `rows`.
            memory: Bytes.
            to: (W,) the row of the memory, as wide as these are, that a window's first one goes to.

        Raises:
            InputError: The rows are damaged, or not finite, or the file ends too soon or cannot be read.
        """
        size = self.row_bytes
        valid = self._are_valid(start, stop) if self.place is not None and size > MAX_KEPT_BYTES else None
        for window in range(len(start)) if valid is None else np.flatnonzero(~valid).tolist():
            self._fill(owner, file, int(start[window]), int(stop[window]), memory, int(to[window]))
        if valid is None or not valid.any():
            return
        low, high = to[valid] * size, (to + stop - start)[valid] * size
        source = self._begin + start[valid] * size
        # What most reads of an epoch come to: nothing but the read.
        for begin, end, offset in zip(low.tolist(), high.tolist(), source.tolist(), strict=True):
            self._read(file, memory[begin:end], offset)

    def _are_valid(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(W,) whether every block that a window touches was checked."""
        first, end = start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)
        low = int(first.min(initial=0))
        checked = np.zeros(len(self._valid) - low + 1, np.int64)
        np.cumsum(np.frombuffer(self._valid, np.uint8)[low:], out=checked[1:])
        found: NDArray[np.bool_] = checked[end - low] - checked[first - low] == end - first
        return found

    def _fill(self, owner: Owner, file: int, start: int, stop: int, memory: memoryview, to: int) -> None:
        size = self.row_bytes
        into = memory[to * size : (to + stop - start) * size]
        if self.place is None:
            into[:] = self._through_library(owner, start, stop)
        elif size <= MAX_KEPT_BYTES:
            if self._kept is None:
                self._kept = bytes(self._checked(owner, file, 0, len(self._valid)))
            into[:] = self._kept[start * size : stop * size]
        else:
            first, end = start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)
            step = max(1, MAX_CHECK_BYTES // (BLOCK_ROWS * size))
            for low in range(first, end, step):
                found = self._checked(owner, file, low, min(low + step, end))
                at = low * BLOCK_ROWS * size  # the byte of the rows that `found` begins with
                begin, close = max(start * size, at), min(stop * size, at + len(found))
                into[begin - start * size : close - start * size] = found[begin - at : close - at]

    def _through_library(self, owner: Owner, start: int, stop: int) -> memoryview:
        values = np.ascontiguousarray(owner.library_rows(self.name, start, stop))
        self._refuse_not_finite(values, owner, start)
        return values.reshape(-1).view(np.uint8).data

    def _checked(self, owner: Owner, file: int, low: int, high: int) -> memoryview:
        """The bytes of blocks `low` to `high`, checked by their sums and for values that are not finite."""
        if not self._sums:
            sums = np.empty(len(self._valid), "<u8")
            self._read(file, sums.view(np.uint8).data, self._begin_sums)
            self._sums = sums.astype("=u8").data  # a memoryview: its items are numbers of Python, and take 8 bytes each
        start, size = low * BLOCK_ROWS, BLOCK_ROWS * self.row_bytes
        found = np.empty((min(high * BLOCK_ROWS, self.rows) - start) * self.row_bytes, np.uint8)
        data = found.data
        self._read(file, data, self._begin + start * self.row_bytes)
        for number, at in enumerate(range(0, len(data), size), low):
            if xxhash.xxh3_64_intdigest(data[at : at + size]) != self._sums[number]:
                row = number * BLOCK_ROWS
                raise InputError(
                    f"{self.path}: {self.name}: rows {row} to {min(row + BLOCK_ROWS, self.rows) - 1} are damaged: "
                    "their checksum differs from the one stored with them"
                )
        self._refuse_not_finite(found.view(self.dtype), owner, start)
        self._valid[low:high] = b"\1" * (high - low)
        return data

    def _refuse_not_finite(self, values: NDArray[Any], owner: Owner, first: int) -> None:
        if not all_finite(values):
            valid = np.isfinite(values.reshape(-1, self.row_bytes // self.dtype.itemsize)).all(axis=1)
            raise owner.not_finite(self.name, first + int(np.argmin(valid)))

    def _read(self, file: int, into: memoryview, offset: int) -> None:
        """Fill a buffer from a byte of the file on."""
        while True:
            try:
                got = os.preadv(file, [into], offset)
            except (OSError, OverflowError, ValueError) as error:
                raise InputError(f"{self.path}: cannot be read at byte {offset} ({error})") from error
            self.reads += 1
            if got == len(into):
                return
            if got == 0:
                raise InputError(f"{self.path}: ends before byte {offset + len(into)}: truncated or damaged")
            into, offset = into[got:], offset + got
