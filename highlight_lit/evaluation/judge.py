"""Judge scores of a corpus' clips by its labels: the measures of its benchmark beside chance, middle and annotators."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.evaluation import levels
from highlight_lit.evaluation.benchmarks import Benchmark, LabelledVideo, evaluate, for_labels, to_segments
from highlight_lit.evaluation.report import Empty, Report
from highlight_lit.files import write_json, write_text


@dataclass(frozen=True)
class ClipScores:
    """A system's scores of one video: `span` (T, 2) in seconds, `score` (T,); higher is more of a highlight."""

    span: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """A system's report beside the levels that give it meaning, all over the same videos and measures."""

    report: Report
    chance: levels.Chance
    middle: Report
    annotators: Report

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: measures, and the levels under their names."""
        beside = {"chance": self.chance.to_dict(), "middle": self.middle.to_dict()}
        return {**self.report.to_dict(), "levels": {**beside, "annotators": self.annotators.to_dict()}}


def labelled_videos(corpus: Corpus, topics: Sequence[str]) -> list[LabelledVideo]:
    """The labelled videos of some topics, from the corpus' validation lists (all its videos if it has none).

    Raises:
        InputError: An unknown topic, or one without a labelled video.
    """
    found = []
    for topic in topics:
        videos = [int(video) for video in corpus.evaluation_videos(topic)]
        of_topic = [(video, labels) for video in videos if (labels := corpus.labels(video)) is not None]
        if not of_topic:
            raise InputError(f"topic={topic}: no labelled video to evaluate on in {corpus.root}")
        for video, labels in of_topic:
            name, duration = corpus.ids[video].decode(), float(corpus.duration[video])
            found.append(LabelledVideo(name, topic, duration, labels.span, labels.score))
    return found


def benchmark_of(corpus: Corpus, videos: Sequence[LabelledVideo]) -> Benchmark:
    """The benchmark a corpus names, or the one that fits its number of annotators."""
    return for_labels(corpus.manifest.get("benchmark"), max(video.score.shape[1] for video in videos))


def judge(
    corpus: Corpus,
    topics: Sequence[str],
    scores: Mapping[str, ClipScores],
    *,
    empty: Empty = "zero",
    draws: int = 200,
) -> Judgement:
    """Judge a system by a corpus' labels.

    Args:
        corpus: Where the labels are.
        topics: The topics to judge.
        scores: By video id; clips may have any length and rate, they meet the labels in seconds.
        empty: What a video without a positive counts for.
        draws: Random rankings behind the spread of chance.

    Raises:
        InputError: A labelled video has no scores, or a topic has no labelled video.
    """
    videos = labelled_videos(corpus, topics)
    benchmark = benchmark_of(corpus, videos)
    missing = [video.id for video in videos if video.id not in scores]
    if missing:
        raise InputError(
            f"scores: video {missing[0]!r} is missing" + f" and {len(missing) - 1} more" * (len(missing) > 1)
        )
    segments = {v.id: to_segments(scores[v.id].span, scores[v.id].score, v.span) for v in videos}
    return Judgement(
        evaluate(benchmark, videos, segments, empty),
        levels.chance(benchmark, videos, draws, empty=empty),
        levels.middle(benchmark, videos, empty),
        levels.annotators(benchmark, videos, empty),
    )


def read_scores(path: Path) -> dict[str, ClipScores]:
    """Scores of any system from a csv with the columns video, start, end (seconds) and score.

    Raises:
        InputError: The file cannot be read, lacks a column, or holds something else than numbers; names the line.
    """
    columns = ("video", "start", "end", "score")
    clips: dict[str, list[tuple[float, ...]]] = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if absent := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise InputError(f"{path}: column {absent[0]!r} is missing; expected {', '.join(columns)}")
            for row in reader:
                clips.setdefault(row["video"], []).append(_clip(path, reader.line_num, row))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as a csv of scores ({error})") from error
    arrays = {video: np.array(sorted(rows)) for video, rows in clips.items()}
    return {video: ClipScores(rows[:, :2], rows[:, 2]) for video, rows in arrays.items()}


def _clip(path: Path, line: int, row: Mapping[str, str]) -> tuple[float, ...]:
    values = tuple(_number(row[name]) for name in ("start", "end", "score"))
    if not all(map(math.isfinite, values)) or not 0 <= values[0] < values[1]:
        raise InputError(
            f"{path}: line {line}: expected finite numbers with 0 <= start < end, found {list(row.values())}"
        )
    return values


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return math.nan


def write_scores(path: Path, scores: Mapping[str, ClipScores]) -> None:
    """Write scores as the csv that `read_scores` reads."""
    clips = [
        (video, *span, score) for video, of in scores.items() for span, score in zip(of.span, of.score, strict=True)
    ]
    _write_csv(
        path, ("video", "start", "end", "score"), [(v, f"{s:.3f}", f"{e:.3f}", repr(float(p))) for v, s, e, p in clips]
    )


def write_judgement(folder: Path, judgement: Judgement) -> None:
    """Write `evaluation.json` (measures and levels) and `evaluation.csv` (a row a video, topic and average)."""
    write_json(folder / "evaluation.json", judgement.to_dict())
    rows = list(judgement.report.rows())
    _write_csv(folder / "evaluation.csv", tuple(rows[0]), [tuple(row.values()) for row in rows])


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())
