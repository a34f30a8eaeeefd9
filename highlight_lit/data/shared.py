"""Arrays in memory that processes share."""

from __future__ import annotations

import itertools
import mmap
import os
import tempfile
import weakref
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.errors import InputError

Shapes = Mapping[str, tuple[tuple[int, ...], str]]  # shape and type of each array
_ALIGNED = 4096  # arrays begin at whole pages
_numbers = itertools.count()


class Shared:
    """Arrays in a file without a name, which is gone when the last process that has it is.

    Args:
        shapes: Shape and type of each array.
        file: A descriptor of such a file, of the same shapes, that another process made; else one of zeros is made.
            It is closed with the last array.

    Raises:
        InputError: There is not that much memory.
    """

    def __init__(self, shapes: Shapes, file: int | None = None) -> None:
        self.shapes, self.number = shapes, next(_numbers)  # no other of this process has the number
        sizes = [prod(shape) * np.dtype(dtype).itemsize for shape, dtype in shapes.values()]
        starts = np.cumsum([0, *(-(-size // _ALIGNED) * _ALIGNED for size in sizes)]).tolist()
        self.size = max(starts[-1], _ALIGNED)
        self.file = _nameless(self.size) if file is None else file
        weakref.finalize(self, os.close, self.file)
        memory = mmap.mmap(self.file, self.size)
        self.address = np.frombuffer(memory, np.uint8).ctypes.data
        self.arrays: dict[str, NDArray[Any]] = {
            name: np.frombuffer(memory, dtype, prod(shape), start).reshape(shape)
            for (name, (shape, dtype)), start in zip(shapes.items(), starts, strict=False)
        }


class Private:
    """Arrays of zeros that are this process' alone; they take memory as they are written."""

    def __init__(self, shapes: Shapes) -> None:
        self.arrays: dict[str, NDArray[Any]] = {name: np.zeros(shape, dtype) for name, (shape, dtype) in shapes.items()}


def _nameless(size: int) -> int:
    """A descriptor of a new file without a name, in memory where the system has such files."""
    try:
        if hasattr(os, "memfd_create"):
            file = os.memfd_create("highlight-lit", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as made:
                file = os.dup(made.fileno())
        os.ftruncate(file, size)
        if hasattr(os, "posix_fallocate"):  # room is taken now: a process that writes where there is none is killed
            os.posix_fallocate(file, 0, size)
    except OSError as error:
        raise InputError(f"memory: {size} bytes to share with the readers cannot be had ({error.strerror})") from error
    return file
