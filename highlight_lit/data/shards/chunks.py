"""What chunks of an HDF5 file unpack to, measured before the library unpacks them: it does so to any length."""

from __future__ import annotations

import math
import zlib

import h5py

from highlight_lit.errors import InputError

MAX_CHUNK_BYTES = 64 << 20  # a chunk is read whole
MAX_LZF_BYTES = 2 << 20  # of a chunk as stored, which unpacks to at most 88 times that
_SAFE_BYTES = 128 << 10  # of a chunk as stored: deflate makes at most 1,032 times that of it, and a shuffle a copy
_SHUFFLE, _DEFLATE, _FLETCHER32, _LZF = (
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_FLETCHER32,
    32000,
)


def check_chunks(dataset: h5py.Dataset, where: str) -> None:
    """Refuse chunks that are large, compressed in other ways than gzip or lzf, or unpack to more than they are.

    Raises:
        InputError: With what was expected.
    """
    if dataset.chunks is None:
        return
    size = dataset.dtype.itemsize * math.prod(dataset.chunks)
    if size > MAX_CHUNK_BYTES:
        most = MAX_CHUNK_BYTES >> 20
        raise InputError(f"{where}: chunks of {dataset.chunks}; expected at most {most} MiB each, which are read whole")
    pipeline = dataset.id.get_create_plist()
    filters = [pipeline.get_filter(at)[0] for at in range(pipeline.get_nfilters())]
    packing = [each for each in filters if each not in (_SHUFFLE, _FLETCHER32)]
    if packing not in ([], [_DEFLATE], [_LZF]) or len(set(filters)) < len(filters):
        raise InputError(f"{where}: HDF5 filters {filters}; expected gzip or none (h5repack -f GZIP=4 makes it so)")
    large: list[h5py.h5d.StoreInfo] = []
    dataset.id.chunk_iter(lambda info: large.append(info) if info.size > _SAFE_BYTES else None)
    for info in large:
        if info.size > 2 * size + _SAFE_BYTES or (packing == [_LZF] and info.size > MAX_LZF_BYTES):
            raise InputError(f"{where}: a chunk of {info.size} bytes for {size}; expected no more than it unpacks to")
        mask, packed = dataset.id.read_direct_chunk(info.chunk_offset)
        if packing == [_DEFLATE] and not mask >> filters.index(_DEFLATE) & 1 and _inflates_past(packed, size + 4):
            raise InputError(f"{where}: a chunk unpacks to over {size} bytes, more than it is; damaged or forged")


def _inflates_past(packed: bytes, most: int) -> bool:
    inflate = zlib.decompressobj()
    count = 0
    while packed and not inflate.eof:
        try:
            count += len(inflate.decompress(packed, 1 << 20))
        except zlib.error:  # the library says so too, where it gets there
            break
        if count > most:
            return True
        packed = inflate.unconsumed_tail
    return False
