"""Arrays in `.npy` files of unknown origin: which there are in a folder, and their rows, mapped and never unpickled."""

from __future__ import annotations

import os
import shlex
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.topics.tags import same_form
from highlight_lit.errors import InputError, first_line
from highlight_lit.files import check_packed, open_regular, same_file, stored_bytes

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


def open_rows(path: Path, where: str) -> NDArray[Any]:
    """Map a `.npy` file of clip features into memory; nothing is unpickled and nothing is read yet.

    Args:
        path: The file.
        where: Folder, video and field, for the error.

    Returns:
        (T_n, D) floating point.

    Raises:
        InputError: The file is missing, truncated, no `.npy` file or of another type or shape.
    """
    with open_regular(path, f"an array of {where.rpartition(': ')[2]} features") as file:
        held, start = stored_bytes(file), os.pread(file.fileno(), 12, 0)
        try:
            check_header(start)
            with np.errstate(over="ignore"):  # of a shape beyond any file, which is refused for its size
                rows: NDArray[Any] = np.lib.format.open_memmap(same_file(file), mode="r")
        except ARRAY_ERRORS as error:
            if start[:1] == _PICKLE or "Python objects" in first_line(error):
                raise InputError(
                    f"{where}: {path.name}: pickled, which could run anything and is never read; if you trust where it is from: "
                    f"{_CONVERT} {shlex.quote(str(path))}"
                ) from error
            raise InputError(
                f"{where}: {path.name}: truncated or not a plain .npy array ({first_line(error)})"
            ) from error
    if rows.ndim != 2 or min(rows.shape) < 1 or rows.dtype.kind != "f":
        raise InputError(
            f"{where}: {path.name}: {rows.dtype} of shape {rows.shape}, expected floating point (clips, width), at least one clip"
        )
    if rows.nbytes > MAX_ARRAY_BYTES:
        raise InputError(
            f"{where}: {path.name}: {rows.nbytes >> 20} MiB; expected at most {MAX_ARRAY_BYTES >> 20} MiB a video, a bound that "
            "cannot be raised"
        )
    check_packed(rows.nbytes, held, f"{where}: {path.name}")
    return rows


def check_header(start: bytes) -> None:
    """Refuse an array whose header is large, by its first twelve bytes: version, and how long the header is.

    Raises:
        ValueError: It is over `MAX_HEADER_BYTES`.
    """
    if start[6:7] > b"\1" and int.from_bytes(start[8:12], "little") > MAX_HEADER_BYTES:
        raise ValueError(f"a header of over {MAX_HEADER_BYTES >> 10} KiB")
