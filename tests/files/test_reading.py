"""Files are opened in one way: regular ones alone, at once, up to a bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from highlight_lit.errors import InputError
from highlight_lit.files import read_json
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
