"""What a stranger's file says, checked: an id, a title, a number, rows of numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from highlight_lit.errors import InputError
from highlight_lit.files import MAX_NAME_BYTES
from highlight_lit.text import shown
from highlight_lit.unicode_forms import same_form
from highlight_lit.untrusted.csv_tables import cell_number

SMALLEST, LARGEST = 1e-6, 1e12  # of seconds, frames and rates
TOLERATED_ROWS = 2  # by which a video's arrays may differ: extractors' ideas of the last clip do


def safe_id(name: object, where: str) -> str:
    """Return a video's id, in Unicode's composed form, if it can be part of a file name without leaving its folder.

    Raises:
        InputError: It is empty or no text, holds a slash, a backslash, a control character or one that reorders what
            stands around it, is `.` or `..`, is longer than a file's name, or has outer blanks, which no table keeps.
    """
    if isinstance(name, str) and len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise InputError(f"{where}: video {name[:20]!r}...: id: expected at most {MAX_NAME_BYTES} bytes")
    if isinstance(name, str) and name.strip(" .") and shown(name) == name and not set(name) & {"/", "\\"}:
        if name != name.strip():
            raise InputError(f"{where}: video {name!r}: id: expected a name without blanks around it")
        return same_form(name)
    raise InputError(f"{where}: video {name!r}: id: expected a plain name, without '/', '\\' or '..'")


def text(value: object) -> str:
    """A title or topic as it can be stored: what UTF-8 cannot hold becomes `?`, what is no text at all becomes empty.

    >>> text("caf\\ud800"), text(None)
    ('caf?', '')
    """
    return same_form(value.encode("utf-8", "replace").decode()) if isinstance(value, str) else ""


def number(value: object, where: str) -> float:
    """A number above 0, given as a number or as text: what a second, a frame or a rate may be.

    Raises:
        InputError: It is anything else.
    """
    try:
        parsed = cell_number(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        parsed = math.nan
    if isinstance(value, bool) or not (math.isfinite(parsed) and parsed > 0):
        raise InputError(f"{where}: {value!r}, expected a number above 0")
    if not SMALLEST <= parsed <= LARGEST:  # products and quotients of two would be infinite, or 0
        raise InputError(f"{where}: {value!r}, expected a number from {SMALLEST:g} to {LARGEST:g}")
    return parsed


def matrix(value: object, where: str, columns: int | None = None) -> NDArray[np.float64]:
    """A list of equally long lists of finite numbers, from JSON, as (rows, columns), at least one row.

    Raises:
        InputError: It is anything else.
    """
    try:
        numbers = all(type(each) in (int, float) for row in value for each in row)  # type: ignore[attr-defined]
        rows = np.array(value if numbers else None, np.float64)  # which takes true as 1, and the text "1_0" as 10
    except (TypeError, ValueError, OverflowError):
        rows = np.empty(0)
    wide = rows.ndim == 2 and rows.shape[1] == (columns or rows.shape[1]) and rows.size > 0
    if not wide or not np.isfinite(rows).all():
        raise InputError(f"{where}: expected rows of {columns or 'equally many'} finite numbers, at least one row")
    return rows
