"""`highlight-lit evaluate`: a checkpoint, a baseline or any system's scores, judged by a corpus' labels."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from highlight_lit.baselines import score
from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.evaluation.judge import (
    ClipScores,
    Judgement,
    judge,
    labelled_videos,
    read_scores,
    write_judgement,
    write_scores,
)
from highlight_lit.training.detector import load_detector


def run(options: argparse.Namespace) -> int:
    """Judge, print the table, and write the files if a folder was named.

    Raises:
        InputError: A file or option that cannot be used.
    """
    if options.draws < 2:
        raise InputError(f"--draws {options.draws}: expected a whole number of at least 2")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: expected a whole number of at least 0")
    corpus = Corpus(options.corpus)
    topics = list(options.topics or corpus.topics)
    if options.scores is not None:
        scores = read_scores(options.scores)
    elif options.method is not None:
        scores = _of_method(options, corpus, topics)
    else:
        topics, scores = _of_checkpoints(options, corpus)
    judgement = judge(corpus, topics, scores, empty=options.empty, draws=options.draws)
    Console(width=None if sys.stdout.isatty() else 120).print(table(judgement, str(corpus.manifest["name"])))
    if options.out is not None:
        write_judgement(options.out, judgement)
        write_scores(options.out / "scores.csv", scores)
    return 0


def _of_method(options: argparse.Namespace, corpus: Corpus, topics: list[str]) -> dict[str, ClipScores]:
    """Scores of a baseline, topic by topic."""
    given = {key: getattr(options, key) for key in ("modality", "rule", "training", "seed")}
    scores: dict[str, ClipScores] = {}
    for topic in topics:
        scores |= score(options.method, corpus, topic, **given)
    return scores


def _of_checkpoints(options: argparse.Namespace, corpus: Corpus) -> tuple[list[str], dict[str, ClipScores]]:
    """Topics and scores of each checkpoint's own topic."""
    detectors = [load_detector(path, options.trust) for path in options.checkpoint]
    of_topic = {detector.topic: detector for detector in detectors}
    if len(of_topic) < len(detectors):
        raise InputError("--checkpoint: two of them have the same topic; judge them one by one")
    topics = list(options.topics or of_topic)
    if strange := [topic for topic in topics if topic not in of_topic]:
        raise InputError(f"--topics {strange[0]}: no checkpoint of this topic; they have {', '.join(of_topic)}")
    scores: dict[str, ClipScores] = {}
    for topic in topics:
        labelled = {video.id for video in labelled_videos(corpus, [topic])}
        found = corpus.evaluation_videos(topic)
        videos = found[[corpus.ids[video].decode() in labelled for video in found]]
        for video, z in of_topic[topic].score_corpus(corpus, videos).items():
            scores[corpus.ids[video].decode()] = ClipScores(corpus.rows(video, "span"), z)
    return topics, scores


def table(judgement: Judgement, corpus: str) -> Table:
    """Every measure of the benchmark: the system beside chance, middle and annotators; the primary one by topic."""
    report, chance = judgement.report, judgement.chance
    shown = Table(title=f"{report.benchmark} on {corpus}", title_justify="left")
    for heading in ("measure", "topic", "videos", "system", "chance", "middle", "annotators"):
        shown.add_column(heading, justify="left" if heading in ("measure", "topic") else "right")
    for name, measure in report.measures.items():
        level = chance.measures[name]
        topics = list(measure.topics) if name == report.primary and len(measure.topics) > 1 else []
        for topic in topics:
            beside = [judged.measures[name].topics[topic] for judged in (judgement.middle, judgement.annotators)]
            spread = level.topics[topic]
            shown.add_row("", topic, str(len(measure.videos[topic])), *_row(measure.topics[topic], spread, beside))
        beside = [judged.measures[name].value for judged in (judgement.middle, judgement.annotators)]
        videos = str(sum(map(len, measure.videos.values())))
        shown.add_row(name, "mean" if len(measure.topics) > 1 else next(iter(measure.topics)), videos,
                      *_row(measure.value, level.overall, beside), end_section=True)  # fmt: skip
        if measure.without_positive:
            counted = "count as 0" if report.empty == "zero" else "are left out"
            shown.caption = f"{measure.without_positive} labellings without a positive {counted}"
    return shown


def _row(value: float, chance: object, beside: list[float]) -> list[str]:
    mean, std = (100 * getattr(chance, field) for field in ("mean", "std"))
    return [f"{100 * value:.1f}", f"{mean:.1f} ({std:.1f})", *(f"{100 * level:.1f}" for level in beside)]
