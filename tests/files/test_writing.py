"""Files are written in one way, over no other thing and over nothing that is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from highlight_lit.errors import InputError
from highlight_lit.files import (
    MAX_NAME_BYTES,
    atomic_write,
    for_a_file,
    not_an_input,
    read_json,
    write_json,
    write_text,
)


def test_no_link_is_followed_to_a_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "victim").write_text("precious")
    monkeypatch.setattr("secrets.token_hex", lambda n: "guessed")
    (tmp_path / ".out.txt.guessed.tmp").symlink_to("victim")
    with pytest.raises(InputError, match=r"out\.txt: cannot be written"):
        write_text(tmp_path / "out.txt", "overwritten")
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "out.txt").exists()


def test_a_name_as_long_as_file_systems_take_can_be_written(tmp_path: Path) -> None:
    for path in (tmp_path / ("a" * MAX_NAME_BYTES), tmp_path / ("é" * (MAX_NAME_BYTES // 2))):
        with atomic_write(path) as temporary:
            temporary.write_text("whole")
        assert path.read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("how", ["name", "link", "hard link", "spelling", "folder to be made", "link given"])
def test_what_is_read_is_never_written_over(tmp_path: Path, how: str) -> None:
    given = tmp_path / "in"
    given.touch()
    (tmp_path / "folder").mkdir()
    out = tmp_path / "out"
    if how == "link":
        out.symlink_to(given)
    elif how == "hard link":
        out.hardlink_to(given)
    elif how == "link given":
        given, out = tmp_path / "link", given
        given.symlink_to(out)
    elif how == "folder to be made":
        out = tmp_path / "new" / ".." / "in"
    else:
        out = given if how == "name" else tmp_path / "folder" / ".." / "in"
    with pytest.raises(InputError, match="which this command reads"):
        not_an_input(out, None, tmp_path / "absent", given)
    not_an_input(tmp_path / "new", None, given)
    not_an_input(tmp_path / "folder", given)


def test_a_name_that_is_no_utf_8_is_read_back_as_it_was(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_json(tmp_path / "out", {"out": name, "name": "café"})
    assert read_json(tmp_path / "out", "names") == {"out": name, "name": "café"}


@pytest.mark.parametrize("kind", ["a folder", "a pipe", "a device"])
def test_nothing_but_a_file_is_replaced_by_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    with pytest.raises(InputError, match=f"out: {kind}; expected a name for a file"):
        write_text(path, "x")
    assert not path.is_file()


@pytest.mark.parametrize("below", ["out", "a/b/out"])
def test_a_name_below_a_file_is_refused_before_anything_is_written(tmp_path: Path, below: str) -> None:
    (tmp_path / "taken").write_text("kept")
    with pytest.raises(InputError, match="taken: a file; expected a folder"):
        for_a_file(tmp_path / "taken" / below)
    for_a_file(tmp_path / "new" / below)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_name_of_an_open_file_is_not_replaced(tmp_path: Path) -> None:
    """As `--out /dev/stdout > FILE` would, by root: the system's link would be a file from then on."""
    with open(tmp_path / "captured", "w") as file:
        (tmp_path / "stdout").symlink_to(f"/proc/self/fd/{file.fileno()}")
        with pytest.raises(InputError, match="stdout: a name of an open file; expected a name for a file"):
            write_text(tmp_path / "stdout", "text")
    assert (tmp_path / "stdout").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_folders_that_were_made_for_a_file_go_with_it(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for folder in ("new/deep", "there"):
        with pytest.raises(InputError, match="No space left"), atomic_write(tmp_path / folder / "out.txt"):
            raise OSError(28, "No space left on device")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
