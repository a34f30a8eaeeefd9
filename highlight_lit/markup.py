"""Text within Markdown and LaTeX: nothing in it is a mark, a link or a command."""

from __future__ import annotations

import re

from highlight_lit.text import shown

# What stands for something else in a line of Markdown, as GitHub reads it too: emphasis, code, links, cells, mathematics,
# tags, entities, and addresses of the web, which are links without a mark. An underscore within a word and a lone `<` or
# `&` stand for themselves. An address of mail is a link whatever stands before its `@`.
_MARKS = re.compile(
    r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])|:(?=//)|(?<=www)\.", re.IGNORECASE
)
_TEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}", '"': "''",
    "`": "{`}", "<": "$<$", ">": "$>$", "±": r"$\pm$", "–": "--", "τ": r"$\tau$", "β": r"$\beta$",
    "²": "$^2$", "³": "$^3$", "[": "{[}", "]": "{]}", "*": "{*}",  # behind the \\ of the line above these are LaTeX's
    **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip


def in_markdown(value: object) -> str:
    r"""Text as it can stand in a line or a cell of Markdown: `shown`, and nothing in it a mark, a link or a tag.

    >>> in_markdown("a|b <img> top5_map x < 3")
    'a\\|b \\<img> top5_map x < 3'
    """
    return _MARKS.sub(r"\\\g<0>", shown(value))


def in_latex(value: object) -> str:
    r"""Text as it can stand in a line or a cell of LaTeX: `shown`, and nothing in it a command.

    >>> in_latex("50 % of a_b")
    '50 \\% of a\\_b'
    """
    return "".join(_TEX.get(c, c) for c in shown(value))
