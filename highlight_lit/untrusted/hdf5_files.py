"""HDF5 files of strangers: nothing outside the file is followed, and no chunk unpacks to more than it says."""

from __future__ import annotations

import math
import zlib
from contextlib import suppress
from typing import Any

import h5py
import numpy as np
from h5py import h5z

from highlight_lit.errors import InputError

MAX_RATIO = 100  # times that numbers can be larger than what the disk holds of their file: features pack to a tenth
MIN_BYTES = 32 << 20  # of numbers, which a file of any size may hold
MAX_CHUNK_BYTES = 32 << 20  # a chunk is read whole
SMALL_CHUNK_BYTES = 4 << 10  # the library takes as many for each chunk of a read, whether it is stored or not
MAX_SMALL_CHUNKS = 1 << 15  # of a read
MAX_LZF_BYTES = 2 << 20  # of a chunk as stored, which unpacks to at most 88 times that
MAX_ATTRIBUTE_BYTES = 64 << 10  # as many as HDF5 itself has room for beside a dataset
# What the library raises on a damaged file, and Python on what it gives.
ERRORS = (OSError, RuntimeError, LookupError, TypeError, ValueError, OverflowError, AttributeError, MemoryError)
_SAFE_BYTES = 128 << 10  # of a chunk as stored: deflate makes at most 1,032 times that of it, and a shuffle a copy


def most_bytes(held: int) -> int:
    """Bytes that a file's numbers may take once they are unpacked, of a file of which the disk holds so many."""
    return max(MIN_BYTES, MAX_RATIO * held)


def inside(group: h5py.Group, name: str) -> Any:
    """What a group has under a name itself, None if it has nothing or a link: another file is not even opened."""
    links, key = group.id.links, name.encode()
    if not links.exists(key) or links.get_info(key).type != h5py.h5l.TYPE_HARD:
        return None
    made = h5py.h5o.open(group.id, key)
    kinds = {h5py.h5d.DatasetID: h5py.Dataset, h5py.h5g.GroupID: h5py.Group}
    return kinds[type(made)](made) if type(made) in kinds else None


def attribute(node: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute that is one text or number; None where there is none, or it is large, which is not read, or another."""
    key = name.encode()
    stored = h5py.h5a.open(node.id, key) if h5py.h5a.exists(node.id, key) else None
    if stored is None or stored.get_space().get_simple_extent_npoints() != 1:
        return None
    if stored.get_storage_size() > MAX_ATTRIBUTE_BYTES:
        return None
    value = node.attrs[name]
    value = value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size == 1 else value  # as MATLAB writes
    value = value.decode() if isinstance(value, bytes) else value  # as texts of a fixed length come
    return value if isinstance(value, (str, np.bool_, np.integer, np.floating)) else None


def check_storage(dataset: h5py.Dataset, where: str, rows: int | None = None) -> None:
    """Refuse numbers that lie in other files, or in chunks that are large, many and small, compressed in other ways than
    gzip or lzf, or unpack to more than they are: the library unpacks them to any length.

    Args:
        dataset: Of a file of a stranger.
        where: File and name, for the error.
        rows: That are read of it at once; None: all.
    """
    if dataset.external or dataset.is_virtual:
        raise InputError(f"{where}: not stored in this file")
    chunks = dataset.chunks
    if chunks is None:
        return
    size, shape = dataset.dtype.itemsize * math.prod(chunks), dataset.shape
    if size > MAX_CHUNK_BYTES:
        raise InputError(f"{where}: chunks of {chunks}; expected at most {MAX_CHUNK_BYTES >> 20} MiB each")
    read = (min(rows or shape[0], shape[0]), *shape[1:])
    at_once = math.prod(-(-some // of_chunk) for some, of_chunk in zip(read, chunks, strict=True))
    if at_once > MAX_SMALL_CHUNKS and size < SMALL_CHUNK_BYTES:
        raise InputError(
            f"{where}: {at_once} chunks of {size} bytes; expected larger ones (h5repack -l CONTI makes it so)"
        )
    pipeline = dataset.id.get_create_plist()
    filters = [pipeline.get_filter(at)[0] for at in range(pipeline.get_nfilters())]
    packing = [each for each in filters if each not in (h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32)]
    if packing not in ([], [h5z.FILTER_DEFLATE], [h5z.FILTER_LZF]) or len(set(filters)) < len(filters):
        raise InputError(f"{where}: HDF5 filters {filters}; expected gzip or none (h5repack -f GZIP=4 makes it so)")
    large: list[h5py.h5d.StoreInfo] = []
    left = math.prod(-(-rows // of_chunk) for rows, of_chunk in zip(shape, chunks, strict=True))

    def seen(info: h5py.h5d.StoreInfo) -> bool | None:
        nonlocal left
        left -= 1
        if info.size > _SAFE_BYTES:
            large.append(info)
        return left < 0 or None  # an index whose nodes lead to each other would be gone through for ever

    dataset.id.chunk_iter(seen)
    if left < 0:
        raise InputError(f"{where}: more chunks than one of shape {shape} has; damaged or forged")
    for info in large:
        if info.size > 2 * size + _SAFE_BYTES or (packing == [h5z.FILTER_LZF] and info.size > MAX_LZF_BYTES):
            raise InputError(f"{where}: a chunk of {info.size} bytes for {size}; expected no more than it unpacks to")
        mask, packed = dataset.id.read_direct_chunk(info.chunk_offset)
        if packing == [h5z.FILTER_DEFLATE] and not mask >> filters.index(h5z.FILTER_DEFLATE) & 1:
            most = size + 4  # with HDF5's checksum
            with suppress(zlib.error):  # the library says so too, where it gets there
                if len(zlib.decompressobj().decompress(packed, most + 1)) > most:
                    raise InputError(f"{where}: a chunk unpacks to over {size} bytes; damaged or forged")
