"""Text from files reaches people as text, never as commands to their terminal."""

from __future__ import annotations

import io

import pytest

from highlight_lit.cli import main
from highlight_lit.text import decimal_number, say, shown, whole_number

HOSTILE = ["\x1b]0;title\x07", "a\nforged: line", "a\rb", "\u2028", "\u202egpj.exe", "\x9b31m", "\ud800", "\x00"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_moves_the_cursor_breaks_the_line_or_reorders_it(text: str) -> None:
    out = io.StringIO()
    say(f"topic {text}: 1 video", file=out)
    assert out.getvalue().count("\n") == 1
    assert not [c for c in out.getvalue()[:-1] if not c.isprintable()]


@pytest.mark.parametrize("text", ["\xad", "\u200b", "\u2060", "\u206a", "\ufeff", "\ufff9", "\U000e0041", "\u180e"])
def test_two_names_do_not_look_alike_by_a_character_that_is_not_seen(text: str) -> None:
    assert shown(f"su{text}rf") == f"su{text.encode('unicode_escape').decode()}rf"


@pytest.mark.parametrize("text", ["滑雪", "👩‍👩‍👧 family", "می‌خواهم", "[bold] dog", "Übung №1"])
def test_names_in_any_script_are_shown_as_they_are(text: str) -> None:
    assert shown(text) == text


def test_a_terminal_that_has_no_such_letter_gets_an_escape() -> None:
    raw = io.BytesIO()
    terminal = io.TextIOWrapper(raw, encoding="ascii")
    say("滑雪", file=terminal)
    assert raw.getvalue() == b"\\u6ed1\\u96ea\n"


@pytest.mark.parametrize("words", [["reel", "a.mp4", "--scores", "s.csv"], ["reproduce"], ["demo", "folder"]])
def test_a_word_too_many_that_is_a_command_to_the_terminal_is_named_as_text(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--b\x1b[2J\u202e.mp4"])
    assert r"unrecognized arguments: --b\x1b[2J\u202e.mp4" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["1_0", " 10", "\uff11\uff10", "0x10", "x", "", "1" * 5000])
@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "--scores", "s.csv", "--corpus", "c", "--draws"],
        ["import", "npz", "s", "--out", "c", "--clip-seconds"],
        ["import", "umt", "s", "--out", "c", "--pca"],
    ],
    ids=" ".join,
)
def test_a_number_as_python_alone_writes_it_is_refused_wherever_it_is_asked_for(
    words: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*words, f"{word},2" if words[-1] == "--pca" else word])
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"error: argument {words[-1]}: '{word[:9]}" in line
    assert "expected " in line


def test_numbers_are_taken_as_people_write_them() -> None:
    assert [whole_number(word) for word in ("0", "-3", "+20", "007")] == [0, -3, 20, 7]
    assert [decimal_number(word) for word in ("2", "0.5", ".5", "5.", "1e-3", "-2E+1")] == [2, 0.5, 0.5, 5, 1e-3, -20]


@pytest.mark.parametrize("word", ["infinity", "nan", "1e999", "-inf", "1_0.5", ".", "e5", "1 "])
def test_a_number_is_finite(word: str) -> None:
    with pytest.raises(ValueError, match="expected a number, such as 2 or 0.5"):
        decimal_number(word)
