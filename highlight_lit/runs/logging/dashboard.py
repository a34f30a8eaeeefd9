"""What a run's record and scores give a dashboard: plain numbers, rows and pictures, for whichever logger shows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.evaluation.scores_csv import read_scores
from highlight_lit.files import cut_name
from highlight_lit.runs.record_schema import LEVELS
from highlight_lit.text import shown

COLUMNS = ("measure", "topic", "video", "value", "middle", "annotators")
MAX_CURVES = 4  # videos
MAX_NAME_BYTES = 160  # of a curve's name: loggers make a file's name of it, with words of their own behind it


def levels(record: Mapping[str, Any]) -> dict[str, float]:
    """Each level of each measure as `LEVEL/MEASURE`, and each measure of a topic as `MEASURE/topic/NAME`."""
    evaluation = record.get("evaluation")
    if evaluation is None:
        return {}
    values = {
        f"{level}/{name}": measure["mean"]
        for level in LEVELS
        for name, measure in evaluation["levels"][level]["measures"].items()
    }
    for name, measure in evaluation["measures"].items():
        values |= {f"{name}/topic/{shown(topic)}": value for topic, value in measure["topics"].items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def videos(record: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """A row a measure and video: `COLUMNS`."""
    evaluation = record.get("evaluation")
    if evaluation is None:
        return []
    rows: list[tuple[Any, ...]] = []
    for name, measure in evaluation["measures"].items():
        beside = [evaluation["levels"][level]["measures"][name]["videos"] for level in ("middle", "annotators")]
        for topic, values in measure["videos"].items():
            for video, value in values.items():
                others = [level.get(topic, {}).get(video) for level in beside]
                rows.append((name, shown(topic), shown(video), value, *others))
    return rows


def curves(scores: Path) -> Iterator[tuple[str, Any]]:
    """Names, no two alike, and figures of the first videos of a run's `scores.csv`."""
    if scores.is_file():
        for number, (name, clip_scores) in enumerate(list(read_scores(scores).items())[:MAX_CURVES]):
            whole = shown(name)
            cut = cut_name(whole, MAX_NAME_BYTES)
            yield whole if cut == whole else f"{cut}... {number}", _curve(name, clip_scores)


def _curve(name: str, scores: ClipScores) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2), layout="constrained")
    axes = figure.subplots()
    axes.stairs(scores.ranking, [*scores.span[:, 0], scores.span[-1, 1]], baseline=None, color="#2563eb")
    axes.set(xlabel="seconds", ylabel="logit", xlim=(scores.span[0, 0], scores.span[-1, 1]))
    axes.set_title(shown(name), loc="left", fontsize=9, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
