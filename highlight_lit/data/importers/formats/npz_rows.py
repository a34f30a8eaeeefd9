"""One array of an `.npz` file of unknown origin: its header first, its numbers when they are asked for."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.formats.arrays import ARRAY_ERRORS, check_features, check_header, pickled, read_header
from highlight_lit.errors import InputError, first_line
from highlight_lit.files import check_packed, open_regular, stored_bytes
from highlight_lit.text import a_few
from highlight_lit.untrusted.zip_files import check_members

KEY = "features"
MAX_MEMBERS = 1000
MAX_MEMBERS_BYTES = 1 << 20  # of the list of members: ten thousand and more
_CONVERT = (
    'python -c "import sys, numpy as np; p = sys.argv[1]; x = dict(np.load(p, allow_pickle=True)); '
    "x['{key}'] = np.array(x['{key}'].tolist(), 'float32'); np.savez(p, **x)\""
)
_ERRORS = (*ARRAY_ERRORS, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, KeyError)


@contextmanager
def open_npz(path: Path, where: str) -> Iterator[tuple[BinaryIO, zipfile.ZipFile, list[str]]]:
    """The file, its archive, and the keys of the archive's members in their order, `visual` and `visual.npy` being one.

    Raises:
        InputError: The file is missing or no `.npz` file, or what is read within is damaged.
    """
    with open_regular(path, "an .npz file of clip features") as file:
        try:
            check_members(file, MAX_MEMBERS_BYTES)
            with zipfile.ZipFile(file) as archive:
                yield file, archive, [name.removesuffix(".npy") for name in archive.namelist()]
        except InputError:
            raise
        except _ERRORS as error:
            raise InputError(f"{where}: truncated or not a plain .npz file ({first_line(error)})") from error


class NpzRows:
    """An array of an `.npz` file, (T_n, D) floating point; nothing is unpickled.

    Args:
        path: The file.
        where: The file, for errors.
        key: Of the array.

    Raises:
        InputError: The file is missing, damaged, no `.npz` file, without that array or with two, or its array is of another type
            or shape, pickled, or larger than `MAX_ARRAY_BYTES`.
    """

    def __init__(self, path: Path, where: str, key: str = KEY) -> None:
        self._path, self._where, self._key = path, where, key
        self._read(None)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Some rows; the whole array is read."""
        values = self._read(rows)
        assert values is not None
        return values

    def _read(self, rows: slice | None) -> NDArray[Any] | None:
        """The header, and the rows if some are asked for."""
        with open_npz(self._path, self._where) as (file, archive, keys):
            if (count := keys.count(self._key)) > 1:  # two readers may take different ones
                raise InputError(f"{self._where}: {self._key}: {count} arrays of this key; expected one")
            if not count:
                raise InputError(f"{self._where}: keys {a_few(keys[:MAX_MEMBERS])}; expected {self._key!r}")
            info = archive.infolist()[keys.index(self._key)]
            with archive.open(info) as member:
                assert isinstance(member, zipfile.ZipExtFile)
                self._header(member)
                if rows is None:
                    return None
                size = self.dtype.itemsize * self.shape[0] * self.shape[1]
                # An archive may say that it holds more than it does.
                check_packed(size, min(info.compress_size, stored_bytes(file)), f"{self._where}: {self._key}")
                data = member.read(size + 1)
                if len(data) != size:
                    raise InputError(f"{self._where}: {self._key}: truncated, or longer than its header says")
                values = np.frombuffer(data, self.dtype)
                array = values.reshape(self.shape[::-1]).T if self._fortran else values.reshape(self.shape)
                return array[rows]

    def _header(self, member: zipfile.ZipExtFile) -> None:
        check_header(member.peek(12))
        self.shape, self._fortran, self.dtype = read_header(member)
        if self.dtype.hasobject:
            raise pickled(f"{self._where}: {self._key}", _CONVERT.format(key=self._key), self._path)
        check_features(self.shape, self.dtype, f"{self._where}: {self._key}")
