"""The pages for people: README and the site's, and the blocks of code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "pages"
NOT_RUN = "not run by a test: "  # what a block's title begins with that cannot be run here; the reason follows
_BLOCK = re.compile(r"(?:^`([\w./-]+)`:\n\n|(?<=\s)`([\w./-]+)`:\n\n)?^```(\w*)([^\n]*)\n(.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """A block of a page.

    Attributes:
        file: Its name, where the line before names one.
        language: As written behind the fence.
        reason: Why no test runs it; empty: a test does.
        text: What is in it.
    """

    file: str
    language: str
    reason: str
    text: str

    def commands(self) -> list[tuple[str, list[str]]]:
        """Each command, and the lines of output that the page shows of it."""
        found: list[tuple[str, list[str]]] = []
        lines = self.text.replace("\\\n", " ").splitlines()
        for line in lines:
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and line.strip() not in ("", "...") and not line.startswith("# "):
                found[-1][1].append(line)
        return found


def pages() -> list[Path]:
    """README, and the site's own pages."""
    return [
        ROOT / "README.md",
        *sorted(path for path in SITE.rglob("*.md") if "results" not in path.relative_to(SITE).parts),
    ]


def blocks(page: Path) -> list[Block]:
    """A page's blocks, in order."""
    found = []
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        title = re.search(r'title="([^"]*)"', match[4])
        reason = title[1].removeprefix(NOT_RUN) if title and title[1].startswith(NOT_RUN) else ""
        found.append(Block(match[1] or match[2] or "", match[3], reason, match[5]))
    return found
