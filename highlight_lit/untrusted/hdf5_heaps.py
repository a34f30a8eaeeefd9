"""Heaps of an HDF5 file, where its texts of variable length lie: HDF5 has no checksum of them, and goes through some for ever.

Their form: "Global Heap" of the HDF5 File Format Specification, version 3.0, III.E.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import h5py

from highlight_lit.errors import InputError
from highlight_lit.untrusted.hdf5_files import inside

_BEGIN = b"GCOL\1"
_HEADER = 16  # bytes, of a heap and of each object in it: sizes take 8
_BLOCK_BYTES = 1 << 20  # read at once


def check_heaps(file: h5py.File, where: str, large: Iterable[str] = ()) -> None:
    """Refuse a file with a heap that has an object of no size, or one that ends beyond it.

    Args:
        file: Of a stranger; none of its texts was read yet.
        where: Its name, for the error.
        large: Datasets; what lies in one piece of the file is not looked at.

    Raises:
        InputError: It has one, or sizes of other than 8 bytes.
    """
    if (sizes := file.id.get_create_plist().get_sizes()) != (8, 8):
        raise InputError(f"{where}: offsets and lengths of {sizes} bytes; expected 8, as HDF5 writes unless it is told")
    nodes = [node.id for name in large if isinstance(node := inside(file, name), h5py.Dataset)]
    pieces = sorted((at, at + node.get_storage_size()) for node in nodes if (at := node.get_offset()) is not None)
    descriptor, end, at = file.id.get_vfd_handle(), os.fstat(file.id.get_vfd_handle()).st_size, 0
    left = end // _HEADER  # objects that have room: heaps do not overlap
    for start, stop in [*pieces, (end, end)]:
        for heap in _heaps(descriptor, at, start):
            for size in _sizes(descriptor, heap, end):
                left -= 1
                if size <= 0 or left < 0:
                    raise InputError(f"{where}: damaged: its texts at byte {heap} have no end; expected an intact copy")
        at = max(at, stop)


def _heaps(descriptor: int, at: int, end: int) -> Iterator[int]:
    """Where a part of a file has what a heap begins with."""
    while at < end and (data := os.pread(descriptor, min(end - at, _BLOCK_BYTES), at)):
        found = -1
        while (found := data.find(_BEGIN, found + 1)) >= 0:
            yield at + found
        at += max(1, len(data) - len(_BEGIN) + 1)


def _sizes(descriptor: int, heap: int, end: int) -> Iterator[int]:
    """Bytes of each object of a heap, 0 of one that ends beyond it; of none where the file ends first, which HDF5 sees."""
    place, stop = heap + _HEADER, heap + int.from_bytes(os.pread(descriptor, 8, heap + 8), "little")
    data, begin = b"", 0
    while place + _HEADER <= stop <= end:
        if not begin <= place <= begin + len(data) - _HEADER:
            data, begin = os.pread(descriptor, _BLOCK_BYTES >> 4, place), place
        head = data[place - begin : place - begin + _HEADER]
        number, size = int.from_bytes(head[:2], "little"), int.from_bytes(head[8:], "little")
        size = _HEADER + -(-size // 8) * 8 if number else size  # without a number: what room is left
        place += size
        yield size if place <= stop else 0
