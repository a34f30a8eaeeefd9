"""The folds of a cross-fitted run put together: one record in which every video of the topic counts once."""

from __future__ import annotations

import copy
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from highlight_lit.config.run_identity import science
from highlight_lit.data.topics.folds import parse_fold

Record = dict[str, Any]
_COUNTS = ("n_videos", "labellings", "without_positive")  # of a measure; older records lack the last two


def put_together(records: Sequence[Record]) -> list[Record]:
    """Records in which the folds of a topic, seed and setting are one.

    A mean is that over the videos of all folds, a level too. Where a fold is lacking the others stay as they are.

    Args:
        records: Of runs that are done and evaluated.
    """
    together = [record for record in records if _fold(record) is None]
    sets: dict[str, dict[int, Record]] = defaultdict(dict)
    for record in records:
        if (fold := _fold(record)) is not None:
            number, count = parse_fold(fold)
            sets[_key(record, count)][number] = record
    for key, by_number in sets.items():
        folds, count = [by_number[number] for number in sorted(by_number)], json.loads(key)[0]["data"]["fold"]
        together += [_joined(folds, count)] if len(folds) == count else folds
    return together


def _fold(record: Record) -> str | None:
    data = record["config"].get("data")
    return data.get("fold") if isinstance(data, dict) else None  # a record may be of anyone's making


def _key(record: Record, count: int) -> str:
    """All that changes a run's result, but for which of how many folds it is; and what it was measured by."""
    config = science(record["config"])
    config["data"]["fold"] = count
    measures = sorted(record["evaluation"]["measures"])
    return json.dumps([config, record["corpus"]["fingerprint"], measures], sort_keys=True)


def _joined(folds: Sequence[Record], count: int) -> Record:
    record = copy.deepcopy(folds[0])
    record["config"]["data"]["fold"] = f"{count} folds"
    evaluation = record["evaluation"]
    parts = [fold["evaluation"] for fold in folds]
    for name in evaluation["measures"]:
        counts = [_present(part["measures"][name]) for part in parts]
        evaluation["measures"][name] = _measure([part["measures"][name] for part in parts])
        for level in ("middle", "annotators"):
            levels = [part["levels"][level]["measures"][name] for part in parts]
            evaluation["levels"][level]["measures"][name] = _measure(levels)
        chance = [part["levels"]["chance"]["measures"][name] for part in parts]
        evaluation["levels"]["chance"]["measures"][name] = _chance(chance, counts)
    return record


def _measure(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A measure over the videos of all folds."""
    videos: dict[str, dict[str, float | None]] = defaultdict(dict)
    for part in parts:
        for topic, values in part["videos"].items():
            videos[topic].update(values)
    topics = {topic: _mean(list(values.values())) for topic, values in videos.items()}
    rest = {key: value for key, value in parts[0].items() if key not in _COUNTS}
    totals = {key: sum(part[key] for part in parts) for key in _COUNTS if all(key in part for part in parts)}
    return {**rest, **totals, "videos": dict(videos), "topics": topics, "mean": _mean(list(topics.values()))}


def _chance(parts: Sequence[dict[str, Any]], counts: Sequence[int]) -> dict[str, Any]:
    """Chance over all folds: its mean weighs a fold by its videos, and folds are drawn apart from each other."""
    known = [(part, n) for part, n in zip(parts, counts, strict=True) if n > 0 and part["mean"] is not None]
    total = sum(n for _, n in known)
    if not total:
        return {**parts[0], "mean": None, "std": None}
    mean = sum(n * part["mean"] for part, n in known) / total
    std = math.sqrt(sum((n * (part["std"] or 0.0)) ** 2 for part, n in known)) / total
    return {**parts[0], "mean": mean, "std": std, "topics": {}}


def _present(measure: dict[str, Any]) -> int:
    return sum(value is not None for values in measure["videos"].values() for value in values.values())


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None
