"""Text from files reaches people as text, never as commands to their terminal."""

from __future__ import annotations

import html
import io
import re

import pytest

from highlight_lit.cli import main
from highlight_lit.text import in_latex, in_markdown, say, shown

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


MARKS = ["a|b", "`rm`", "<img src=x onerror=alert(1)>", "[a](http://b)", "![a](b)", "*a*", "_a_", "__a__", "~~a~~", "&lt;", "&#60;",
         "$a$", "\\|", "\\", "<!-- a", "a\n\n# forged", "a\r| b |", "http://a.b", "HTTPS://a.b/c", "(www.a.b)", "WWW.a.b"]  # fmt: skip


@pytest.mark.parametrize("text", MARKS)
def test_a_name_is_text_in_markdown(text: str) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    made = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).render(
        f"| name |\n| --- |\n| {in_markdown(text)} |\n"
    )
    assert html.unescape(made.split("<td>")[1].split("</td>")[0]) == shown(text)
    assert made.count("<td>") == made.count("<tr>") - 1 == 1
    assert not set(re.findall(r"</?([a-z0-9]+)", made)) - {"table", "thead", "tbody", "tr", "th", "td"}
    bare = re.search(r"[^\\]://|www\.", in_markdown(text), re.IGNORECASE)
    assert bare is None  # GitHub makes a link of an address, unless a mark parts it


@pytest.mark.parametrize("text", ["top5_map", "a & b", "x < 3", "MINI-Net", "-1.2 ± 0.3", "滑雪"])
def test_plain_names_and_numbers_stay_as_they_are_in_markdown(text: str) -> None:
    assert in_markdown(text) == text


@pytest.mark.parametrize(
    "text", ["\\input{/etc/passwd}", "50 % & more", "a_b^c~d#e$f", "[2em]", "*", "{", "}", "a\n\nb", "|", '"a']
)
def test_a_name_is_text_in_latex(text: str) -> None:
    made = in_latex(text)
    assert "\n" not in made
    left = re.sub(r"\\[&%$#_{}]|\\text\w+\{\}|\{[\[\]*`]\}", "", made)
    assert not set(left) & set("\\&%$#_{}~^[]*|")


@pytest.mark.parametrize("words", [["reel", "a.mp4", "--scores", "s.csv"], ["reproduce"], ["demo", "folder"]])
def test_a_word_too_many_that_is_a_command_to_the_terminal_is_named_as_text(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--b\x1b[2J\u202e.mp4"])
    assert r"unrecognized arguments: --b\x1b[2J\u202e.mp4" in capsys.readouterr().err
