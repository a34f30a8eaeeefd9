"""Text on its way to people: whatever a name, tag or title holds, it stays one line of plain characters."""

from __future__ import annotations

import argparse
import io
import math
import re
import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

if TYPE_CHECKING:  # for tables alone
    from rich.table import Table

COLUMNS = 120  # of a table that goes to a file or a pipe
HOLE = "-"  # in a table, where there is no number
MAX_LINE = 2000  # characters: a name or value of megabytes would bury the line that tells of it
# Control characters, halves of surrogate pairs, ends of lines and paragraphs, and characters that reorder what stands
# around them or are not seen: a name could then read as another one. Joiners are left, which Persian and emoji need.
_DANGEROUS = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\xad\u180e\u200b\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def shown(value: object) -> str:
    r"""Text as it can be printed or logged: one line, control and reordering characters as escapes.

    >>> shown("dog\x1b[2J\nall is well"), shown("Eiskunstlauf ⛸")
    ('dog\\x1b[2J\\nall is well', 'Eiskunstlauf ⛸')
    """
    return _DANGEROUS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(value))


def one_line(value: object) -> str:
    """Text as `shown`, at most `MAX_LINE` characters of it: of a longer one the beginning and the end."""
    text = str(value)
    if len(text) > 2 * MAX_LINE:  # what is left out is not looked at
        text = text[:MAX_LINE] + text[-MAX_LINE:]
    text = shown(text)
    return text if len(text) <= MAX_LINE else f"{text[: MAX_LINE * 2 // 3]} [...] {text[-MAX_LINE // 4 :]}"


class NoNumber(argparse.ArgumentTypeError, ValueError):
    """A word of the command line is no number; argparse says what was expected."""


def whole_number(text: str) -> int:
    """The whole number that a word holds in plain digits; `int` alone takes `1_0` as 10, and digits of other scripts.

    Raises:
        NoNumber: It holds none.
    """
    if not re.fullmatch("[-+]?[0-9]{1,4000}", text):  # Python itself takes no more than 4,300
        raise NoNumber(f"{text!r}: expected a whole number, in digits alone")
    return int(text)


def decimal_number(text: str) -> float:
    """The finite number that a word holds as `2`, `0.5` or `1e-3`; `float` alone takes `1_0` and `infinity` too.

    Raises:
        NoNumber: It holds none.
    """
    form = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"
    if not (re.fullmatch(form, text) and math.isfinite(float(text))):
        raise NoNumber(f"{text!r}: expected a number, such as 2 or 0.5")
    return float(text)


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors are one line of text, and whose numbers are plain ones: argparse takes words as they are."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", int, whole_number)
        self.register("type", float, decimal_number)

    def error(self, message: str) -> NoReturn:
        """End with exit status 2."""
        super().error(one_line(message))

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help or a version; argparse itself takes a standard output that cannot be written as no fault."""
        if file is not sys.stdout:
            super()._print_message(message, file)
        else:
            file.write(message)
            file.flush()


def say(*lines: object, file: TextIO | None = None) -> None:
    """Print lines for people, each through `one_line`, and flush.

    Args:
        lines: Each becomes one line, a long one shorter.
        file: Where to; None: standard output.
    """
    stream = sys.stdout if file is None else file
    encoding = getattr(stream, "encoding", None) or "utf-8"
    for line in lines:
        stream.write(one_line(line).encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def a_few(names: Iterable[str], most: int = 5) -> str:
    """The first of many names, for one line.

    >>> a_few(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    listed = list(names)
    return ", ".join(map(one_line, listed[:most])) + f" and {len(listed) - most} more" * (len(listed) > most)


def clock(seconds: float, _: object = None) -> str:
    """Seconds as minutes and seconds, with hours where there are any; the second argument is matplotlib's.

    >>> clock(75.0), clock(3700.0)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def percent(value: float | None) -> str:
    """A share in percent, with one decimal; `HOLE` for None and NaN.

    >>> percent(0.5), percent(None), percent(float("nan"))
    ('50.0', '-', '-')
    """
    return HOLE if value is None or math.isnan(value) else f"{100 * value:.1f}"


def columns() -> int:
    """Characters in a line of standard output: a terminal's, `COLUMNS` of the environment, or `COLUMNS`."""
    return shutil.get_terminal_size((COLUMNS, 24)).columns


def say_table(table: Table) -> None:
    """Print a table as wide as `columns`; its cells are text, whatever looks like markup in them."""
    from rich import box
    from rich.console import Console

    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        table.box = box.ASCII2
    if isinstance(table.title, str):
        table.title = one_line(table.title)
    drawn = io.StringIO()
    console = Console(file=drawn, width=columns(), markup=False, emoji=False, highlight=False, color_system=None)
    console.print(table)
    say(*(line.rstrip() for line in drawn.getvalue().splitlines()))


def width(table: Table) -> int:
    """Characters that a table takes in a line of any length."""
    from rich.console import Console

    wide = Console(width=10**6, markup=False, emoji=False)
    return wide.measure(table).maximum
