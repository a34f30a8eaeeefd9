"""What a record of a run holds: checked when it is read, since anybody may have written it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from highlight_lit.errors import InputError
from highlight_lit.text import shown
from highlight_lit.untrusted.plain_values import plain

Shape = Any  # a type or several; a mapping of keys to shapes, of which `key?` may be missing; or `MappingOf`


class MappingOf:
    """A mapping with keys of any name, and values of one shape."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape


MAX_NUMBER = 1e100  # whose square is a number
_NUMBER = (int, float, NoneType)  # None: a mean over nothing
_SPREAD = {"mean": _NUMBER, "std": _NUMBER}
_MEASURE = {
    "description": str, "mean": _NUMBER, "n_videos": int, "topics": MappingOf(_NUMBER), "videos": MappingOf(MappingOf(_NUMBER)),
}  # fmt: skip
_REPORT = {"primary": str, "measures": MappingOf(_MEASURE)}
_CHANCE = {"measures": MappingOf({**_SPREAD, "topics": MappingOf(_SPREAD)})}
_EVALUATION = {**_REPORT, "levels": {"chance": _CHANCE, "middle": _REPORT, "annotators": _REPORT}}
_HEADER = {
    "id": str, "study": (str, NoneType), "topic": str, "modality": str, "seed": int, "status": str,
    "config": {"out": str, "model": dict}, "corpus": {"name": str, "fingerprint": str},
    "environment": {"commit": str},
}  # fmt: skip
_SHAPES: dict[str, Shape] = {
    "failed": {**_HEADER, "error": str},
    "done": {
        **_HEADER, "seconds": (int, float), "epochs": int, "steps": int, "losses": MappingOf(_NUMBER),
        "evaluation?": _EVALUATION,
        "kept?": {"checkpoint": str, "epoch": int, "monitor": str, "value": _NUMBER},
    },
}  # fmt: skip


def check(record: Mapping[str, Any], path: Path) -> None:
    """Refuse a record that lacks what tables are made from, or has something else there.

    Raises:
        InputError: Names the key and what it takes.
    """
    plain(record, str(path))
    status = record.get("status")
    if not isinstance(status, str) or status not in _SHAPES:
        raise InputError(f"{path}: status: expected {' or '.join(_SHAPES)}")
    if (fault := _fault(record, _SHAPES[status], "")) is not None:
        raise InputError(f"{path}: {fault}")
    if "evaluation" in record:
        _check_measures(record["evaluation"], record["topic"], path)


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
    types = shape if isinstance(shape, tuple) else (shape,)
    if type(value) in types:
        large = key != "seed" and isinstance(value, int | float) and abs(value) > MAX_NUMBER
        return f"{key}: expected a number of at most {MAX_NUMBER:g}" if large else None
    names = {int: "a whole number", float: "a number", str: "text", NoneType: "null", dict: "a mapping"}
    return f"{key}: expected {' or '.join(names[kind] for kind in types)}"


def _check_measures(evaluation: Mapping[str, Any], topic: str, path: Path) -> None:
    """Every measure is of the run's topic and stands beside its levels, and the one to quote is among them."""
    measures, levels = evaluation["measures"], evaluation["levels"]
    if evaluation["primary"] not in measures:
        raise InputError(f"{path}: evaluation.primary: not one of its measures")
    for name, measure in measures.items():
        if topic not in measure["topics"] or topic not in measure["videos"]:
            raise InputError(f"{path}: evaluation.measures.{shown(name)}: topic {shown(topic)} is missing")
        for level, report in levels.items():
            if name not in report["measures"]:
                raise InputError(f"{path}: evaluation.levels.{shown(level)}: measure {shown(name)} is missing")
