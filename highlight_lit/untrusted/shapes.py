"""The shape of plain values in a file that anybody may have written, compared with what it should be."""

from __future__ import annotations

from types import NoneType
from typing import Any

from highlight_lit.errors import InputError
from highlight_lit.text import shown
from highlight_lit.untrusted.plain_values import plain

# A type or several; a mapping of keys to shapes, of which `key?` may be missing; a list of one shape, which each entry has;
# or `MappingOf`.
Shape = Any
MAX_NUMBER = 1e100  # whose square is a number
NUMBER = (int, float, NoneType)  # None: a mean over nothing


class MappingOf:
    """A mapping with keys of any name, and values of one shape."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape


def check_shape(value: object, shape: Shape, where: str) -> None:
    """Refuse what is not plain, or not of a shape.

    Args:
        value: From a file.
        shape: What it should be.
        where: The file, for the error.

    Raises:
        InputError: Names the key and what it takes.
    """
    plain(value, where)
    if (fault := _fault(value, shape, "")) is not None:
        raise InputError(f"{where}: {fault.removeprefix(': ')}")


def _fault(value: object, shape: Shape, key: str) -> str | None:
    """The first place where a value is not of a shape, in words."""
    if isinstance(shape, MappingOf | dict):
        if not isinstance(value, dict):
            return f"{key}: expected a mapping"
        shapes = dict.fromkeys(value, shape.shape) if isinstance(shape, MappingOf) else shape
        for name, inner_shape in shapes.items():
            inner = f"{key}.{shown(name.removesuffix('?'))}".removeprefix(".")
            if (plain_name := name if isinstance(shape, MappingOf) else name.removesuffix("?")) not in value:
                if name.endswith("?"):
                    continue
                return f"{inner}: missing"
            if (fault := _fault(value[plain_name], inner_shape, inner)) is not None:
                return fault
        return None
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{key}: expected a list"
        faults = (_fault(each, shape[0], f"{key}[{number}]") for number, each in enumerate(value))
        return next((fault for fault in faults if fault is not None), None)
    types = shape if isinstance(shape, tuple) else (shape,)
    if type(value) in types:
        large = key != "seed" and isinstance(value, int | float) and abs(value) > MAX_NUMBER
        return f"{key}: expected a number of at most {MAX_NUMBER:g}" if large else None
    names = {
        int: "a whole number",
        float: "a number",
        str: "text",
        NoneType: "null",
        dict: "a mapping",
        bool: "true or false",
    }
    return f"{key}: expected {' or '.join(names[kind] for kind in types)}"
