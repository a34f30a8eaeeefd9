"""Rows of a shard by plain reads, each checked when it is first touched.

Not a memory map: a file that is cut under one kills the process, where a read fails with an error.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.shards.format import ALGORITHM, BLOCK_ROWS, checksum
from highlight_lit.data.shards.hdf5 import HDF5, reading
from highlight_lit.data.video import MEND_FEATURES, all_finite
from highlight_lit.errors import InputError
from highlight_lit.untrusted.hdf5_files import attribute

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
        self._file, self._name, self._offsets = file, name, offsets
        self.reads, self._where = 0, f"{file.path}: {name}"
        self._rows, self._row_bytes = len(dataset), self.dtype.itemsize * math.prod(self.shape)
        self._begin, self._begin_sums = self._place(dataset) or (0, 0)
        self.extent = (self._begin, self._begin + self._rows * self._row_bytes) if self._begin else None
        self._valid = bytearray(-(-self._rows // BLOCK_ROWS))  # of each block 1 once it was checked
        self._sums: array[int] | None = None
        self._kept: bytes | None = None  # all rows, where they are small, once one was read

    def _place(self, dataset: h5py.Dataset) -> tuple[int, int] | None:
        """The bytes of the file at which the rows and their sums begin."""
        name = f"{self._name}_sums"
        if name not in self._file:
            return None
        sums = self._file[name]
        begins = dataset.id.get_offset(), sums.id.get_offset()
        told = [attribute(sums, key) for key in ("algorithm", "block_rows")]
        if None in begins or told != [ALGORITHM, BLOCK_ROWS]:
            return None
        if sums.dtype != np.dtype("<u8") or sums.shape != (-(-self._rows // BLOCK_ROWS),):
            raise InputError(f"{self._where}_sums: {sums.dtype} of shape {sums.shape}, expected one a block of rows")
        if any(at + part.nbytes > self._file.size for at, part in zip(begins, (dataset, sums), strict=True)):
            raise InputError(f"{self._where}: goes on beyond the end of the file: truncated or damaged")
        return begins

    def fill(self, file: int, windows: Iterable[tuple[int, int, int]], memory: memoryview, room: int = 0) -> None:
        """Read windows of rows, each to a place in memory.

        Args:
            file: A descriptor of the shard.
            windows: Of each the first row, the one after its last, and the row of the memory that its first goes to.
            memory: Bytes.
            room: Rows that each window has there: those beyond its own repeat its first.

        Raises:
            InputError: The rows are damaged, or not finite, or the file ends too soon or cannot be read.
        """
        size = self._row_bytes
        if self._kept is None and self.extent is not None and size <= MAX_KEPT_BYTES:
            self._kept = bytes(self._checked(file, 0, self._rows))
        for first, end, to in windows:
            stop = (to + end - first) * size
            into = memory[to * size : stop]
            if self._kept is not None:
                into[:] = self._kept[first * size : end * size]
            elif self.extent is None:
                self._through_library(into, first, end)
            elif self._valid.find(0, first // BLOCK_ROWS, -(-end // BLOCK_ROWS)) < 0:
                self._read(file, into, self._begin + first * size)
            else:
                into[:] = self._checked(file, first, end)
            if (missing := room - (end - first)) > 0:
                memory[stop : stop + missing * size] = into[:size].tobytes() * missing

    def _through_library(self, into: memoryview, first: int, end: int) -> None:
        values = np.frombuffer(into, self.dtype).reshape(end - first, *self.shape)
        with reading(self._file.path):
            self._file[self._name].read_direct(values, np.s_[first:end])
        self.reads += 1
        self._all_finite(values, first, first, end)

    def _checked(self, file: int, first: int, end: int) -> memoryview:
        """Rows; the blocks they are in that are not known to be valid are read whole, and checked: sums, finite values.

        What is read, checked and then copied stays in the cache of a core, as long as it is a window.
        """
        if self._sums is None:
            sums = np.empty(len(self._valid), "<u8")
            self._read(file, sums.view(np.uint8).data, self._begin_sums)
            self._sums = array("Q", sums.astype("=u8").tobytes())  # numbers of Python, of 8 bytes each
        size, low, high = self._row_bytes, first // BLOCK_ROWS, -(-end // BLOCK_ROWS)
        begin = first if self._valid[low] else low * BLOCK_ROWS
        stop = end if self._valid[high - 1] else min(high * BLOCK_ROWS, self._rows)
        values = np.empty((stop - begin) * size, np.uint8)
        data = values.data
        self._read(file, data, self._begin + begin * size)
        for block in range(low, high):
            at = (block * BLOCK_ROWS - begin) * size
            if not self._valid[block] and checksum(data[at : at + BLOCK_ROWS * size]) != self._sums[block]:
                rows = f"rows {block * BLOCK_ROWS} to {min((block + 1) * BLOCK_ROWS, self._rows) - 1} are damaged"
                raise InputError(f"{self._where}: {rows}: their checksum differs from the one stored with them")
        if self._all_finite(values.view(self.dtype), begin, first, end):
            self._valid[low:high] = b"\1" * (high - low)
        return data[(first - begin) * size : (end - begin) * size]

    def _all_finite(self, values: NDArray[Any], begin: int, first: int, end: int) -> bool:
        """Whether no value is NaN or infinite. One in the rows that were asked for is refused; a neighbour's is its own."""
        if all_finite(values):
            return True
        bad = begin + np.flatnonzero(~np.isfinite(values)) // math.prod(self.shape)
        if (own := bad[(bad >= first) & (bad < end)]).size == 0:
            return False
        row = int(own[0])
        video = int(np.searchsorted(self._offsets, row, side="right")) - 1
        with reading(self._file.path):
            name = self._file["id"][video].decode()
        what = f"{self._name}: NaN or infinite in clip {row - int(self._offsets[video])}; {MEND_FEATURES}"
        raise InputError(f"{self._file.path}: video {name!r} (row {video}): {what}, and make the corpus again")

    def _read(self, file: int, into: memoryview, offset: int) -> None:
        """Fill a buffer from a byte of the file on."""
        while True:
            try:
                got = os.preadv(file, [into], offset)
            except (OSError, OverflowError, ValueError) as error:
                raise InputError(f"{self._where}: cannot be read at byte {offset} ({error})") from error
            self.reads += 1
            if got == len(into):
                return
            if got == 0:
                raise InputError(f"{self._where}: ends before byte {offset + len(into)}: truncated or damaged")
            into, offset = into[got:], offset + got
