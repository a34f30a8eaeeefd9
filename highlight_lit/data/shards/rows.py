"""Rows of a shard by plain reads, each checked when it is first touched.

Not a memory map: a file that is cut under one kills the process, where a read fails with an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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
        self._begin, self._begin_sums = place or (0, 0)
        self._valid = bytearray(-(-rows // BLOCK_ROWS))  # of each block 1 once it was checked
        self._sums: Sequence[int] = ()
        self._kept: bytes | None = None  # all rows, where they are small, once one was read

    def fill(self, owner: Owner, file: int, start: int, stop: int, memory: memoryview, to: int) -> None:
        """Read rows to a place in memory.

        Args:
            owner: The shard.
            file: A descriptor of it.
            start, stop: Of the rows; within 0 to `rows`.
            memory: Bytes.
            to: The row of the memory, as wide as these are, that the first one goes to.

        Raises:
            InputError: The rows are damaged, or not finite, or the file ends too soon or cannot be read.
        """
        size, at = self.row_bytes, to * self.row_bytes
        first, end = start // BLOCK_ROWS, (stop + BLOCK_ROWS - 1) // BLOCK_ROWS
        into = memory[at : at + (stop - start) * size]
        if self.place is None:
            into[:] = self._through_library(owner, start, stop)
        elif size <= MAX_KEPT_BYTES:
            if self._kept is None:
                self._kept = b"".join(self._checked_parts(owner, file, 0, len(self._valid)))
            into[:] = self._kept[start * size : stop * size]
        elif self._valid.find(0, first, end) < 0:
            self._read(file, into, self._begin + start * size)
        else:
            at = first * BLOCK_ROWS
            for found in self._checked_parts(owner, file, first, end):
                low, high = max(start, at), min(stop, at + len(found) // size)
                into[(low - start) * size : (high - start) * size] = found[(low - at) * size : (high - at) * size]
                at += len(found) // size

    def _through_library(self, owner: Owner, start: int, stop: int) -> memoryview:
        values = np.ascontiguousarray(owner.library_rows(self.name, start, stop))
        self._refuse_not_finite(values, owner, start)
        return values.reshape(-1).view(np.uint8).data

    def _checked_parts(self, owner: Owner, file: int, first: int, end: int) -> Iterator[memoryview]:
        """Blocks `first` to `end`, a few at a time, once these were checked."""
        if not self._sums:
            sums = np.empty(len(self._valid), "<u8")
            self._read(file, sums.view(np.uint8).data, self._begin_sums)
            self._sums = sums.astype("=u8").data  # a memoryview: its items are numbers of Python, and take 8 bytes each
        step = max(1, MAX_CHECK_BYTES // (BLOCK_ROWS * self.row_bytes))
        for low in range(first, end, step):
            high = min(low + step, end)
            yield self._checked(owner, file, low, high)
            self._valid[low:high] = b"\1" * (high - low)

    def _checked(self, owner: Owner, file: int, low: int, high: int) -> memoryview:
        """The bytes of blocks `low` to `high`, checked by their sums and for values that are not finite."""
        start, size = low * BLOCK_ROWS, BLOCK_ROWS * self.row_bytes
        found = np.empty(min(high * BLOCK_ROWS, self.rows) * self.row_bytes - start * self.row_bytes, np.uint8)
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
            if got == len(into):
                return
            if got == 0:
                raise InputError(f"{self.path}: ends before byte {offset + len(into)}: truncated or damaged")
            into, offset = into[got:], offset + got
