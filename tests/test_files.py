"""Files are opened in one way and written in one way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from highlight_lit.errors import InputError
from highlight_lit.files import (
    MAX_NAME_BYTES,
    atomic_write,
    not_an_input,
    output_name,
    read_json,
    stored_bytes,
    write_text,
)
from highlight_lit.untrusted.csv_tables import read_table


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_and_tables_are_read_in_any_encoding_that_editors_write(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_text('{"topic": "滑雪"}', encoding=encoding)
    (tmp_path / "a.csv").write_text('id,tags\r\na,"滑雪\u2028;dog"\r\n\r\n', encoding=encoding)
    assert read_json(tmp_path / "a.json", "a topic") == {"topic": "滑雪"}
    assert list(read_table(tmp_path / "a.csv", ("id", "tags"))) == [(2, {"id": "a", "tags": "滑雪\u2028;dog"})]


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to("loop")
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder"), ("link", "a device"), ("loop", "cannot be opened")):
        with pytest.raises(InputError, match=f"{name}: {kind}.*expected a note"):
            read_json(tmp_path / name, "a note")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"duration": ' + "1" * 5000 + "}", "{", "\x00", ""])
def test_json_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json: not readable as a note") as refused:
        read_json(tmp_path / "a.json", "a note")
    assert "\n" not in str(refused.value)


def test_a_file_larger_than_the_bound_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "a.json", "wb") as file:
        file.truncate(1 << 40)  # sparse: takes no disk
    with pytest.raises(InputError, match="over 32 MiB"):
        read_json(tmp_path / "a.json", "a note")


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


@pytest.mark.parametrize("how", ["name", "link", "hard link", "spelling", "link given"])
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
    else:
        out = given if how == "name" else tmp_path / "folder" / ".." / "in"
    with pytest.raises(InputError, match="which this command reads"):
        not_an_input(out, None, tmp_path / "absent", given)
    not_an_input(tmp_path / "new", None, given)
    not_an_input(tmp_path / "folder", given)


def test_names_of_outputs_fit_and_stay_apart(tmp_path: Path) -> None:
    assert output_name("walk", "reel.mp4") == "walk.reel.mp4"
    for stem in ("ü" * 120, "x" * 251, "長" * 84, "\udcff" * 250):
        names = {output_name(stem + tail, ending) for tail in ("", "y") for ending in ("scores.json", "scores.csv")}
        assert len(names) == 4
        for name in names:
            (tmp_path / name).touch()
    assert output_name("x" * 247, "reel.mp4").startswith("x" * 237 + "~")


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


def test_holes_of_a_file_are_not_counted_as_stored(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb+") as file:
        assert stored_bytes(file) == 0
        file.write(bytes(1 << 16))  # zeros, but written
        file.flush()
        assert stored_bytes(file) == 1 << 16
        file.truncate(1 << 30)
        assert stored_bytes(file) in (1 << 16, 1 << 30)  # the latter where the file system does not tell
        file.seek(1 << 29)
        file.write(b"x")
        file.flush()
        assert stored_bytes(file) in ((1 << 16) + os.fstat(file.fileno()).st_blksize, 1 << 30)
