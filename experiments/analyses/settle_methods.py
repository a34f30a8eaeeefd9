"""Settings of the methods, chosen on training videos alone: validation lists are never opened.

    python -m experiments.analyses.settle_methods --corpus DIR --out FILE [--draws 3]

These are repeated random hold-outs, not folds of a cross-validation: for each topic, and N times over (`--draws N`), a
random N-th of the training videos of the weak label rule is held out. Each time is drawn by itself, so that two of them may
hold out the same video and some videos are never held out. The standard error treats all as independent, and is too small
by as much as they are not.

Methods without clip labels learn from the videos that are left; of what is held out, each positive is joined to a
negative, end to end, and a method is to score the positive's clips above the negative's: area under the ROC curve, from
weak labels alone. The preparation of the features, which all methods share, is judged so by the mean over those that read
the topic and draw nothing. sLSTM, which is supervised, is judged by the clip labels of held-out videos of the training
list, by the primary measure of the corpus' benchmark. Of each choice the value with the highest mean is taken.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.topics.weak_labels import RULES
from highlight_lit.errors import InputError, command
from highlight_lit.evaluation.benchmarks import LabelledVideo, for_labels
from highlight_lit.evaluation.to_segments import to_segments
from highlight_lit.files import write_text
from highlight_lit.methods import find
from highlight_lit.methods.numerics import TINY, Floats, Rows, unit
from highlight_lit.methods.supervised.videos import Labelled, SupervisedVideos
from highlight_lit.methods.videos import Clips, Videos

Indices = NDArray[np.intp]
Moments = tuple[Floats, Floats]  # mean and deviation of each dimension over training clips

# What is done to a clip's features (T_n, D) before all methods.
PREPARATIONS: dict[str, Callable[[Rows, Moments], NDArray[Any]]] = {
    "unit": lambda x, _: unit(x),
    "centred": lambda x, m: unit(x - m[0]),
    "standardised": lambda x, m: unit((x - m[0]) / np.maximum(m[1], TINY)),
    "standardised, floored": lambda x, m: unit((x - m[0]) / np.maximum(m[1], max(m[1].mean(), TINY))),
}
JUDGES = ("recurrence", "mbf", "cvs", "kvs")  # of the preparation
# Constants of a method's module, and the values that are compared.
GRID: dict[str, list[dict[str, Any]]] = {
    "desumnet": [{"STEPS": steps} for steps in (50, 100, 200)],
    "vesd": [{"STEPS": steps, "PRIOR": prior} for prior in (0.05, 0.5) for steps in (100, 300)],
    "slstm": [{"STEPS": steps} for steps in (50, 150, 300)],
}


class HeldOut:
    """A topic's training videos, a random part of them held out.

    Args:
        corpus: Of its videos those on the training list are read, and no other.
        topic: One of its topics.
        rule: Weak label rule.
        draw: Seed of what is held out.
        share: One in how many is held out.
    """

    def __init__(self, corpus: Corpus, topic: str, rule: str, draw: int, share: int) -> None:
        self.corpus, self.topic = corpus, topic
        generator = np.random.default_rng(draw)
        tagged = np.flatnonzero(corpus.tagged(topic) & (corpus.split == "train"))
        positive, negative = corpus.weak_labels(topic, rule, "lists")
        self.held_positive, self.held_negative, self.held_tagged = (
            generator.permutation(videos)[draw::share] for videos in (positive, negative, tagged)
        )
        self.positive = np.setdiff1d(positive, self.held_positive)
        self.negative = np.setdiff1d(negative, self.held_negative)
        self.tagged = np.setdiff1d(tagged, self.held_positive)
        self.labelled = np.setdiff1d(tagged, self.held_tagged)

    def clips(self, videos: Indices, preparation: str, moments: Moments) -> list[Clips]:
        """Videos' clips, prepared."""
        clips = []
        for video in (int(v) for v in videos):
            x = PREPARATIONS[preparation](self.corpus.rows(video, "visual").astype(np.float32), moments)
            span = self.corpus.rows(video, "span")
            name = self.corpus.ids[video].decode()
            clips.append(Clips(name, float(self.corpus.duration[video]), span, x.astype(np.float32)))
        return clips

    def moments(self, videos: Indices) -> Moments:
        """Mean and deviation of some videos' clips."""
        x = np.concatenate([self.corpus.rows(int(video), "visual") for video in videos]).astype(np.float32)
        return x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)

    def weak(self, preparation: str) -> Videos:
        """What a method without clip labels learns from; to score, held-out videos joined in pairs."""
        moments = self.moments(np.concatenate([self.positive, self.negative]))
        positive, negative, tagged, held_positive, held_negative = (
            tuple(self.clips(videos, preparation, moments))
            for videos in (self.positive, self.negative, self.tagged, self.held_positive, self.held_negative)
        )
        joined = [
            _joined(*pair, swap=bool(number % 2))
            for number, pair in enumerate(zip(held_positive, held_negative, strict=False))
        ]
        return Videos(self.topic, positive, negative, tagged, tuple(joined))

    def supervised(self, preparation: str) -> SupervisedVideos:
        """What a supervised method learns from, and whole held-out videos of the training list.

        The features' mean is that of `weak`: over videos of which some may be held out here, without their labels.
        """
        moments = self.moments(np.concatenate([self.positive, self.negative]))
        training = []
        for index, video in zip(self.labelled, self.clips(self.labelled, preparation, moments), strict=True):
            if (labels := self.corpus.labels(int(index))) is not None:
                score = labels.score.mean(axis=1, dtype=np.float64)
                training.append(Labelled(video, to_segments(labels.span, score, video.span)))
        held = [video for video in self.held_tagged if self.corpus.labels(int(video)) is not None]
        return SupervisedVideos(
            self.topic, tuple(training), tuple(self.clips(np.array(held, np.intp), preparation, moments))
        )


def _joined(positive: Clips, negative: Clips, *, swap: bool) -> Clips:
    """A positive and a negative end to end. The id says how many clips of which come first."""
    first, second = (negative, positive) if swap else (positive, negative)
    span = np.concatenate([first.span, first.duration + second.span])
    name = f"{len(first)} {'negative' if swap else 'positive'}"
    return Clips(name, first.duration + second.duration, span, np.concatenate([first.x, second.x]))


def separation(videos: Sequence[Clips], scores: Sequence[Floats]) -> float:
    """Mean area under the ROC curve of the positive's clips in joined videos; a tie counts half."""
    areas = []
    for video, score in zip(videos, scores, strict=True):
        count, kind = video.id.split()
        cut = int(count)
        parts = (score[:cut], score[cut:]) if kind == "positive" else (score[cut:], score[:cut])
        areas.append(area(*parts))
    return float(np.mean(areas))


def area(above: Floats, below: Floats) -> float:
    """Area under the ROC curve of scores that should be high and scores that should be low; a tie counts half."""
    difference = above[:, None] - below
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def agreement(corpus: Corpus, topic: str, videos: Sequence[Clips], scores: Sequence[Floats]) -> float:
    """Primary measure of the corpus' benchmark on held-out training videos, by their clip labels."""
    values = []
    for video, score in zip(videos, scores, strict=True):
        index = corpus.index(video.id)
        labels = None if index is None else corpus.labels(index)
        if labels is not None:
            labelled = LabelledVideo(video.id, topic, video.duration, labels.span, labels.score)
            benchmark = for_labels(corpus.manifest.get("benchmark"), labels.score.shape[1])
            values.append(benchmark.primary(labelled, to_segments(video.span, score, labels.span)))
    return float(np.mean(values))


@contextmanager
def constants(module: Any, values: dict[str, Any]) -> Iterator[None]:
    """Set constants of a module for a while."""
    before = {name: getattr(module, name) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def settle(corpus: Corpus, rule: str, draws: int) -> Iterator[tuple[str, str, list[float]]]:
    """What was compared: the choice, a value of it, and its measure in each topic and draw."""
    parts = [HeldOut(corpus, topic, rule, draw, draws) for topic in corpus.topics for draw in range(draws)]
    best, best_mean = "", -np.inf
    for preparation in PREPARATIONS:
        by: dict[str, list[float]] = {name: [] for name in JUDGES}
        for part in parts:
            videos = part.weak(preparation)
            for name, areas in by.items():
                areas.append(separation(videos.evaluation, find(name).score(videos)))
        for name, areas in by.items():
            yield f"preparation by {name}", preparation, areas
        areas_of_all = np.mean(list(by.values()), axis=0).tolist()
        yield "preparation", preparation, areas_of_all
        if np.mean(areas_of_all) > best_mean:
            best, best_mean = preparation, float(np.mean(areas_of_all))
    for name, settings in GRID.items():
        method = find(name)
        full = method.supervision == "full"
        videos_of_parts = [part.supervised(best) if full else part.weak(best) for part in parts]
        for setting in settings:
            measures = []
            for number, (part, videos) in enumerate(zip(parts, videos_of_parts, strict=True)):
                with constants(importlib.import_module(method.module), setting):
                    scores = method.score(videos, number % draws)
                judged = agreement(corpus, part.topic, videos.evaluation, scores) if full else None
                measures.append(separation(videos.evaluation, scores) if judged is None else judged)
            yield name, " ".join(f"{key.lower()} {value}" for key, value in setting.items()), measures


@command("settle_methods")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print and write the table; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a CSV file")
    parser.add_argument("--rule", default="duration", choices=tuple(RULES))
    parser.add_argument("--draws", type=int, default=3, metavar="N", help="random hold-outs of one video in N")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    lines = ["choice,value,mean,standard_error,parts"]
    corpus = Corpus(options.corpus)
    if options.draws < 2:
        raise InputError(f"--draws {options.draws}: expected 2 or more")
    for choice, value, measured in settle(corpus, options.rule, options.draws):
        mean, error = 100 * np.mean(measured), 100 * np.std(measured, ddof=1) / len(measured) ** 0.5
        lines.append(f'{choice},"{value}",{mean:.2f},{error:.2f},{len(measured)}')
        print(f"{choice:26s} {value:24s} {mean:6.2f} +- {error:.2f}", flush=True)
        write_text(options.out, "\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
