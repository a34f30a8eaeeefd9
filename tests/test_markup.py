"""A name is text in Markdown and LaTeX, whatever it looks like."""

from __future__ import annotations

import html
import re

import pytest

from highlight_lit.markup import in_latex, in_markdown
from highlight_lit.text import shown

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
