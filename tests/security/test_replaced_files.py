"""A file that is replaced between the moment it is looked at and the moment it is read: what was looked at is read, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import pytest

from highlight_lit.cli import main
from highlight_lit.data.importers.formats import arrays, foreign_hdf5
from highlight_lit.data.shards import hdf5 as shards
from highlight_lit.errors import InputError
from highlight_lit.files import open_regular, sha256
from highlight_lit.media.extraction import parts, parts_folder


def _array(path: Path, value: float) -> None:
    np.save(path, np.full((5, 4), value, "f4"))


def _hdf5(path: Path, value: float) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = np.full((5, 4), value, "f4")


def _rows_of_hdf5(path: Path) -> Any:
    with foreign_hdf5.foreign_hdf5(path, "a file") as file:
        return foreign_hdf5.numbers(foreign_hdf5.stored(file, "a", "a"), "a")


def _rows_of_shard(path: Path) -> Any:
    return shards.HDF5(path)["a"][()]


@pytest.mark.parametrize(
    ("module", "write", "read", "name"),
    [
        (arrays, _array, lambda path: arrays.NpyRows(path, "here: visual")[:], "a.npy"),
        (foreign_hdf5, _hdf5, _rows_of_hdf5, "a.h5"),
        (shards, _hdf5, _rows_of_shard, "a.h5"),
    ],
)
def test_a_library_reads_the_file_that_was_looked_at(
    module: Any, write: Callable[..., None], read: Callable[[Path], Any], name: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path, other = tmp_path / name, tmp_path / f"other-{name}"
    write(path, 1.0)
    write(other, 2.0)

    def replaced(opened: Path, what: str) -> BinaryIO:
        file = open_regular(opened, what)
        opened.rename(tmp_path / "before")
        other.rename(opened)
        return file

    monkeypatch.setattr(module, "open_regular", replaced)
    assert (np.asarray(read(path)) == 1).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_that_is_cut_while_it_is_read_ends_in_a_line(tmp_path: Path, order: Any) -> None:
    """A memory map would end the process."""
    values = np.arange(40_000, dtype="f4").reshape(5000, 8)
    np.save(tmp_path / "a.npy", np.asarray(values, order=order))
    rows = arrays.NpyRows(tmp_path / "a.npy", "here: visual")
    for part in (slice(None), slice(10), slice(3, 7), slice(4990, 6000), slice(7, 3)):
        np.testing.assert_array_equal(rows[part], values[part])
    os.truncate(tmp_path / "a.npy", 10_000)
    with pytest.raises(
        InputError, match=r"here: visual: a\.npy: truncated or not a plain \.npy array \(it was cut while"
    ):
        rows[:]


def test_a_pipe_in_the_place_of_weights_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: a pipe"):
        sha256(tmp_path / "w.pth")


def test_parts_of_an_extraction_that_are_a_link_are_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / ".run-a").mkdir(parents=True)
    (kept / ".x.tmp").write_text("kept")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / parts_folder.PARTS).symlink_to(kept)
    with (
        pytest.raises(InputError, match="parts: a link; expected a folder"),
        parts_folder.held(tmp_path / "c", alone=True),
    ):
        parts.pack(tmp_path / "c", {}, {})
    assert sorted(path.name for path in kept.iterdir()) == [".run-a", ".x.tmp"]


def test_a_link_beside_a_checkpoint_is_not_exported_into(
    short_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("safetensors")
    run, mine = tmp_path / "run", tmp_path / "mine"
    run.mkdir()
    mine.mkdir()
    (mine / "README.md").write_text("mine")
    (run / "last.ckpt").write_bytes((short_run / "last.ckpt").read_bytes())
    (run / "last.detector").symlink_to(mine)
    assert main(["export", str(run), "--to", "safetensors"]) == 2
    assert "last.detector: a link; expected" in capsys.readouterr().err
    assert (mine / "README.md").read_text() == "mine"
    assert main(["export", str(run), "--to", "safetensors", "--out", str(run / "last.detector")]) == 0  # it was named
