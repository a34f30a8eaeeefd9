"""Indices of HDF5 files whose nodes lead to each other, which the library would go through for ever."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from highlight_lit.data.importers import h5
from highlight_lit.data.importers.formats import foreign_hdf5
from highlight_lit.errors import InputError

LEVELS, CHILDREN = 9, 32


def tangle(path: Path, kind: int, key_size: int) -> None:
    """Lay nodes over the root of an index (version 1), each of which leads to the next 32 times: 32 ** 9 ways."""
    content = bytearray(path.read_bytes())
    size = 24 + (2 * CHILDREN + 1) * key_size + 2 * CHILDREN * 8
    places = [at for at in range(len(content) - 8) if content[at : at + 5] == b"TREE" + bytes([kind])]
    root = max(places, key=lambda at: content[at + 5])
    level = content[root + 5]
    first = bytes(content[root + 24 : root + 24 + key_size])
    used = struct.unpack_from("<H", content, root + 6)[0]
    last = bytes(content[root + 24 + used * (key_size + 8) :][:key_size])

    def add(node: bytes) -> int:
        content.extend(bytes(-len(content) % 8))
        content.extend(node.ljust(size, b"\0"))
        return len(content) - size

    child = add(bytes(content[root : root + size]))
    for above in range(1, LEVELS + 1):
        head = b"TREE" + struct.pack("<BBH", kind, level + above, CHILDREN) + b"\xff" * 16
        keys = [first, *[last] * (CHILDREN - 1)]
        node = head + b"".join(key + struct.pack("<Q", child) for key in keys) + last
        if above < LEVELS:
            child = add(node)
    content[root : root + len(node)] = node
    struct.pack_into("<Q", content, 40, len(content))  # where the file ends, as it says
    path.write_bytes(content)


def groups(path: Path) -> None:
    with h5py.File(path, "w", libver="earliest") as file:
        for number in range(300):
            file.create_group(f"v{number:03d}")
    tangle(path, 0, 8)


def chunks(path: Path) -> None:
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("v/features", data=np.ones((300, 4), "f4"), chunks=(1, 4))
    tangle(path, 1, 8 + 8 * 3)


@pytest.mark.parametrize(
    ("write", "says"), [(groups, "an index without end"), (chunks, "more chunks than one of shape")]
)
def test_an_index_without_end_is_refused_in_seconds(tmp_path: Path, write: Callable[[Path], None], says: str) -> None:
    write(tmp_path / "a.h5")
    words = ["import", "h5", tmp_path / "a.h5", "--out", tmp_path / "c", "--tag", "x"]
    command = [sys.executable, "-m", "highlight_lit", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done
    assert f"{tmp_path / 'a.h5'}: " in done.stderr
    assert says in done.stderr


def test_names_are_counted_and_kept_in_the_files_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w", track_order=True) as file:
        for name in "cab":
            file[f"{name}/features"] = np.ones((2, 3), "f4")
    with h5py.File(tmp_path / "a.h5") as file:
        assert foreign_hdf5.names(file, "a") == ["c", "a", "b"]
    monkeypatch.setattr(foreign_hdf5, "MAX_NAMES", 2)
    with pytest.raises(InputError, match=r"a\.h5: over 2 names"):
        h5.import_corpus(tmp_path / "a.h5", tmp_path / "c", tag="x", report=lambda line: None)
