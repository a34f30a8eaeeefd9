"""Plain values from a file that anybody may have written: copied if they are nothing else, and not too many."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from highlight_lit.errors import InputError
from highlight_lit.text import shown

MAX_DEPTH = 32  # of mappings and lists within one another
MAX_VALUES = 1_000_000
MAX_TEXT = 1 << 16  # characters
MAX_INTEGER = 10**300  # which a float still holds


def plain(value: object, where: str) -> Any:
    """Copy a value from a file if it is plain: null, truth values, finite numbers, text, lists, mappings from text.

    Args:
        value: The value.
        where: The file, and the key in it, for the error.

    Raises:
        InputError: It holds something else, such as NaN, or more than `MAX_DEPTH`, `MAX_VALUES` or `MAX_TEXT` allow.
    """
    return _plain(value, where, MAX_DEPTH, iter(range(MAX_VALUES)))


def _plain(value: object, where: str, depth: int, budget: Iterator[int]) -> Any:
    if next(budget, None) is None:
        raise InputError(f"{where}: over {MAX_VALUES} values")
    if depth == 0:
        raise InputError(f"{where}: mappings or lists over {MAX_DEPTH} deep")
    if value is None or type(value) is bool or (type(value) is int and abs(value) < MAX_INTEGER):
        return value
    if type(value) is str and len(value) <= MAX_TEXT:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is list:
        return [_plain(each, f"{where}[{i}]", depth - 1, budget) for i, each in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str or len(key) > MAX_TEXT:
                raise InputError(f"{where}: a key that is {called(key)}; expected text")
        return {key: _plain(each, f"{where}.{shown(key)}", depth - 1, budget) for key, each in value.items()}
    raise InputError(f"{where}: {called(value)}; expected plain values")


def called(value: object) -> str:
    """A value in a few words."""
    if type(value) is str and len(value) > MAX_TEXT:
        return f"a text of {len(value)} characters"
    if value is None or type(value) in (bool, int, float, str):
        text = shown(repr(value)) if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"
        return text if len(text) <= 80 else f"{text[:77]}..."
    return f"a {type(value).__name__}"
