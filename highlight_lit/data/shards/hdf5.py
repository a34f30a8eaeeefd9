"""One HDF5 file that may come from anywhere: its datasets, what they may unpack to, and the file itself for plain reads."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py

from highlight_lit.data.shards.format import PACKED, misfit
from highlight_lit.errors import InputError, first_line
from highlight_lit.files import check_packed, open_regular, same_file, stored_bytes
from highlight_lit.untrusted.hdf5_files import ERRORS, check_storage, inside, most_bytes

MAX_INDEX_BYTES = 64 << 20  # by which a dataset of the index, read whole, may be larger than its file
LIBRARY_ROWS = 16 << 10  # of features, read at once through the library: where two reads meet, a chunk unpacks twice
MAX_OPEN = 16  # HDF5 handles of a process: closing one takes as long as there are others open
WHAT = "a feature shard"

_library = threading.RLock()  # held, no handle in use is closed
_opened: weakref.WeakValueDictionary[int, HDF5] = weakref.WeakValueDictionary()  # by `id`, in the order of opening


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Use the HDF5 library while no other thread does; what it raises on a damaged file becomes one line that names the file."""
    try:
        with _library:
            yield
    except InputError:
        raise
    except ERRORS as error:
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

    def __getstate__(self) -> dict[str, object]:
        """Without the handle: another process opens its own."""
        return {**vars(self), "_handle": None, "_datasets": {}}

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
            _opened[id(self)] = self
            if len(_opened) > MAX_OPEN:
                next(iter(_opened.values())).close()
        return self._handle

    def close(self) -> None:
        """Close the handle."""
        with _library:
            if self._handle is not None:
                self._handle.close()
            _opened.pop(id(self), None)
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
        where, dataset = f"{self.path}: {stored}", inside(handle, stored)
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{where}: missing, or not a dataset stored in this file")
        dtype, shape = dataset.dtype, dataset.shape
        size, most = dtype.itemsize * math.prod(shape), self.size + MAX_INDEX_BYTES
        if name in PACKED:
            size += sum(self._datasets[other].nbytes for other in PACKED if other in self._datasets)
            most = most_bytes(self.held)
        if size > most:
            raise InputError(f"{where}: {dtype} of shape {shape}: more than a file of its size can hold")
        if (fault := misfit(name, dtype, shape, self.counts)) is not None:
            raise InputError(f"{where}: {fault}")
        check_storage(dataset, where, LIBRARY_ROWS if name in PACKED else None)
        self._datasets[name] = dataset
        return dataset
