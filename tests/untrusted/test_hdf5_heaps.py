"""Texts of variable length in HDF5 files of strangers: those that the library would go through for ever are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from highlight_lit.errors import InputError
from highlight_lit.untrusted.hdf5_heaps import check_heaps

TEXTS = ["", "a", "eight by", "nine byte", "x" * 5000, "é" * 300]


def write(path: Path, userblock: int = 0, libver: str = "earliest") -> bytearray:
    with h5py.File(path, "w", userblock_size=userblock, libver=libver) as file:
        for number, value in enumerate(TEXTS):
            file.attrs[f"text {number}"] = value
        file.create_dataset("texts", data=TEXTS, dtype=h5py.string_dtype())
        file["rows"] = np.full(100, int.from_bytes(b"GCOL\1\0\0\0", "little"))  # as numbers, and no heap
    return bytearray(path.read_bytes())


def check(path: Path, whole: bytes | None = None, large: tuple[str, ...] = ()) -> None:
    if whole is not None:
        path.write_bytes(whole)
    with h5py.File(path, locking=False) as file:
        check_heaps(file, path.name, large)


@pytest.mark.parametrize("userblock", [0, 512])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_file_that_the_library_wrote_is_taken(tmp_path: Path, userblock: int, libver: str) -> None:
    write(tmp_path / "a.h5", userblock, libver)
    check(tmp_path / "a.h5")
    check(tmp_path / "a.h5", large=("rows", "absent"))
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file["texts"].asstr()) == TEXTS


@pytest.mark.parametrize("reserved", [b"\0\0\0", b"\1\2\3"])
@pytest.mark.parametrize(
    ("number", "length"),
    [(0, 0), (1, 2**64 - 16), (1, 2**64 - 17), (1, 2**64 - 64), (0, 2**63), (0, 2**64 - 1), (1, 1 << 20)],
)
def test_texts_without_an_end_are_refused(tmp_path: Path, number: int, length: int, reserved: bytes) -> None:
    whole = write(tmp_path / "a.h5")
    heap = whole.index(b"GCOL")
    whole[heap + 5 : heap + 8] = reserved
    whole[heap + 16 : heap + 32] = struct.pack("<HHIQ", number, 1, 0, length)
    with pytest.raises(InputError, match=rf"a\.h5: damaged: its texts at byte {heap} have no end; expected an intact"):
        check(tmp_path / "a.h5", whole)


def test_heaps_that_lie_over_each_other_take_no_more_time_than_a_file_has_room_for(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        rows = np.zeros((1 << 15, 2), "<u8")
        rows[:, 0] = int.from_bytes(b"GCOL\1\0\0\0", "little")
        rows[:, 1] = 16 * (len(rows) - np.arange(len(rows)))  # each has an object in every row after it
        file.create_dataset("rows", data=rows, chunks=rows.shape)
    with pytest.raises(InputError, match="its texts at byte .* have no end"):
        check(tmp_path / "a.h5")


def test_other_sizes_of_numbers_are_refused(tmp_path: Path) -> None:
    plan = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    plan.set_sizes(8, 4)
    h5py.h5f.create(str(tmp_path / "a.h5").encode(), fcpl=plan).close()
    with pytest.raises(InputError, match=r"a\.h5: offsets and lengths of \(8, 4\) bytes; expected 8"):
        check(tmp_path / "a.h5")
