"""Text from files reaches people as text, never as commands to their terminal."""

from __future__ import annotations

import io

import pytest

from highlight_lit.cli import main
from highlight_lit.text import say, shown

HOSTILE = ["\x1b]0;title\x07", "a\nforged: line", "a\rb", "\u2028", "\u202egpj.exe", "\x9b31m", "\ud800", "\x00"]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_moves_the_cursor_breaks_the_line_or_reorders_it(text: str) -> None:
    out = io.StringIO()
    say(f"topic {text}: 1 video", file=out)
    assert out.getvalue().count("\n") == 1
    assert not [c for c in out.getvalue()[:-1] if not c.isprintable()]


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
