"""The table of a sweep: its measure by topic and system, beside chance, middle and annotators."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from highlight_lit.runs.cross_fit import put_together
from highlight_lit.runs.names import natural
from highlight_lit.runs.record_schema import LEVELS
from highlight_lit.text import HOLE, percent, shown, width

Records = Sequence[dict[str, Any]]
_SAY_MUCH = ("modality", "model._target_", "fusion._target_")  # other keys follow from these


def heading(records: Records) -> str:
    """What the numbers of a sweep's table are."""
    primary = next(record["evaluation"]["primary"] for record in records if "evaluation" in record)
    corpora = ", ".join(sorted({record["corpus"]["name"] for record in records}))
    return f"{primary} in percent, {corpora}: mean over seeds (standard deviation)"


def sweep_table(records: Records, room: int) -> Table:
    """Mean over seeds and its standard deviation of each topic and system, beside chance, middle and annotators.

    Args:
        records: Of runs that are done; those without an evaluation, or without the first one's measure, are left out.
        room: Characters in a line. Systems stand across, and below each other where that needs more.
    """
    records = [record for record in records if "evaluation" in record]
    name = records[0]["evaluation"]["primary"]
    records = put_together([record for record in records if name in record["evaluation"]["measures"]])
    varied = varied_keys(records)
    first = {_system(record, varied): record for record in reversed(records)}
    systems = sorted(first, key=lambda system: _order(first[system], varied))
    rows = _rows(records, systems, varied)
    across = _across(rows, systems)
    return across if width(across) <= room else _down(rows, systems)


class _Row(NamedTuple):
    """A topic, or the mean over topics: cells by system, then the levels'."""

    topic: str
    videos: int
    cells: Sequence[str]
    levels: Sequence[str]


def _rows(records: Records, systems: Sequence[str], varied: Sequence[str]) -> list[_Row]:
    name = records[0]["evaluation"]["primary"]
    levels = {record["topic"]: _levels(record["evaluation"], name) for record in records}
    rows = []
    for topic in sorted(levels, key=natural):
        of_topic = [record for record in records if record["topic"] == topic]
        cells = [_seeds([_value(r, name) for r in of_topic if _system(r, varied) == system]) for system in systems]
        videos, chance, spread, middle, annotators = levels[topic]
        beside = (f"{percent(chance)} ({percent(spread)})", percent(middle), percent(annotators))
        rows.append(_Row(shown(topic), videos, cells, beside))
    return [*rows, _average(records, name, systems, varied, levels)] if len(rows) > 1 else rows


def _across(rows: Sequence[_Row], systems: Sequence[str]) -> Table:
    """A row a topic."""
    table = Table()
    for column in ("topic", "videos", *map(shown, systems), *LEVELS):
        table.add_column(column, justify="left" if column == "topic" else "right", overflow="fold")
    for row in rows:
        before_the_mean = len(rows) > 1 and row is rows[-2]
        table.add_row(row.topic, str(row.videos), *row.cells, *row.levels, end_section=before_the_mean)
    return table


def _down(rows: Sequence[_Row], systems: Sequence[str]) -> Table:
    """A row a topic and system, and one for each of its levels."""
    table = Table()
    for column in ("topic", "videos", "system", "percent"):
        table.add_column(column, justify="left" if column in ("topic", "system") else "right", overflow="fold")
    for row in rows:
        lines = [*zip(map(shown, systems), row.cells, strict=True), *zip(LEVELS, row.levels, strict=True)]
        for place, line in enumerate(lines):
            table.add_row(*((row.topic, str(row.videos)) if place == 0 else ("", "")), *line)
        table.add_section()
    return table


def _average(
    records: Records, name: str, systems: Sequence[str], varied: Sequence[str], levels: dict[str, Any]
) -> _Row:
    """The row of means over topics; a seed counts where it has every topic."""
    cells, topics = [], sorted(levels)
    for system in systems:
        by_seed: dict[int, dict[str, float]] = defaultdict(dict)
        for record in records:
            if _system(record, varied) == system:
                by_seed[record["seed"]][record["topic"]] = _value(record, name)
        whole = [sum(by_topic.values()) / len(topics) for by_topic in by_seed.values() if len(by_topic) == len(topics)]
        cells.append(_seeds(whole))
    videos, chance, spread, middle, annotators = zip(*(levels[topic] for topic in topics), strict=True)
    n = len(topics)
    of_mean = sum(s * s for s in spread) ** 0.5 / n
    by_chance = f"{percent(sum(chance) / n)} ({percent(of_mean)})"
    beside = [by_chance, percent(sum(middle) / n), percent(sum(annotators) / n)]
    return _Row("mean over topics", sum(videos), cells, beside)


def _levels(evaluation: dict[str, Any], name: str) -> tuple[int, float, float, float, float]:
    levels = evaluation["levels"]
    chance = levels["chance"]["measures"][name]
    videos = evaluation["measures"][name]["n_videos"]
    middle, annotators = (_number(levels[level]["measures"][name]["mean"]) for level in ("middle", "annotators"))
    return videos, _number(chance["mean"]), _number(chance["std"]), middle, annotators


def _value(record: dict[str, Any], name: str) -> float:
    return _number(record["evaluation"]["measures"][name]["mean"])


def _number(value: float | None) -> float:
    """A mean of a record, which has None for a mean over nothing."""
    return math.nan if value is None else float(value)


def _settings(record: dict[str, Any]) -> dict[str, Any]:
    """What a run was set to, as dotted keys; a network's parts under their own names alone."""
    config = {key: value for key, value in record["config"].items() if key not in ("topic", "seed", "out", "study")}
    parts = ("fusion", "context", "pooling")
    config["model"] = {key: value for key, value in config["model"].items() if key not in parts}
    return dict(leaves(config))


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of a configuration, and its value."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def varied_keys(records: Records) -> list[str]:
    """The keys by which the runs can be told apart, topics and seeds aside; what follows from others is left out."""
    settings = [_settings(record) for record in records]
    keys = sorted(
        dict.fromkeys(key for setting in settings for key in setting),
        key=lambda key: (key not in _SAY_MUCH, key.count(".")),
    )
    varied: list[str] = []
    apart: list[tuple[str, ...]] = [()] * len(settings)
    for key in keys:
        finer = [(*before, str(setting.get(key))) for before, setting in zip(apart, settings, strict=True)]
        if len(set(finer)) > len(set(apart)):
            varied, apart = [*varied, key], finer
    return varied or ["modality"]


def _system(record: dict[str, Any], varied: Sequence[str]) -> str:
    settings = _settings(record)
    names = [key.removesuffix("._target_") for key in varied]
    values = [
        str(settings.get(key)).rpartition(".")[2] if key.endswith("_target_") else str(settings.get(key))
        for key in varied
    ]
    return " ".join(v if n == "modality" else f"{n}={v}" for n, v in zip(names, values, strict=True))


def _order(record: dict[str, Any], varied: Sequence[str]) -> list[tuple[float, Any]]:
    """Where a system stands among others: by its values, numbers as numbers and before names."""
    values = [_settings(record).get(key) for key in varied]
    return [
        (float(value), []) if isinstance(value, int | float) else (math.inf, natural(str(value))) for value in values
    ]


def _seeds(values: list[float]) -> str:
    if not values:
        return HOLE
    from highlight_lit.evaluation.intervals import t_interval  # SciPy, which one line of a run does not need

    interval = t_interval(values)
    return percent(interval.mean) + (f" ({percent(interval.std)})" if len(values) > 1 else "")
