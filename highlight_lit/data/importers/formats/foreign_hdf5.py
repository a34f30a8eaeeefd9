"""HDF5 files of other tools: the one way to open one, and to read a dataset of it within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from highlight_lit.errors import InputError, first_line
from highlight_lit.files import open_regular, same_file, stored_bytes
from highlight_lit.untrusted.hdf5_files import ERRORS, MAX_CHUNK_BYTES, check_storage, inside, most_bytes
from highlight_lit.untrusted.hdf5_heaps import check_heaps

MAX_BYTES = 256 << 20  # of a dataset that is read whole
MAX_NAMES = 200_000  # of a group: six times those of Mr. HiSum
_WIDEST = 4  # bytes that a narrower number takes once it is read: float32
# Of each file that is open, by its name: bytes that were read whole, and those that are no hole.
_read: dict[bytes, int] = {}
_held: dict[bytes, int] = {}
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@contextmanager
def foreign_hdf5(path: Path, what: str) -> Iterator[h5py.File]:
    """Open a file for reading, whoever else has it open; what the library raises becomes one line that names the file.

    Args:
        path: A regular file; MATLAB's has a block of its own before the signature.
        what: What it should be, for errors.

    Raises:
        InputError: It is missing, no regular file, no HDF5 file, or damaged.
    """
    with open_regular(path, what) as raw:
        start, held = raw.read(1024), stored_bytes(raw)
        if _SIGNATURE not in (start[:8], start[512:520]):
            raise InputError(f"{path}: no HDF5 file; expected {what}")
        try:
            # A chunk that is read row by row is unpacked once.
            with h5py.File(same_file(raw), "r", locking=False, rdcc_nbytes=MAX_CHUNK_BYTES) as file:
                check_heaps(file, str(path))
                _read[name := _name(file)], _held[name] = 0, held
                try:
                    yield file
                finally:
                    del _read[name], _held[name]
        except InputError:
            raise
        except ERRORS as error:
            raise InputError(f"{path}: damaged, or not what was expected, {what}: {first_line(error)}") from error


def stored(file: h5py.Group, name: object, where: str) -> h5py.Dataset:
    """A dataset of numbers that lies in the file itself: no link, no external or virtual storage is followed out of it.

    Args:
        file: The file, or a group of it.
        name: Of one that lies in it, or a reference.
        where: File and field, for the error.

    Raises:
        InputError: There is none.
    """
    dataset = inside(file, name) if isinstance(name, str) else file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.file != file.file or dataset.dtype.kind not in "fiu":
        raise InputError(f"{where}: expected a dataset of numbers that lies in this file")
    if dataset.size * max(dataset.dtype.itemsize, _WIDEST) > _most(file):
        raise InputError(f"{where}: {dataset.dtype} of shape {dataset.shape}: more than a file of its size can hold")
    check_storage(dataset, where)
    return dataset


def has(group: h5py.Group, name: str) -> bool:
    """Whether a group has something under a name, a link too, which is not followed."""
    return bool(group.id.links.exists(name.encode()))


def names(group: h5py.Group, where: str) -> list[str]:
    """The names in a group, in the file's order.

    Raises:
        InputError: They are over `MAX_NAMES`, or without end: an index of a group may lead to itself.
    """
    left = MAX_NAMES

    def seen(name: bytes) -> bool | None:
        nonlocal left
        left -= 1
        return left < 0 or None

    group.id.links.iterate(seen, order=h5py.h5.ITER_NATIVE)  # as they lie: in order, all are gone through first
    if left < 0:
        raise InputError(f"{where}: over {MAX_NAMES} names, or an index without end; expected a group a video")
    return list(group)


def numbers(dataset: h5py.Dataset, where: str, most: int | None = None) -> NDArray[Any]:
    """A dataset, read whole.

    Args:
        dataset: One of a file that `foreign_hdf5` opened.
        where: File and field, for the error.
        most: Numbers that it may have.

    Raises:
        InputError: It has more, or is over `MAX_BYTES`; or links and references have the same numbers read again and
            again, until they are more than the file can hold.
    """
    if most is not None and dataset.size > most:
        raise InputError(f"{where}: shape {dataset.shape}, expected at most {most} numbers")
    if dataset.nbytes > MAX_BYTES:
        raise InputError(f"{where}: {dataset.nbytes} bytes; expected at most {MAX_BYTES >> 20} MiB")
    name = _name(dataset)
    _read[name] += dataset.nbytes
    if _read[name] > MAX_BYTES + _most(dataset):
        raise InputError(f"{where}: read again and again: in all more than a file of its size can hold")
    values: NDArray[Any] = dataset[()]
    return values


def _name(node: h5py.Group | h5py.Dataset) -> bytes:
    """Name of the file that a group or dataset lies in."""
    return bytes(h5py.h5f.get_name(node.id))


def _most(node: h5py.Group | h5py.Dataset) -> int:
    """Bytes that the numbers of a node's file may take once they are unpacked."""
    return most_bytes(_held[_name(node)])
