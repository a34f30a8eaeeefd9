"""One HDF5 file that may come from anywhere: its datasets, what they may unpack to, and the file itself for plain reads."""

from __future__ import annotations

import math
import os
import threading
import weakref
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
from h5py import h5z

from highlight_lit.data.shards.format import PACKED, misfit
from highlight_lit.errors import InputError, first_line
from highlight_lit.files import check_packed, open_regular, same_file, stored_bytes

MAX_RATIO = 100  # times that numbers can be larger than what the disk holds of their file: features pack to a tenth
MIN_BYTES = 32 << 20  # which a file of any size may hold, of all streams together
MAX_INDEX_BYTES = 64 << 20  # by which a dataset of the index, read whole, may be larger than its file
MAX_OPEN = 16  # HDF5 handles of a process: closing one takes as long as there are others open
MAX_CHUNK_BYTES = 32 << 20  # a chunk is read whole
MAX_LZF_BYTES = 2 << 20  # of a chunk as stored, which unpacks to at most 88 times that
MAX_ATTRIBUTE_BYTES = 64 << 10  # as many as HDF5 itself has room for beside a dataset
_SAFE_BYTES = 128 << 10  # of a chunk as stored: deflate makes at most 1,032 times that of it, and a shuffle a copy
WHAT = "a feature shard"
_ERRORS = (OSError, RuntimeError, KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError,
           MemoryError)  # fmt: skip

_library = threading.RLock()  # held, no handle in use is closed
_opened: deque[weakref.ref[HDF5]] = deque()  # those with an open handle, each once, the one opened first in front


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Use the HDF5 library while no other thread does; what it raises on a damaged file becomes one line that names the file."""
    try:
        with _library:
            yield
    except InputError:
        raise
    except _ERRORS as error:
        raise InputError(f"{path}: truncated, damaged or not {WHAT} ({first_line(error)})") from error


class HDF5:
    """An HDF5 file, which must stay the one that was opened first.

    The `MAX_OPEN` handles opened last are kept open; another is opened again when it is next asked for.

    Args:
        path: The file.

    Attributes:
        names: Of datasets that are stored under another name.
        size, held: Bytes of the file, once it was opened, and those that are no hole.
        counts: Of clips, videos and edges (`COLUMNS`), once they are known.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: Mapping[str, str] = {}
        self.counts: Mapping[str, int] = {}
        self.size = self.held = 0
        self._handle: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._identity: tuple[int, ...] | None = None

    @property
    def handle(self) -> h5py.File:
        """The HDF5 handle."""
        if self._handle is None:
            with open_regular(self.path, WHAT) as file:
                self.held = stored_bytes(file)
                check_packed(os.fstat(file.fileno()).st_size, self.held, str(self.path))
                handle = h5py.File(same_file(file), "r", locking=False)
            self._same_file(handle.id.get_vfd_handle())
            self._handle, self.size = handle, handle.id.get_filesize()
            _opened.append(weakref.ref(self))
            if len(_opened) > MAX_OPEN and (first := _opened.popleft()()) is not None:
                first.close()
        return self._handle

    def close(self) -> None:
        """Close the handle."""
        with _library:
            if self._handle is not None:
                self._handle.close()
                with suppress(ValueError):  # left there, it would close what is opened again later
                    _opened.remove(weakref.ref(self))
            self._handle, self._datasets = None, {}

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor for plain reads of the file that was opened first, which on leaving is still that, unchanged.

        Raises:
            InputError: It is gone, or was replaced, cut or written to.
        """
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read any more ({error.strerror}); expected {WHAT}") from error
        try:
            self._same_file(file)
            yield file
            self._same_file(file)
        finally:
            os.close(file)

    def _same_file(self, file: int) -> None:
        status = os.fstat(file)
        identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if self._identity not in (None, identity):
            raise InputError(f"{self.path}: replaced or changed since it was opened; expected the same file")
        self._identity = identity

    def __contains__(self, name: str) -> bool:
        return self.names.get(name, name) in self.handle

    def __getitem__(self, name: str) -> h5py.Dataset:
        """A dataset of this very file: no soft or external link, no external or virtual storage is followed.

        Raises:
            InputError: It is missing, stored elsewhere, of a type or shape that it cannot have, or larger than a file of
                this size can hold.
        """
        handle, stored = self.handle, self.names.get(name, name)
        if name in self._datasets:
            return self._datasets[name]
        where, links, key = f"{self.path}: {stored}", handle.id.links, stored.encode()
        if not links.exists(key) or links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise InputError(f"{where}: missing, or not stored in this file")
        made = h5py.h5o.open(handle.id, key)
        dataset = h5py.Dataset(made) if isinstance(made, h5py.h5d.DatasetID) else None
        if dataset is None or dataset.external or dataset.is_virtual or dataset.dtype.hasobject:
            raise InputError(f"{where}: not a plain dataset stored in this file")
        check_chunks(dataset, where)
        most = max(MIN_BYTES, MAX_RATIO * self.held) if name in PACKED else self.size + MAX_INDEX_BYTES
        beside = sum(each.nbytes for other, each in self._datasets.items() if name in PACKED and other in PACKED)
        if dataset.dtype.itemsize * math.prod(dataset.shape) + beside > most:
            raise InputError(
                f"{where}: {dataset.dtype} of shape {dataset.shape}: more than a file of its size can hold"
            )
        if (fault := misfit(name, dataset.dtype, dataset.shape, self.counts)) is not None:
            raise InputError(f"{where}: {fault}")
        self._datasets[name] = dataset
        return dataset


def attribute(node: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute; None where there is none, or one that is large, which is not read."""
    size = node.attrs.get_id(name).get_storage_size() if name in node.attrs else MAX_ATTRIBUTE_BYTES + 1
    value = node.attrs[name] if size <= MAX_ATTRIBUTE_BYTES else None
    return value.decode() if isinstance(value, bytes) else value  # texts of a fixed length come as bytes


def check_chunks(dataset: h5py.Dataset, where: str) -> None:
    """Refuse chunks that are large, compressed in other ways than gzip or lzf, or unpack to more than they are.

    The library unpacks them to any length.
    """
    if dataset.chunks is None:
        return
    size = dataset.dtype.itemsize * math.prod(dataset.chunks)
    if size > MAX_CHUNK_BYTES:
        raise InputError(f"{where}: chunks of {dataset.chunks}; expected at most {MAX_CHUNK_BYTES >> 20} MiB each")
    pipeline = dataset.id.get_create_plist()
    filters = [pipeline.get_filter(at)[0] for at in range(pipeline.get_nfilters())]
    packing = [each for each in filters if each not in (h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32)]
    if packing not in ([], [h5z.FILTER_DEFLATE], [h5z.FILTER_LZF]) or len(set(filters)) < len(filters):
        raise InputError(f"{where}: HDF5 filters {filters}; expected gzip or none (h5repack -f GZIP=4 makes it so)")
    large: list[h5py.h5d.StoreInfo] = []
    left = math.prod(-(-rows // of_chunk) for rows, of_chunk in zip(dataset.shape, dataset.chunks, strict=True))

    def seen(info: h5py.h5d.StoreInfo) -> bool | None:
        nonlocal left
        left -= 1
        if info.size > _SAFE_BYTES:
            large.append(info)
        return left < 0 or None  # an index whose nodes lead to each other would be gone through for ever

    dataset.id.chunk_iter(seen)
    if left < 0:
        raise InputError(f"{where}: more chunks than one of shape {dataset.shape} has; damaged or forged")
    for info in large:
        if info.size > 2 * size + _SAFE_BYTES or (packing == [h5z.FILTER_LZF] and info.size > MAX_LZF_BYTES):
            raise InputError(f"{where}: a chunk of {info.size} bytes for {size}; expected no more than it unpacks to")
        mask, packed = dataset.id.read_direct_chunk(info.chunk_offset)
        if packing == [h5z.FILTER_DEFLATE] and not mask >> filters.index(h5z.FILTER_DEFLATE) & 1:
            most = size + 4  # with HDF5's checksum
            with suppress(zlib.error):  # the library says so too, where it gets there
                if len(zlib.decompressobj().decompress(packed, most + 1)) > most:
                    raise InputError(f"{where}: a chunk unpacks to over {size} bytes; damaged or forged")
