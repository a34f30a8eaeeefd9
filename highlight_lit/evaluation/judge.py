"""Judge scores of a corpus' clips by its labels: the measures of its benchmark beside chance, middle and annotators."""

from __future__ import annotations

import shlex
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.video import MAX_SEGMENTS
from highlight_lit.errors import InputError
from highlight_lit.evaluation import levels
from highlight_lit.evaluation.benchmarks import Benchmark, LabelledVideo, for_labels, measured
from highlight_lit.evaluation.report import Empty, Report
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.evaluation.scores_csv import write_csv
from highlight_lit.evaluation.to_segments import to_segments
from highlight_lit.files import write_json
from highlight_lit.text import percent

OUTPUTS = ("evaluation.json", "evaluation.csv")  # of `write_judgement`


@dataclass(frozen=True)
class Judgement:
    """A system's report beside the levels that give it meaning, all over the same videos and measures."""

    report: Report
    chance: levels.Chance
    middle: Report
    annotators: Report

    def __str__(self) -> str:
        """A line for each measure, in percent."""
        return "\n".join(
            f"{name} {percent(measure.value)} (chance {percent(self.chance.measures[name].overall.mean)}, "
            f"middle {percent(self.middle.measures[name].value)}, "
            f"annotators {percent(self.annotators.measures[name].value)}; {sum(map(len, measure.videos.values()))} videos)"
            for name, measure in self.report.measures.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: measures, and the levels under their names."""
        beside = {"chance": self.chance.to_dict(), "middle": self.middle.to_dict()}
        return {**self.report.to_dict(), "levels": {**beside, "annotators": self.annotators.to_dict()}}


def labelled_videos(corpus: Corpus, topics: Sequence[str], split: str = "test") -> list[LabelledVideo]:
    """The labelled videos of some topics, from the list that `Corpus.evaluation_videos` takes for `split`.

    Raises:
        InputError: An unknown topic, one without a labelled video, or over `MAX_SEGMENTS` of all of them.
    """
    labelled: list[LabelledVideo] = []
    segments = 0
    for topic in topics:
        before = len(labelled)
        for video in corpus.evaluation_videos(topic, split).tolist():
            if (labels := corpus.labels(video)) is None:
                continue
            name, duration = corpus.ids[video].decode(), float(corpus.duration[video])
            segments += len(labels.span)
            if segments > MAX_SEGMENTS:
                raise InputError(
                    f"{corpus.root}: topic={topic}: video {name!r}: with it over {MAX_SEGMENTS} labelled segments; expected at "
                    "most as many to judge at once: fewer topics (--topics), or labels of longer segments"
                )
            labelled.append(LabelledVideo(name, topic, duration, labels.span, labels.score))
        if len(labelled) == before:
            raise InputError(
                f"topic={topic}: no labelled video to evaluate on in {corpus.root}; expected another topic, or a corpus"
                f" with labels of its {split} videos (import ... --labels)"
            )
    return labelled


def benchmark_of(corpus: Corpus, videos: Sequence[LabelledVideo]) -> Benchmark:
    """The benchmark a corpus names, or the one that fits its number of annotators."""
    return for_labels(corpus.manifest.get("benchmark"), max(video.score.shape[1] for video in videos))


def judge(corpus: Corpus, topics: Sequence[str], scores: Mapping[str, ClipScores], **how: Any) -> Judgement:
    """Judge a system by a corpus' labels; `how` (`empty`, `draws`, `where`, `split`) and errors as of `judge_several`."""
    return judge_several(corpus, topics, [scores], **how)[0]


def judge_several(
    corpus: Corpus,
    topics: Sequence[str],
    systems: Sequence[Mapping[str, ClipScores]],
    *,
    empty: Empty = "zero",
    draws: int = 200,
    where: str = "scores",
    split: str = "test",
) -> list[Judgement]:
    """Judge several systems by a corpus' labels, beside the same levels.

    Args:
        corpus: Where the labels are.
        topics: The topics to judge.
        systems: Of each the scores by video id; clips may have any length and rate, they meet the labels in seconds.
        empty: What a video without a positive counts for.
        draws: Random rankings behind the spread of chance.
        where: What the scores came from, for errors.
        split: The list that is judged on: `test`, `val` or `all`.

    Raises:
        InputError: A labelled video has no scores, or a topic has no labelled video.
    """
    videos = labelled_videos(corpus, topics, split)
    benchmark = benchmark_of(corpus, videos)
    chance = levels.chance(benchmark, videos, draws, empty=empty)
    middle = levels.middle(benchmark, videos, empty)
    annotators = levels.annotators(benchmark, videos, empty)
    judged = []
    for scores in systems:
        if missing := [video.id for video in videos if video.id not in scores]:
            more = f" and {len(missing) - 1} more" * (len(missing) > 1)
            raise InputError(
                f"{where}: video {missing[0]!r} is missing{more} of {len(videos)} labelled videos; expected scores of all"
                f"{_whole_topics(videos, set(missing))}"
            )
        segments = {v.id: to_segments(scores[v.id].span, scores[v.id].ranking, v.span) for v in videos}
        judged.append(Judgement(measured(benchmark, videos, segments, empty), chance, middle, annotators))
    return judged


def _whole_topics(videos: Sequence[LabelledVideo], missing: Container[str]) -> str:
    """What to say where some topics lack no video."""
    lacking = {video.topic for video in videos if video.id in missing}
    whole = sorted({video.topic for video in videos} - lacking)
    return f", or a choice of topics: --topics {shlex.join(whole)}" if whole else ""


def write_judgement(folder: Path, judgement: Judgement) -> None:
    """Write `evaluation.json` (measures and levels) and `evaluation.csv` (a row a video, topic and average)."""
    values, table = OUTPUTS
    write_json(folder / values, judgement.to_dict())
    rows = list(judgement.report.rows())
    write_csv(folder / table, tuple(rows[0]), [tuple(row.values()) for row in rows])
