"""Rows of a shard by plain reads, each checked when it is first touched.

Not a memory map: a file that is cut under one kills the process, where a read fails with an error.
"""

from __future__ import annotations

import math
import os
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.shards.format import ALGORITHM, BLOCK_ROWS, all_finite, checksum
from highlight_lit.data.shards.hdf5 import HDF5, reading
from highlight_lit.data.video import MEND_FEATURES
from highlight_lit.errors import InputError

MAX_CHECK_BYTES = 1 << 20  # read and then checked at once: what stays in the cache of a core
MAX_KEPT_BYTES = 1  # of a row, as of `audio_mask`: all rows are kept in memory, since a read costs more


class PackedRows:
    """The rows of `visual`, `audio` or `audio_mask` of one shard, and which of them are known to be valid.

    Args:
        file: The shard.
        name: The dataset.
        offsets: (N + 1,) the first row of each video.

    Attributes:
        dtype, shape: Of a row.
        extent: The bytes of the file at which the rows begin and end; None where they are not stored as this version
            does, and the HDF5 library reads them.
        reads: How many came back.
    """

    def __init__(self, file: HDF5, name: str, offsets: NDArray[np.int64]) -> None:
        dataset = file[name]
        self.dtype, self.shape = dataset.dtype, dataset.shape[1:]
        self.reads = 0
        self._file, self._name, self._offsets = file, name, offsets
        self._rows, self._row_bytes = len(dataset), self.dtype.itemsize * math.prod(self.shape)
        self._begin, self._begin_sums = self._place(dataset) or (0, 0)
        self.extent = (self._begin, self._begin + self._rows * self._row_bytes) if self._begin else None
        self._valid = bytearray(-(-self._rows // BLOCK_ROWS))  # of each block 1 once it was checked
        self._sums: memoryview | None = None
        self._kept: memoryview | None = None  # all rows, where they are small, once one was read

    def _place(self, dataset: h5py.Dataset) -> tuple[int, int] | None:
        """The bytes of the file at which the rows and their sums begin."""
        name = f"{self._name}_sums"
        if name not in self._file:
            return None
        sums = self._file[name]
        begins = dataset.id.get_offset(), sums.id.get_offset()
        if None in begins or sums.attrs.get("algorithm") != ALGORITHM or sums.attrs.get("block_rows") != BLOCK_ROWS:
            return None
        if sums.dtype != np.dtype("<u8") or sums.shape != (-(-self._rows // BLOCK_ROWS),):
            raise self._fault(f"{name}: {sums.dtype} of shape {sums.shape}, expected one a block of rows")
        if any(at + part.nbytes > self._file.size for at, part in zip(begins, (dataset, sums), strict=True)):
            raise self._fault(f"{self._name}: goes on beyond the end of the file: truncated or damaged")
        return begins

    def fill(
        self, file: int, start: NDArray[np.int64], stop: NDArray[np.int64], memory: memoryview, to: NDArray[np.int64]
    ) -> None:
        """Read windows of rows, each to a place in memory.

        Args:
            file: A descriptor of the shard.
            start, stop: (W,) of each window's rows.
            memory: Bytes.
            to: (W,) the row of the memory, as wide as these are, that a window's first one goes to.

        Raises:
            InputError: The rows are damaged, or not finite, or the file ends too soon or cannot be read.
        """
        size = self._row_bytes
        for first, end, at in zip(start.tolist(), stop.tolist(), to.tolist(), strict=True):
            into = memory[at * size : (at + end - first) * size]
            if self.extent is None:
                self._through_library(into, first, end)
            elif size <= MAX_KEPT_BYTES:
                self._kept = self._kept or self._checked(file, 0, len(self._valid))
                into[:] = self._kept[first * size : end * size]
            else:
                self._check(file, first // BLOCK_ROWS, -(-end // BLOCK_ROWS))
                self._read(file, into, self._begin + first * size)

    def _through_library(self, into: memoryview, start: int, stop: int) -> None:
        if start == stop:
            return
        values = np.frombuffer(into, self.dtype).reshape(stop - start, *self.shape)
        with reading(self._file.path):
            self._file[self._name].read_direct(values, np.s_[start:stop])
        self._refuse_not_finite(values, start)

    def _check(self, file: int, first: int, end: int) -> None:
        """Check the blocks from `first` to `end` that were not yet."""
        step = max(1, MAX_CHECK_BYTES // (BLOCK_ROWS * self._row_bytes))
        while (low := self._valid.find(0, first, end)) >= 0:
            self._checked(file, low, min(low + step, end))

    def _checked(self, file: int, low: int, high: int) -> memoryview:
        """The bytes of blocks `low` to `high`, checked by their sums and for values that are not finite."""
        if self._sums is None:
            sums = np.empty(len(self._valid), "<u8")
            self._read(file, sums.view(np.uint8).data, self._begin_sums)
            self._sums = sums.astype("=u8").data  # a memoryview: its items are numbers of Python, and take 8 bytes each
        first, size = low * BLOCK_ROWS, BLOCK_ROWS * self._row_bytes
        rows = np.empty((min(high * BLOCK_ROWS, self._rows) - first, *self.shape), self.dtype)
        data = rows.reshape(-1).view(np.uint8).data
        self._read(file, data, self._begin + first * self._row_bytes)
        for block, at in enumerate(range(0, len(data), size), low):
            if checksum(data[at : at + size]) != self._sums[block]:
                damaged = f"rows {block * BLOCK_ROWS} to {min((block + 1) * BLOCK_ROWS, self._rows) - 1} are damaged"
                raise self._fault(f"{self._name}: {damaged}: their checksum differs from the one stored with them")
        self._refuse_not_finite(rows, first)
        self._valid[low:high] = b"\1" * (high - low)
        return data

    def _refuse_not_finite(self, rows: NDArray[Any], first: int) -> None:
        if all_finite(rows):
            return
        row = first + int(np.argmin(np.isfinite(rows).all(axis=1)))
        video = int(np.searchsorted(self._offsets, row, side="right")) - 1
        with reading(self._file.path):
            name = self._file["id"][video].decode()
        what = f"{self._name}: NaN or infinite in clip {row - int(self._offsets[video])}"
        raise self._fault(f"video {name!r} (row {video}): {what}; {MEND_FEATURES}, and make the corpus again")

    def _read(self, file: int, into: memoryview, offset: int) -> None:
        """Fill a buffer from a byte of the file on."""
        while len(into):
            try:
                got = os.preadv(file, [into], offset)
            except (OSError, OverflowError, ValueError) as error:
                raise self._fault(f"cannot be read at byte {offset} ({error})") from error
            self.reads += 1
            if got == 0:
                raise self._fault(f"ends before byte {offset + len(into)}: truncated or damaged")
            into, offset = into[got:], offset + got

    def _fault(self, what: str) -> InputError:
        return InputError(f"{self._file.path}: {what}")
