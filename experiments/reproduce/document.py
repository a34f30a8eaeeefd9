"""A report as parts, written as Markdown, as one HTML page with its figures inside, and its tables as LaTeX."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from highlight_lit.markup import in_latex, in_markdown
from highlight_lit.text import shown

_CODE = re.compile(r"`([^`]+)`")
WORDS = 20  # characters; a longer cell is no number


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 to 3."""

    level: int
    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph; `code` in backquotes."""

    text: str


@dataclass(frozen=True)
class Table:
    """A table: its name as a file, its caption, its columns, and rows of as many cells; `rule` rows end a group."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    rule: frozenset[int] = frozenset()

    @property
    def wordy(self) -> list[bool]:
        """Of each column, whether it holds words, which stand at the left, and not numbers: the first one does."""
        return [
            number == 0 or any(len(row[number]) > WORDS for row in self.rows) for number in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Figure:
    """A figure (SVG) and what it shows."""

    path: Path
    caption: str


Part = Heading | Text | Table | Figure


def markdown(parts: Sequence[Part], folder: Path) -> str:
    """The report as Markdown; figures are linked relative to `folder`."""
    return "\n\n".join(_markdown(part, folder) for part in parts) + "\n"


def _markdown(part: Part, folder: Path) -> str:
    if isinstance(part, Heading):
        return "#" * part.level + " " + in_markdown(part.text)
    if isinstance(part, Text):
        return "\n".join(map(_marked, part.text.split("\n")))
    if isinstance(part, Figure):
        path = quote(part.path.relative_to(folder).as_posix())
        return f"![{in_markdown(part.caption)}]({path})\n\n{_marked(part.caption)}"
    lines = ["| " + " | ".join(map(in_markdown, row)) + " |" for row in (part.columns, *part.rows)]
    lines.insert(1, "|" + "|".join(" --- " if words else " ---: " for words in part.wordy) + "|")
    return _marked(part.caption) + "\n\n" + "\n".join(lines)


def _marked(line: str) -> str:
    """A line in which `code` alone stands for something else."""
    return "".join(
        f"`{shown(part)}`" if number % 2 else in_markdown(part) for number, part in enumerate(_CODE.split(line))
    )


def latex(table: Table) -> str:
    """The table in LaTeX, for booktabs."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{in_latex(table.caption.replace('`', ''))}}}",
        "\\begin{tabular}{" + "".join("l" if words else "r" for words in table.wordy) + "}",
        "\\toprule",
        " & ".join(map(in_latex, table.columns)) + " \\\\",
        "\\midrule",
    ]
    for number, row in enumerate(table.rows):
        lines.append(" & ".join(map(in_latex, row)) + " \\\\")
        if number in table.rule:
            lines.append("\\midrule")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --page: #fff; --soft: #666; --line: #ddd; --tint: #f5f7f9 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --page: #16181b; --soft: #9aa0a6; --line: #3a3d42; --tint: #1f2226 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 88rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line) } h3 { margin-top: 2rem }
nav { columns: 14rem; margin: 1rem 0 } nav a { display: block; color: inherit }
.scroll { overflow-x: auto } tr { background: var(--page) } table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 }
th, td { padding: .25rem .55rem; text-align: right; white-space: nowrap } .text { text-align: left }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom } tr.rule td { border-bottom: 1px solid var(--soft) }
tbody tr:hover { background: var(--tint) } td { vertical-align: top } .words td.text { white-space: normal }
.scroll :is(th, td):first-child { position: sticky; left: 0; background: inherit }
@media (max-width: 40rem) { .scroll :is(th, .text) { white-space: normal; min-width: 4rem } .scroll .text { min-width: 7.5rem } }
figure { margin: 1rem 0 } figure img { background: #fff; border-radius: 4px; padding: .3rem }
figcaption, .caption { color: var(--soft); font-size: .9rem; max-width: 60rem }
code { background: var(--tint); padding: 0 .2rem }
"""


def page(title: str, parts: Sequence[Part]) -> str:
    """The report as one HTML page that loads nothing: figures are in it."""
    sections = [part for part in parts if isinstance(part, Heading) and part.level == 2]
    links = "".join(f'<a href="#{_anchor(part.text)}">{_escaped(part.text)}</a>' for part in sections)
    body = "\n".join(_html(part) for part in parts)
    first, _, rest = body.partition("</h1>")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_escaped(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style></head>\n'
        f"<body>\n{first}</h1>\n<nav>{links}</nav>{rest}\n</body></html>\n"
    )


def _html(part: Part) -> str:
    if isinstance(part, Heading):
        return f'<h{part.level} id="{_anchor(part.text)}">{_inline(part.text)}</h{part.level}>'
    if isinstance(part, Text):
        if part.text.startswith("- "):
            items = "".join(f"<li>{_inline(line[2:])}</li>" for line in part.text.split("\n"))
            return f"<ul>{items}</ul>"
        return f"<p>{_inline(part.text)}</p>"
    if isinstance(part, Figure):
        image = base64.b64encode(part.path.read_bytes()).decode()
        return (
            f'<figure><div class="scroll"><img alt="{_escaped(part.caption)}" src="data:image/svg+xml;base64,{image}"></div>'
            f"<figcaption>{_inline(part.caption)}</figcaption></figure>"
        )
    return f'<div class="caption">{_inline(part.caption)}</div><div class="scroll">{_html_table(part)}</div>'


def _html_table(table: Table) -> str:
    def line(tag: str, row: Sequence[str]) -> str:
        kinds = [" class=text" if words else "" for words in table.wordy]
        return "".join(f"<{tag}{kind}>{_inline(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    rows = "".join(
        f"<tr{' class=rule' if number in table.rule else ''}>{line('td', row)}</tr>\n"
        for number, row in enumerate(table.rows)
    )
    kind = " class=words" if sum(table.wordy) > 1 or any(len(row[0]) > 40 for row in table.rows) else ""
    return f"<table{kind}><thead><tr>{line('th', table.columns)}</tr></thead>\n<tbody>{rows}</tbody></table>"


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", _escaped(text))


def _escaped(text: str) -> str:
    return "\n".join(html.escape(shown(line)) for line in text.split("\n"))


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
