"""Rows of a shard by plain reads, each checked when it is first touched.

Not a memory map: a file that is cut under one kills the process, where a read fails with an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from highlight_lit.data.shards.format import BLOCK_ROWS, all_finite
from highlight_lit.errors import InputError

MAX_CHECK_BYTES = 1 << 20  # read before they are checked: what stays in the cache of a core
Invalid = Callable[[int], InputError]  # the error for a row whose values are not finite
Library = Callable[[str, int, int], NDArray[Any]]  # rows of a dataset through the HDF5 library


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
        self.path, self.name, self.rows, self.row_bytes, self.dtype, self.place = (
            path, name, rows, row_bytes, dtype, place
        )  # fmt: skip
        self._valid = bytearray()  # of each block 1 once it was checked; empty before the first read
        self._sums: Sequence[int] = ()

    def fill(
        self, file: int, start: int, stop: int, memory: memoryview, to: int, library: Library, invalid: Invalid
    ) -> None:
        """Read rows `start` to `stop` to a place in memory.

        Args:
            file: A descriptor of the shard.
            start, stop: Within 0 to `rows`.
            memory: Bytes.
            to: Where in `memory` the first row goes.
            library, invalid: What to call where the HDF5 library is needed, or a value is not finite.

        Raises:
            InputError: The rows are damaged, or not finite, or the file ends too soon or cannot be read.
        """
        if self.place is None:
            values = np.ascontiguousarray(library(self.name, start, stop))
            self._refuse_not_finite(values, start, invalid)
            memory[to : to + values.nbytes] = values.reshape(-1).view(np.uint8).data
            return
        first, end = start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)
        if not self._valid:
            self._read_sums(file)
        if self._valid.find(0, first, end) < 0:
            self._read(file, memory[to : to + (stop - start) * self.row_bytes], self.place[0] + start * self.row_bytes)
            return
        step = max(1, MAX_CHECK_BYTES // (BLOCK_ROWS * self.row_bytes))
        for low in range(first, end, step):
            high = min(low + step, end)
            found, begin = self._checked(file, low, high, invalid), low * BLOCK_ROWS
            low_row, high_row = max(start, begin), min(stop, high * BLOCK_ROWS)
            part = found[(low_row - begin) * self.row_bytes : (high_row - begin) * self.row_bytes]
            at = to + (low_row - start) * self.row_bytes
            memory[at : at + len(part)] = part
            self._valid[low:high] = b"\1" * (high - low)

    def _read_sums(self, file: int) -> None:
        assert self.place is not None
        sums = np.empty(-(-self.rows // BLOCK_ROWS), "<u8")
        self._read(file, sums.view(np.uint8).data, self.place[1])
        self._sums = sums.astype("=u8").data  # as a memoryview: its items are numbers of Python, and take 8 bytes each
        self._valid = bytearray(len(sums))  # last: another thread takes it for a sign that the sums are there

    def _checked(self, file: int, low: int, high: int, invalid: Invalid) -> memoryview:
        """The bytes of blocks `low` to `high`, checked by their sums and for values that are not finite."""
        assert self.place is not None
        start, stop, size = low * BLOCK_ROWS, min(high * BLOCK_ROWS, self.rows), BLOCK_ROWS * self.row_bytes
        found = np.empty((stop - start) * self.row_bytes, np.uint8)
        data = found.data
        self._read(file, data, self.place[0] + start * self.row_bytes)
        for number, at in enumerate(range(0, len(data), size), low):
            if xxhash.xxh3_64_intdigest(data[at : at + size]) != self._sums[number]:
                row = number * BLOCK_ROWS
                raise InputError(
                    f"{self.path}: {self.name}: rows {row} to {min(row + BLOCK_ROWS, self.rows) - 1} are damaged: "
                    "their checksum differs from the one stored with them"
                )
        self._refuse_not_finite(found.view(self.dtype).reshape(stop - start, -1), start, invalid)
        return data

    def _refuse_not_finite(self, values: NDArray[Any], first: int, invalid: Invalid) -> None:
        if not all_finite(values):
            raise invalid(first + int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(axis=1))))

    def _read(self, file: int, into: memoryview, offset: int) -> None:
        """Fill a buffer from a byte of the file on."""
        while len(into):
            try:
                got = os.preadv(file, [into], offset)
            except (OSError, OverflowError, ValueError) as error:
                raise InputError(f"{self.path}: cannot be read at byte {offset} ({error})") from error
            if got == len(into):
                return
            if got == 0:
                raise InputError(f"{self.path}: ends before byte {offset + len(into)}: truncated or damaged")
            into, offset = into[got:], offset + got
