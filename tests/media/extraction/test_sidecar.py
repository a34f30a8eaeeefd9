"""Sidecars and tables are data from strangers: a right value, or one line that names file and field."""

from __future__ import annotations

import json
import os
import random
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av")
from highlight_lit.data.topics.tags import MAX_TAGS
from highlight_lit.errors import InputError
from highlight_lit.media.extraction.matching import sidecar_of
from highlight_lit.media.extraction.sidecar import (
    MAX_SIDECAR_BYTES,
    Sidecar,
    is_playlist,
    plain_id,
    read_csv,
    read_info_json,
)
from highlight_lit.text import shown

FUZZED = int(os.environ.get("HIGHLIGHT_LIT_FUZZ", "300"))  # sidecars of each kind


def test_text_of_a_sidecar_is_one_printable_line(tmp_path):
    path = tmp_path / "x.info.json"
    path.write_text(
        json.dumps({"title": "a\nb\x1b[31m\ud800\u202e", "tags": ["  Ski\tJump ", "", "ski jump"], "id": "i\0d"})
    )
    sidecar = read_info_json(path)
    assert sidecar.title.isprintable()
    assert sidecar.title.startswith("a b [31m")
    assert sidecar.tags == ("ski jump",)
    assert sidecar.id == "i d"


def test_tags_are_compared_in_one_unicode_form(tmp_path):
    path = tmp_path / "x.info.json"
    path.write_text(json.dumps({"tags": [unicodedata.normalize("NFD", "Übung"), "übung", "ÜBUNG"]}))
    assert read_info_json(path).tags == ("übung",)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_is_no_fault(tmp_path, mark):
    (tmp_path / "x.info.json").write_bytes(mark + b'{"tags": ["dog"]}')
    assert sidecar_of(tmp_path / "x.mp4") == Sidecar(tags=("dog",))
    (tmp_path / "t.csv").write_bytes(mark + b"video,tags\nx,dog\n")
    assert [(row.name, row.sidecar.tags) for row in read_csv(tmp_path / "t.csv")] == [("x", ("dog",))]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"duration": NaN}', "duration: expected seconds from 0"),
        ('{"duration": Infinity}', "duration: expected seconds from 0"),
        ('{"duration": -1}', "duration: expected seconds from 0"),
        ('{"duration": %s}' % ("1" * 401), "duration: expected seconds from 0"),
        ('{"duration": %s}' % ("1" * 5000), "not readable"),
        ('{"title": %s}' % ("1" * 5000), "not readable"),
        ('{"title": %s}' % ("1" * 4000), "title: 1111"),
        ('{"duration": true}', "duration: True is not a number"),
        ('{"tags": {"dog": 1}}', "tags: an object is not a list of texts"),
        ('{"tags": [["dog"]]}', "tags: expected a list of texts"),
        ('{"tags": [null]}', "tags: expected a list of texts"),
        ('{"tags": "dog, cat"}', "tags: 'dog, cat' is not a list of texts"),
        ('{"id": ["x"]}', "id: a list is not text"),
        ("null", "expected a JSON object"),
        ("", "not readable"),
        ('{"a":' * 50_000, "not readable"),
        (
            json.dumps({"tags": [str(number) for number in range(MAX_TAGS + 1)]}),
            f"tags: {MAX_TAGS + 1}; expected at most",
        ),
    ],
)
def test_what_a_sidecar_may_not_say_is_one_line(tmp_path, content, said):
    path = tmp_path / "x.info.json"
    path.write_text(content)
    with pytest.raises(InputError, match=said) as error:
        read_info_json(path)
    assert str(error.value).startswith(str(path))
    assert len(str(error.value)) < len(str(path)) + 200


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing", "huge"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    def make(path: Path) -> None:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "huge":
            path.touch()
            os.truncate(path, 40 * MAX_SIDECAR_BYTES)
        else:
            path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "none")

    start = time.monotonic()
    for name, read in (
        ("x.info.json", lambda: sidecar_of(tmp_path / "x.mp4")),
        ("t.csv", lambda: read_csv(tmp_path / "t.csv")),
    ):
        make(tmp_path / name)
        with pytest.raises(InputError, match=name):
            read()
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,tags\na,b\n", "columns name, tags: expected video, tags"),
        ("video,tags,colour\na,b,c\n", "columns video, tags, colour: expected"),
        ("video;tags\na;b\n", "columns video;tags: expected"),
        ("", "expected video, tags"),
        ("video,tags\n", "a header without rows"),
        ("video,tags\na,b\na,c\n", "line 3: video 'a': named twice"),
        ("video,tags\n,c\n", "line 2: video '': empty"),
        ("video,tags\ne\u0301,b\n\u00e9,c\n", "line 3: video 'é': named twice"),
        ("video,tags\na,b,c\n", "line 2: 3 fields"),
        ("video,tags,split\na,b,dev\n", "split: 'dev'"),
        ("video,tags,duration\na,b,long\n", "duration: 'long'"),
        ("video,tags,duration\na,b,nan\n", "duration: 'nan'"),
        ("video,tags,duration\na,b,1_0\n", "duration: '1_0'"),
        ("video,tags,duration\na,b,\u0661\n", "duration: '\u0661'"),
        ("video,tags,duration\na,b,1e400\n", "duration: '1e400'"),
        ('video,tags\n"a,b\n', "not readable as csv"),
    ],
)
def test_a_wrong_table_is_refused_by_line(tmp_path, content, said):
    path = tmp_path / "tags.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        read_csv(path)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("A walk... in the park", "A walk... in the park"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("..\\..\\x", ".._.._x"),
        ("..", "__"),
        ("a\x1b[31m\nb", "a [31m b"),
        ("\u202egpj.exe", "gpj.exe"),
        ("e\u0301", "\u00e9"),
        ("half \ud800", "half ?"),
        ("", ""),
        ("\n\t", ""),
    ],
)
def test_an_id_is_plain(name, plain):
    assert plain_id(name) == plain
    assert shown(plain) == plain


def test_ids_are_as_long_as_a_file_name_and_stay_different():
    long = [plain_id("é" * 200 + ending) for ending in ("a", "b")]
    assert len({*long}) == 2
    assert all(len(each.encode()) <= 255 for each in long)
    assert plain_id("x" * 255) == "x" * 255


def test_a_sidecar_of_a_playlist_is_told_from_that_of_a_video(tmp_path):
    (tmp_path / "p.info.json").write_text('{"_type": "playlist", "id": "PL1"}')
    (tmp_path / "v.info.json").write_text('{"_type": "video"}')
    (tmp_path / "w.info.json").write_text("[")
    assert [is_playlist(tmp_path / f"{name}.info.json") for name in "pvw"] == [True, False, False]


def value(draw: random.Random, depth: int) -> Any:
    """A JSON value of any kind, `depth` levels deep at most."""
    kind = draw.randrange(12 if depth else 8)
    if kind >= 8:
        inner = [value(draw, depth - 1) for _ in range(draw.randrange(4))]
        return (
            inner
            if kind < 10
            else {draw.choice(["id", "tags", "title", "duration", "_type", "x"]): each for each in inner}
        )
    return [
        None,
        draw.random() < 0.5,
        draw.choice([0, -1, 10 ** draw.randrange(400), draw.randrange(2**40)]),
        draw.choice([0.5, float("nan"), float("inf"), -float("inf"), 1e308, -0.0]),
        "".join(chr(draw.choice([draw.randrange(0x20), draw.randrange(0x250), draw.randrange(0xD800, 0xE000), draw.randrange(0x11_0000)])) for _ in range(draw.randrange(20))),
        "x" * draw.randrange(3000),
        draw.choice(["dog", "Dog ", "", "..", "/", "${oc.env:HOME}", "=1+1", "[red]x[/]"]),
        [],
    ][kind]  # fmt: skip


def sidecar_text(draw: random.Random) -> str:
    """The text of a sidecar: an object with the fields that are read, each of any kind, now and then mutilated."""
    fields: dict[str, Any] = {"id": "x", "title": "A walk", "tags": ["dog"], "duration": 2.5, "formats": value(draw, 3)}
    for name in fields:
        if draw.random() < 0.4:
            fields[name] = value(draw, draw.randrange(6))
    whole: Any = fields if draw.random() < 0.9 else value(draw, 6)
    for _ in range(draw.choice([0, 0, 0, 50, 5000])):
        whole = {"tags": [whole]} if draw.random() < 0.5 else [whole]
        if len(fields) > 6:
            break
    try:
        text = json.dumps(whole, ensure_ascii=draw.random() < 0.5)
    except RecursionError:
        text = "[" * draw.randrange(100_000)
    for _ in range(draw.choice([0, 0, 1, 3, 20])):
        at = draw.randrange(len(text) + 1)
        text = (
            text[:at]
            + draw.choice(['"', "{", "]", ",", "9" * draw.randrange(6000), "\0", "\\u", ""])
            + text[at + draw.randrange(3) :]
        )
    return text


def audio(sidecar: Sidecar) -> bool:
    """Whether all that a sidecar says is as it is promised."""
    texts = [sidecar.id, sidecar.title, *sidecar.tags, plain_id(sidecar.id)]
    return (
        all(isinstance(text, str) and shown(text) == text and text.encode() is not None for text in texts)
        and len(set(sidecar.tags)) == len(sidecar.tags)
        and all(sidecar.tags)
        and (sidecar.duration is None or 0 <= sidecar.duration <= 1e9)
        and "/" not in plain_id(sidecar.id)
        and len(plain_id(sidecar.id).encode()) <= 255
    )


def test_any_sidecar_is_a_right_value_or_one_line(tmp_path):
    path, kept = tmp_path / "x.info.json", 0
    for seed in range(FUZZED):
        path.write_bytes(sidecar_text(random.Random(seed)).encode("utf-8", "surrogatepass"))
        try:
            sidecar = read_info_json(path)
            is_playlist(path)
        except InputError as error:
            line = str(error)
            assert line.startswith(str(path)), seed
            assert len(line) < len(str(path)) + 300, seed
            continue
        kept += 1
        assert audio(sidecar), seed
    assert FUZZED / 20 < kept < FUZZED  # both happen


def test_any_table_is_right_rows_or_one_line(tmp_path):
    path, kept, lines = tmp_path / "t.csv", 0, set()
    for seed in range(FUZZED):
        draw = random.Random(seed)
        rows = [["video", "tags", *draw.sample(["title", "duration", "split"], draw.randrange(4))]]
        for number in range(draw.randrange(5)):
            cells = {"video": f"v{number}", "tags": "dog;cat", "title": "A", "duration": "2", "split": "train"}
            rows.append(
                [
                    draw.choice([cells[name], cells[name], cells[name], "".join(map(str, [value(draw, 1)]))])
                    for name in rows[0]
                ]
            )
        text = "\n".join(",".join(row) for row in rows)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            found = read_csv(path)
        except InputError as error:
            lines.add(str(error).startswith(str(path)))
            continue
        kept += 1
        assert all(audio(row.sidecar) and row.name for row in found), seed
    assert FUZZED / 20 < kept < FUZZED
    assert lines == {True}
