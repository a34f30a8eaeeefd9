"""What a record of a run holds: checked when it is read, since anybody may have written it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from highlight_lit.data.topics.folds import MAX_FOLDS, is_fold
from highlight_lit.errors import InputError
from highlight_lit.text import shown
from highlight_lit.untrusted.shapes import NUMBER, MappingOf, Shape, check_shape

LEVELS = ("chance", "middle", "annotators")  # what stands beside a measure
_SPREAD = {"mean": NUMBER, "std": NUMBER}
_MEASURE = {
    "description": str, "mean": NUMBER, "n_videos": int, "topics": MappingOf(NUMBER), "videos": MappingOf(MappingOf(NUMBER)),
    "labellings?": int, "without_positive?": int,
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
        **_HEADER, "seconds": (int, float), "epochs": int, "steps": int, "losses": MappingOf(NUMBER),
        "evaluation?": _EVALUATION,
        "kept?": {"checkpoint": str, "epoch": int, "monitor": str, "value": NUMBER},
    },
}  # fmt: skip


def check(record: Mapping[str, Any], path: Path) -> None:
    """Refuse a record that lacks what tables are made from, or has something else there.

    Raises:
        InputError: Names the key and what it takes.
    """
    status = record.get("status")
    if not isinstance(status, str) or status not in _SHAPES:
        raise InputError(f"{path}: status: expected {' or '.join(_SHAPES)}")
    check_shape(record, _SHAPES[status], str(path))
    data = record["config"].get("data")  # of a class of its own, perhaps
    if isinstance(data, dict) and (fold := data.get("fold")) is not None and not is_fold(fold):
        raise InputError(
            f"{path}: config.data.fold: expected K/n with 1 <= K <= n and n from 2 to {MAX_FOLDS}, or null"
        )
    if "evaluation" in record:
        _check_measures(record["evaluation"], record["topic"], path)


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
