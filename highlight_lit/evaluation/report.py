"""The value of each measure that a system reaches: over all, by topic and by video."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from highlight_lit.evaluation.ranking import Floats

Empty = Literal["zero", "leave_out"]


def mean_present(values: Floats) -> Floats:
    """Mean over the first axis of the numbers that are not NaN; NaN where there are none."""
    present = ~np.isnan(values)
    total = np.sum(np.where(present, values, 0.0), axis=0)
    return np.asarray(np.where(present.any(axis=0), total / np.maximum(present.sum(axis=0), 1), np.nan))


@dataclass(frozen=True)
class MeasureReport:
    """What one measure gives on a corpus.

    Attributes:
        name: of the measure.
        description: of the measure.
        videos: value by topic and video id; NaN for a video that is left out.
        labellings: how many labellings there are, over all videos.
        without_positive: how many of them have no positive and count 0 or are left out.
    """

    name: str
    description: str
    videos: Mapping[str, Mapping[str, float]]
    labellings: int
    without_positive: int

    @property
    def topics(self) -> dict[str, float]:
        """Mean over the videos of each topic; NaN for a topic whose videos are all left out."""
        return {topic: float(mean_present(np.array(list(values.values())))) for topic, values in self.videos.items()}

    @property
    def value(self) -> float:
        """Mean over topics."""
        return float(mean_present(np.array(list(self.topics.values()))))


@dataclass(frozen=True)
class Report:
    """What a ranking reaches on a benchmark, by measure name."""

    benchmark: str
    primary: str
    empty: Empty
    measures: Mapping[str, MeasureReport]

    @property
    def value(self) -> float:
        """The figure to quote: the primary measure's mean over topics."""
        return self.measures[self.primary].value

    def to_dict(self) -> dict[str, Any]:
        """The whole report ready for JSON; NaN becomes None."""
        measures = {
            name: {
                "description": report.description,
                "mean": or_none(report.value),
                "topics": {topic: or_none(value) for topic, value in report.topics.items()},
                "videos": {t: {v: or_none(x) for v, x in videos.items()} for t, videos in report.videos.items()},
                "n_videos": sum(map(len, report.videos.values())),
                "labellings": report.labellings,
                "without_positive": report.without_positive,
            }
            for name, report in self.measures.items()
        }
        return {"benchmark": self.benchmark, "primary": self.primary, "empty": self.empty, "measures": measures}

    def rows(self) -> Iterator[dict[str, str | float | None]]:
        """One row a measure and video, for CSV: measure, topic, video, value (None if left out)."""
        for name, report in self.measures.items():
            for topic, videos in report.videos.items():
                for video, value in videos.items():
                    yield {"measure": name, "topic": topic, "video": video, "value": or_none(value)}


def or_none(value: float) -> float | None:
    """The number, or None for NaN, which JSON lacks."""
    return None if math.isnan(value) else value
