"""One array of an `.npz` file of unknown origin: its header first, its numbers when they are asked for."""

from __future__ import annotations

import shlex
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.formats.arrays import ARRAY_ERRORS, MAX_ARRAY_BYTES, check_header, read_header
from highlight_lit.errors import InputError, first_line
from highlight_lit.files import check_packed, open_regular, stored_bytes
from highlight_lit.text import a_few
from highlight_lit.untrusted.zip_files import check_members

KEY = "features"
MAX_MEMBERS = 1000
MAX_MEMBERS_BYTES = 1 << 20  # of the list of members: ten thousand and more
_CONVERT = (
    'python -c "import sys, numpy as np; p = sys.argv[1]; x = np.load(p, allow_pickle=True); '
    f"np.savez(p, {KEY}=np.array(x['{KEY}'].tolist(), 'float32'))\""
)
_ERRORS = (*ARRAY_ERRORS, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, KeyError)


def members_of(archive: zipfile.ZipFile, wanted: Iterable[str], where: str) -> dict[str, zipfile.ZipInfo]:
    """The members of an archive by their keys, `visual` and `visual.npy` being one.

    Raises:
        InputError: A wanted one is there twice: two readers may take different ones.
    """
    infos = archive.infolist()
    keys = [info.filename.removesuffix(".npy") for info in infos]
    for key in wanted:
        if (count := keys.count(key)) > 1:
            raise InputError(f"{where}: {key}: {count} arrays of this key; expected one")
    return dict(zip(keys, infos, strict=True))


class NpzRows:
    """The array `features` of an `.npz` file, (T_n, D) floating point; nothing is unpickled.

    Args:
        path: The file.
        where: Folder, video and field, for errors.

    Raises:
        InputError: The file is missing, damaged, no `.npz` file, without that array or with two, or its array is of another type
            or shape, pickled, or larger than `MAX_ARRAY_BYTES`.
    """

    def __init__(self, path: Path, where: str) -> None:
        self._path, self._where = path, f"{where}: {path.name}"
        with open_regular(path, f"an .npz file with the key {KEY!r}") as file:
            self._read(file, None)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Some rows; the whole array is read."""
        with open_regular(self._path, "an .npz file") as file:
            values = self._read(file, rows)
        assert values is not None
        return values

    def _read(self, file: BinaryIO, rows: slice | None) -> NDArray[Any] | None:
        """The header, and the rows if some are asked for."""
        try:
            check_members(file, MAX_MEMBERS_BYTES)
            with zipfile.ZipFile(file) as members:
                infos = members_of(members, [KEY], self._where)
                if KEY not in infos:
                    raise InputError(f"{self._where}: keys {a_few(list(infos)[:MAX_MEMBERS])}; expected {KEY!r}")
                with members.open(infos[KEY]) as member:
                    assert isinstance(member, zipfile.ZipExtFile)
                    self._header(member)
                    if rows is None:
                        return None
                    size = self.dtype.itemsize * self.shape[0] * self.shape[1]
                    # An archive may say that it holds more than it does.
                    held = min(infos[KEY].compress_size, stored_bytes(file))
                    check_packed(size, held, f"{self._where}: {KEY}")
                    data = member.read(size + 1)
                    if len(data) != size:
                        raise InputError(f"{self._where}: truncated, or longer than its header says")
                    values = np.frombuffer(data, self.dtype)
                    array = values.reshape(self.shape[::-1]).T if self._fortran else values.reshape(self.shape)
                    return array[rows]
        except InputError:
            raise
        except _ERRORS as error:
            raise InputError(f"{self._where}: truncated or not a plain .npz file ({first_line(error)})") from error

    def _header(self, member: zipfile.ZipExtFile) -> None:
        check_header(member.peek(12))
        self.shape, self._fortran, self.dtype = read_header(member)
        if self.dtype.hasobject:
            raise InputError(
                f"{self._where}: {KEY}: pickled, which could run anything and is never read; if you trust where it is from: "
                f"{_CONVERT} {shlex.quote(str(self._path))}"
            )
        if len(self.shape) != 2 or min(self.shape) < 1 or self.dtype.kind != "f":
            raise InputError(
                f"{self._where}: {KEY}: {self.dtype} of shape {self.shape}, expected floating point (clips, width), at least one "
                "clip"
            )
        if self.dtype.itemsize * self.shape[0] * self.shape[1] > MAX_ARRAY_BYTES:
            raise InputError(
                f"{self._where}: {KEY}: over {MAX_ARRAY_BYTES >> 20} MiB a video, a bound that cannot be raised"
            )
