"""The tables that `evaluate` prints: a system, several checkpoints, or summaries beside their levels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from highlight_lit.evaluation.intervals import t_interval
from highlight_lit.evaluation.judge import Judgement
from highlight_lit.evaluation.levels import Spread
from highlight_lit.evaluation.summary.f1 import SHARE
from highlight_lit.evaluation.summary.judge import SummaryJudgement
from highlight_lit.text import percent, shown


@dataclass(frozen=True)
class Judged:
    """A checkpoint, judged on its own topic."""

    topic: str
    name: str
    judgement: Judgement


def system_table(judgement: Judgement, corpus: str) -> Table:
    """Every measure of the benchmark: the system beside chance, middle and annotators; the primary one by topic."""
    report, chance = judgement.report, judgement.chance
    topics = list(report.measures[report.primary].topics)
    alone = f", {topics[0]}" if len(topics) == 1 else ""
    table = _table(
        f"{report.benchmark} on {corpus}{alone}", "measure", ("videos", "system", "chance", "middle", "annotators")
    )
    for name, measure in report.measures.items():
        spread = chance.measures[name]
        levels = (judgement.middle.measures[name], judgement.annotators.measures[name])
        for topic in topics if name == report.primary and len(topics) > 1 else ():
            row = _row(measure.topics[topic], spread.topics[topic], [level.topics[topic] for level in levels])
            table.add_row(f"  {shown(topic)}", str(len(measure.videos[topic])), *row)
        row = _row(measure.value, spread.overall, [level.value for level in levels])
        mean = f"{name}, mean" if name == report.primary and len(topics) > 1 else name
        table.add_row(mean, str(sum(map(len, measure.videos.values()))), *row, end_section=True)
        if measure.without_positive:
            counted = "count as 0" if report.empty == "zero" else "are left out"
            table.caption = f"{measure.without_positive} labellings without a positive {counted}"
    return table


def checkpoints_table(judged: Sequence[Judged], corpus: str, alike: bool) -> Table:
    """Several checkpoints of a topic: the primary measure of each, their mean if they are alike, and the levels.

    Args:
        judged: One or more of each topic.
        corpus: Its name.
        alike: Whether those of a topic differ by their seeds alone.
    """
    report = judged[0].judgement.report
    table = _table(f"{report.primary} in percent on {corpus}", "topic", ("videos", "checkpoint", "system"))
    table.columns[2].justify = "left"
    means: list[list[float]] = []
    for topic in dict.fromkeys(checkpoint.topic for checkpoint in judged):
        of_topic = [checkpoint for checkpoint in judged if checkpoint.topic == topic]
        judgement = of_topic[0].judgement
        values = [checkpoint.judgement.report.value for checkpoint in of_topic]
        lines = [(checkpoint.name, percent(value)) for checkpoint, value in zip(of_topic, values, strict=True)]
        if alike and len(values) > 1:
            interval = t_interval(values)
            lines.append((f"mean of {len(values)} (standard deviation)", _spread(interval.mean, interval.std)))
        spread = judgement.chance.measures[report.primary].overall
        levels = [spread.mean, judgement.middle.value, judgement.annotators.value]
        lines += _levels(levels, spread.std)
        videos = sum(map(len, judgement.report.measures[report.primary].videos.values()))
        _add(table, topic, str(videos), lines)
        means.append([sum(values) / len(values), spread.std**2, *levels])
    if alike and len(means) > 1:
        n = len(means)
        mean, variance, *levels = (sum(column) / n for column in zip(*means, strict=True))
        _add(table, "mean over topics", "", [("mean", percent(mean)), *_levels(levels, math.sqrt(variance / n))])
    return table


def summaries_table(summaries: SummaryJudgement, corpus: str) -> Table:
    """A system as a summarizer, beside chance and each annotator against the others."""
    title = f"F1 of summaries of {100 * SHARE:.0f} % in percent on {corpus}"
    table = _table(title, "over annotators", ("videos", "system", "chance", "annotators"))
    for name, place in (("summary/f1-mean", 0), ("summary/f1-max", 1)):
        row = (percent(level[place]) for level in (summaries.system, summaries.chance, summaries.annotators))
        table.add_row(name, str(len(summaries.videos)), *row)
    return table


def _table(title: str, first: str, others: Iterable[str]) -> Table:
    table = Table(title=shown(title), title_justify="left")
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, justify="right", overflow="fold")
    return table


def _add(table: Table, topic: str, videos: str, lines: Sequence[tuple[str, str]]) -> None:
    for place, (name, value) in enumerate(lines):
        table.add_row(*((shown(topic), videos) if place == 0 else ("", "")), shown(name), value)
    table.add_section()


def _levels(levels: Sequence[float], std: float) -> list[tuple[str, str]]:
    chance, middle, annotators = levels
    return [("chance", _spread(chance, std)), ("middle", percent(middle)), ("annotators", percent(annotators))]


def _row(value: float, chance: Spread, beside: Sequence[float]) -> list[str]:
    return [percent(value), _spread(chance.mean, chance.std), *map(percent, beside)]


def _spread(mean: float, std: float) -> str:
    return f"{percent(mean)} ({percent(std)})"
