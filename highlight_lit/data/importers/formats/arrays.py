"""Arrays in `.npy` files of unknown origin: which there are in a folder, and their rows, never unpickled."""

from __future__ import annotations

import math
import os
import shlex
import tokenize
import weakref
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from highlight_lit.errors import InputError, first_line
from highlight_lit.files import check_packed, open_regular, stored_bytes
from highlight_lit.unicode_forms import same_form

MAX_ARRAY_BYTES = 1 << 30  # of a video's features: twelve hours of 6,000 float32 a second
MAX_HEADER_BYTES = 1 << 16  # of an array: numpy reads all of it before it refuses more than 10,000
_PICKLE = b"\x80"  # the first byte of a pickle
_CONVERT = (
    'python -c "import sys, numpy as np; p = sys.argv[1]; x = np.load(p, allow_pickle=True); '
    "np.save(p, np.array(x.tolist() if hasattr(x, 'tolist') else x, 'float32'))\""
)
ARRAY_ERRORS = (
    OSError, ValueError, TypeError, EOFError, SyntaxError, OverflowError, MemoryError, RecursionError,
    tokenize.TokenError,
)  # fmt: skip


def files_of(folder: Path, ending: str = ".npy") -> dict[str, Path]:
    """The files of a folder by the name before the ending, in one Unicode form, but for what macOS puts beside them (`._NAME`).

    Raises:
        InputError: Two names differ in their form alone.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{ending}")):
        if path.name.startswith("._"):
            continue
        name = same_form(path.name.removesuffix(ending))
        if name in files:
            raise InputError(f"{folder}: {name!r}: there twice, in two Unicode forms; expected one file")
        files[name] = path
    return files


class NpyRows:
    """A `.npy` file of clip features, (T_n, D) floating point; nothing is unpickled, and rows are read when they are asked for.

    Not a memory map: a file that is cut under one kills the process, where a read ends in an error.

    Args:
        path: The file.
        where: Folder, video and field, for errors.

    Raises:
        InputError: The file is missing, truncated, no `.npy` file or of another type or shape.
    """

    def __init__(self, path: Path, where: str) -> None:
        self._path, self._where = path, f"{where}: {path.name}"
        with open_regular(path, f"an array of {where.rpartition(': ')[2]} features") as file:
            self._check(file)
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def _check(self, file: BinaryIO) -> None:
        start = os.pread(file.fileno(), 12, 0)
        try:
            check_header(start)
            self.shape, self._fortran, self.dtype = read_header(file)
        except ARRAY_ERRORS as error:
            raise (self._pickled() if start[:1] == _PICKLE else self._truncated(first_line(error))) from error
        if self.dtype.hasobject:
            raise self._pickled()
        self._begin, size = file.tell(), self.dtype.itemsize * math.prod(self.shape)
        if os.fstat(file.fileno()).st_size < self._begin + size:
            raise self._truncated(f"it ends before its {size} bytes")
        check_features(self.shape, self.dtype, self._where)
        check_packed(size, stored_bytes(file), self._where)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Some rows; the whole array is read where its columns lie one after the other."""
        clips, width = self.shape
        first, stop = (0, clips) if self._fortran else rows.indices(clips)[:2]
        count = max(0, stop - first) * width
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(self._begin + first * width * self.dtype.itemsize)
            values = np.fromfile(file, self.dtype, count)
        if len(values) < count:
            raise self._truncated("it was cut while it was read")
        return values.reshape(width, clips).T[rows] if self._fortran else values.reshape(-1, width)

    def _pickled(self) -> InputError:
        return pickled(self._where, _CONVERT, self._path)

    def _truncated(self, why: str) -> InputError:
        return InputError(f"{self._where}: truncated or not a plain .npy array ({why})")


def pickled(where: str, convert: str, path: Path) -> InputError:
    """The error for a pickled array, with the command that converts its file."""
    why = "pickled, which could run anything and is never read; if you trust where it is from"
    return InputError(f"{where}: {why}: {convert} {shlex.quote(str(path))}")


def check_features(shape: tuple[int, ...], dtype: np.dtype[Any], where: str) -> None:
    """Refuse an array that holds no features of clips, or too many.

    Raises:
        InputError: It is not floating point, (T_n, D), or over `MAX_ARRAY_BYTES`.
    """
    if len(shape) != 2 or min(shape) < 1 or dtype.kind != "f":
        expected = "floating point (clips, width), at least one clip"
        raise InputError(f"{where}: {dtype} of shape {shape}, expected {expected}")
    if (size := dtype.itemsize * math.prod(shape)) > MAX_ARRAY_BYTES:
        most = f"at most {MAX_ARRAY_BYTES >> 20} MiB a video, a bound that cannot be raised"
        raise InputError(f"{where}: {size >> 20} MiB; expected {most}")


def read_header(file: BinaryIO | zipfile.ZipExtFile) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape of an array, whether its columns lie one after the other, and its type, from the start of a `.npy` file.

    Raises:
        ValueError: It is none, or one of version 3, which names of fields alone need, or its shape has no whole numbers.
    """
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"a .npy header of version {version}; expected 1 or 2")
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read[version](file)
    if any(isinstance(length, bool) for length in header[0]):  # numpy lets them pass, and cannot reshape by them
        raise ValueError(f"shape {header[0]}; expected whole numbers")
    return header


def check_header(start: bytes) -> None:
    """Refuse an array whose header is large, by its first twelve bytes: version, and how long the header is.

    Raises:
        ValueError: It is over `MAX_HEADER_BYTES`.
    """
    if start[6:7] > b"\1" and int.from_bytes(start[8:12], "little") > MAX_HEADER_BYTES:
        raise ValueError(f"a header of over {MAX_HEADER_BYTES >> 10} KiB")
