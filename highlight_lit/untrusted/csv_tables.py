"""One way to read a table: csv with a header, in any of the encodings that spreadsheets write, row by row."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from highlight_lit.errors import InputError
from highlight_lit.files import encoding_of, open_regular
from highlight_lit.text import a_few

MAX_TABLE_BYTES = 256 << 20
MAX_ROWS = 500_000  # of a table whose rows are kept
MAX_LINE_CHARACTERS = 1 << 20  # of a table: of a line, and of a row that quotes spread over lines


def read_table(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    most: int = MAX_TABLE_BYTES,
    rows: int = MAX_ROWS,
    others: bool = False,
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and fields of each row of a csv file with a header.

    Args:
        path: The file; cells are separated by commas, blanks around them are left out, empty lines too.
        required: Columns that must be there.
        optional: Columns that may be there.
        most: Bytes that are read at most.
        rows: Rows that are read at most.
        others: Whether any other columns may be there, which are left out.

    Raises:
        InputError: As `read_text`; or it has over `rows` or a line of over `MAX_LINE_CHARACTERS`, or a column is missing,
            unknown or twice there, or a row has more or fewer fields than the header.
    """
    what = f"csv with columns {', '.join(required)}"
    with open_regular(path, what) as file:
        lines = _Lines(path, what, file, most)
        try:
            yield from _rows(path, lines, required, optional, rows, others)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: not UTF-8 text ({error.reason}, after line {lines.count}); expected {what}"
            ) from error
        except csv.Error as error:
            raise InputError(f"{path}: line {lines.count}: not readable as csv ({error})") from error
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def cell_number(text: str) -> float:
    """The number that a cell holds, in ASCII, or NaN; `float` alone takes `1_0` as 10, and digits of other scripts."""
    try:
        return float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return math.nan


class _Lines:
    """Lines of a text file one after the other, so that no more than one is in memory."""

    def __init__(self, path: Path, what: str, file: BinaryIO, most: int) -> None:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise InputError(f"{path}: over {most >> 20} MiB, the most that is read of {what}")
        encoding = encoding_of(file.read(2))
        file.seek(0)
        self._text = io.TextIOWrapper(file, encoding, newline="")
        self._path, self.count = path, 0
        self.of_row = 0  # characters since whoever reads them has had a row

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(MAX_LINE_CHARACTERS):
            self.count += 1
            self.of_row += len(line)
            if self.of_row >= MAX_LINE_CHARACTERS:
                raise InputError(f"{self._path}: line {self.count}: over {MAX_LINE_CHARACTERS} characters")
            yield line


def _rows(
    path: Path, lines: _Lines, required: Sequence[str], optional: Sequence[str], most: int, others: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row, the header checked."""
    reader = csv.reader(lines, strict=True)
    header, count = [name.strip() for name in next(reader, [])], 0
    known = {*required, *optional}
    if not set(required) <= set(header) <= (set(header) if others else known) or len(set(header)) < len(header):
        maybe = f" and perhaps {', '.join(optional)}" if optional else ""
        raise InputError(f"{path}: columns {a_few(header, 12)}: expected {', '.join(required)}{maybe}{_part(header)}")
    places = [(name, place) for place, name in enumerate(header) if name in known]
    lines.of_row = 0
    for row in reader:
        lines.of_row = 0
        if not row:
            continue
        if len(row) != len(header):
            raise InputError(f"{path}: line {reader.line_num}: {len(row)} fields, expected {len(header)}")
        count += 1
        if count > most:
            raise InputError(f"{path}: over {most} rows, the most that are read of it; part the file")
        yield reader.line_num, {name: row[place].strip() for name, place in places}


def _part(header: Sequence[str]) -> str:
    """What to say of a header whose columns something else than commas parts."""
    other = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), None)
    return "" if other is None else f"; the file parts its columns by {other!r}, expected commas"
