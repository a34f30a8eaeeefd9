"""`highlight-lit evaluate`: checkpoints, a method or any system's scores, judged by a corpus' labels."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from highlight_lit.config.schema import MAX_RANKINGS
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.importers.labels import relabelled
from highlight_lit.data.topics.counts import topics_of
from highlight_lit.errors import InputError
from highlight_lit.evaluation.judge import OUTPUTS, Judgement, judge, judge_several, labelled_videos, write_judgement
from highlight_lit.evaluation.scores import ClipScores, matched
from highlight_lit.evaluation.scores_csv import read_scores, write_scores
from highlight_lit.evaluation.summary.judge import judge_summaries
from highlight_lit.files import for_a_file, not_an_input
from highlight_lit.inference.commands.tables import Judged, checkpoints_table, summaries_table, system_table
from highlight_lit.inference.detector import Detector
from highlight_lit.inference.evaluate import judged_on, scores_of
from highlight_lit.inference.loading.load import load_detector
from highlight_lit.methods import score
from highlight_lit.text import a_few, say, say_table

Scores = dict[str, ClipScores]
SCORES = "scores.csv"


def run(options: argparse.Namespace) -> int:
    """Judge, print the table, and write the files if a folder was named.

    Raises:
        InputError: A file or option that cannot be used.
    """
    if not 2 <= options.draws <= MAX_RANKINGS:
        raise InputError(f"--draws {options.draws}: expected a whole number of at least 2 and at most {MAX_RANKINGS:,}")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: expected a whole number of at least 0")
    if options.topics is not None and len(set(options.topics)) < len(options.topics):
        raise InputError(f"--topics {' '.join(options.topics)}: a topic twice; expected each once")
    if options.out is not None:
        for name in (SCORES, *OUTPUTS):
            not_an_input(options.out / name, options.scores, options.labels, *(options.checkpoint or ()))
        _can_be_written(options.out)
    if options.split is not None and options.checkpoint is None:
        raise InputError("--split: of --checkpoint alone; a method and scores are judged on the list test")
    corpus = relabelled(Corpus(options.corpus), options.labels, _note)
    if options.checkpoint is not None:
        return _checkpoints(options, corpus)
    if options.scores is not None:
        scores = matched(read_scores(options.scores), corpus, str(options.scores), _note)
        topics = options.topics or _topics(corpus)
    else:
        topics = options.topics or _topics(corpus, options.rule, options.training)
        scores = _of_method(options, corpus, topics)
    where = str(options.scores or options.method)
    judgement = judge(corpus, topics, scores, empty=options.empty, draws=options.draws, where=where)
    _show(options, corpus, topics, judgement, scores)
    return 0


def _show(
    options: argparse.Namespace, corpus: Corpus, topics: Sequence[str], judgement: Judgement, scores: Scores
) -> None:
    """Print the tables of one system, and write what `--out` asks for."""
    name = str(corpus.manifest["name"])
    say_table(system_table(judgement, name))
    if options.summary:
        videos = labelled_videos(corpus, topics, options.split or "test")
        say_table(summaries_table(judge_summaries(corpus, videos, scores, options.draws), name))
    if options.out is not None:
        _write(options.out, judgement, scores)


def _note(line: str) -> None:
    say(f"note: {line}", file=sys.stderr)


def _topics(corpus: Corpus, rule: str | None = None, training: str = "lists") -> list[str]:
    """The topics that can be judged: with labels and, for a method that learns by a rule, with videos to learn from."""
    counts = topics_of(corpus, training)
    judged = counts.judged > 0
    if rule is not None:
        judged &= counts.trainable(rule)
    topics = [name for name, possible in zip(counts.names, judged, strict=True) if possible]
    if not topics:
        lacking = "labelled video" if rule is None else f"labelled video, and positives and negatives (--rule {rule}),"
        raise InputError(f"{corpus.root}: no topic with a {lacking} to evaluate on; expected a corpus with labels")
    if left := [name for name in counts.names if name not in set(topics)]:
        _note(f"{len(left)} topics of {corpus.root} have nothing to evaluate on and are left out: {a_few(left)}")
    return topics


def _of_method(options: argparse.Namespace, corpus: Corpus, topics: Sequence[str]) -> Scores:
    """Scores of a method, topic by topic."""
    settings = {key: getattr(options, key) for key in ("modality", "rule", "training", "seed")}
    scores: Scores = {}
    for topic in topics:
        scores |= score(options.method, corpus, topic, **settings)
    return scores


def _checkpoints(options: argparse.Namespace, corpus: Corpus) -> int:
    """Judge each checkpoint on its own topic: one system, or several of a topic beside each other."""
    of_topic: dict[str, list[Detector]] = {}
    for path in dict.fromkeys(options.checkpoint):
        detector = load_detector(path, options.trust)
        of_topic.setdefault(detector.topic, []).append(detector)
    topics = list(options.topics or of_topic)
    if strange := [topic for topic in topics if topic not in of_topic]:
        raise InputError(f"--topics {strange[0]}: no checkpoint of this topic; they have {a_few(of_topic)}")
    name, split = str(corpus.manifest["name"]), options.split or "test"
    how = {"empty": options.empty, "draws": options.draws, "split": split}
    used = [detector for topic in topics for detector in of_topic[topic]]
    corpus = judged_on(corpus, used, split)
    if used[0].fold is not None:
        _note(
            f"fold {used[0].fold} of {used[0].topic}: judged on the fold's videos, which no checkpoint was trained on"
        )
    if all(len(of_topic[topic]) == 1 for topic in topics):
        scores: Scores = {}
        for topic in topics:
            scores |= scores_of(of_topic[topic][0], corpus, split=split)
        _show(options, corpus, topics, judge(corpus, topics, scores, **how), scores)
        return 0
    if options.summary:
        raise InputError("--summary: several checkpoints of a topic; expected one")
    names = _names([detector.source for topic in topics for detector in of_topic[topic]])
    if options.out is not None:
        for each in names.values():
            _can_be_written(options.out / each)
    judged: list[Judged] = []
    for topic in topics:
        systems = [scores_of(detector, corpus, split=split) for detector in of_topic[topic]]
        judgements = judge_several(corpus, [topic], systems, **how)
        for detector, judgement, scores in zip(of_topic[topic], judgements, systems, strict=True):
            judged.append(Judged(topic, names[detector.source], judgement))
            if options.out is not None:
                _write(options.out / names[detector.source], judgement, scores)
    alike = all(_alike(of_topic[topic]) for topic in topics)
    copies = [pair for topic in topics for pair in _copies(of_topic[topic])]
    say_table(checkpoints_table(judged, name, alike and not copies))
    if copies:
        _note(f"{copies[0][1]} is the network of {copies[0][0]} again: no mean is taken, which would count it twice")
    if not alike:
        _note("checkpoints of one topic are of different settings: no mean is taken over them")
    return 0


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """What to call checkpoints: their folders' names, which runs are told by, with a number where two are the same."""
    names: dict[Path, str] = {}
    for path in paths:
        name = path.resolve().parent.name or "root"
        numbered = (f"{name}-{number}" if number > 1 else name for number in itertools.count(1))
        names[path] = next(each for each in numbered if each not in names.values())
    return names


def _alike(detectors: Sequence[Detector]) -> bool:
    """Whether detectors were trained with the same settings, and so differ by their seeds alone."""
    return all(other.parts == detectors[0].parts for other in detectors)


def _copies(detectors: Sequence[Detector]) -> list[tuple[Path, Path]]:
    """The files of each network that is there again, under another name: a link, a copy or the run's own folder."""
    first: dict[bytes, Path] = {}
    copies = []
    for detector in detectors:
        weights = hashlib.sha256()
        for value in detector.network.state_dict().values():
            weights.update(value.double().numpy().tobytes())
        if (other := first.setdefault(weights.digest(), detector.source)) is not detector.source:
            copies.append((other, detector.source))
    return copies


def _can_be_written(folder: Path) -> None:
    """Refuse a folder in which something else has the name of a file that `_write` writes, before any is."""
    for name in (SCORES, *OUTPUTS):
        for_a_file(folder / name)


def _write(folder: Path, judgement: Judgement, scores: Scores) -> None:
    write_judgement(folder, judgement)
    write_scores(folder / SCORES, scores)
