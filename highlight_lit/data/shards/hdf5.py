"""One HDF5 file that may come from anywhere: its datasets, and the file itself for plain reads."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py

from highlight_lit.data.shards.chunks import check_chunks
from highlight_lit.data.shards.format import PACKED, misfit
from highlight_lit.errors import InputError
from highlight_lit.files import open_regular

MAX_RATIO = 100  # times that numbers can be larger than their file: features pack to a tenth, zeros to a thousandth
MIN_BYTES = 32 << 20  # which a file of any size may hold
MAX_INDEX_BYTES = 64 << 20  # by which a dataset of the index, read whole, may be larger than its file
MAX_OPEN = 16  # HDF5 handles of a process: closing one takes as long as there are others open
WHAT = "a feature shard"
_ERRORS = (OSError, RuntimeError, KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError,
           MemoryError)  # fmt: skip

_library = threading.RLock()  # held, no handle in use is closed
_opened: deque[weakref.ref[HDF5]] = deque()  # those with an open handle, the one opened first in front


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Have the HDF5 library for oneself; what it raises on a damaged file becomes one line that names the file."""
    try:
        with _library:
            yield
    except InputError:
        raise
    except _ERRORS as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: truncated, damaged or not {WHAT} ({first})") from error


class HDF5:
    """An HDF5 file, which must stay the one that was opened first.

    The `MAX_OPEN` handles opened last are kept open; another is opened again when it is next asked for.

    Args:
        path: The file.

    Attributes:
        names: Of datasets that are stored under another name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: Mapping[str, str] = {}
        self._handle: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._identity: tuple[int, ...] | None = None

    @property
    def handle(self) -> h5py.File:
        """The HDF5 handle."""
        if self._handle is None:
            open_regular(self.path, WHAT).close()
            handle = h5py.File(self.path, "r", locking=False)
            self._same_file(handle.id.get_vfd_handle())
            self._handle = handle
            _opened.append(weakref.ref(self))
            while len(_opened) > MAX_OPEN:
                if (first := _opened.popleft()()) is not None:
                    first.close()
        return self._handle

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return int(self.handle.id.get_filesize())

    def close(self) -> None:
        """Close the handle."""
        with _library:
            self._datasets = {}
            if self._handle is not None:
                self._handle.close()
            self._handle = None

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
        found = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        if self._identity not in (None, found):
            raise InputError(f"{self.path}: replaced or changed since it was opened; expected the same file")
        self._identity = found

    def __contains__(self, name: str) -> bool:
        return self.names.get(name, name) in self.handle

    def __getitem__(self, name: str) -> h5py.Dataset:
        """A dataset of this very file: no soft or external link, no external or virtual storage is followed.

        Raises:
            InputError: It is missing, stored elsewhere, of a type or shape that it cannot have, or larger than a file of
                this size can hold.
        """
        handle = self.handle
        if name not in self._datasets:
            self._datasets[name] = self._checked(handle, name, self.names.get(name, name))
        return self._datasets[name]

    def _checked(self, handle: h5py.File, name: str, stored: str) -> h5py.Dataset:
        links, key = handle.id.links, stored.encode()
        if not links.exists(key) or links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise InputError(f"{self.path}: {stored}: missing, or not stored in this file")
        made = h5py.h5o.open(handle.id, key)
        found = h5py.Dataset(made) if isinstance(made, h5py.h5d.DatasetID) else None
        if found is None or found.external or found.is_virtual or found.dtype.hasobject:
            raise InputError(f"{self.path}: {stored}: not a plain dataset stored in this file")
        check_chunks(found, f"{self.path}: {stored}")
        shape, dtype = found.shape, found.dtype
        most = max(MIN_BYTES, MAX_RATIO * self.size) if name in PACKED else self.size + MAX_INDEX_BYTES
        if dtype.itemsize * math.prod(shape) > most:
            raise InputError(f"{self.path}: {stored}: {dtype} of shape {shape}: more than a file of its size can hold")
        if (fault := misfit(name, dtype, shape)) is not None:
            raise InputError(f"{self.path}: {stored}: {fault}")
        return found
