"""The cells of the studies on the corpora at hand: each a resolved configuration with its identity."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from highlight_lit.config.run_identity import as_plain, identity
from highlight_lit.config.schema import check
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.data.topics.folds import cross_fitted as folded
from highlight_lit.data.topics.weak_labels import RULES
from highlight_lit.errors import InputError
from highlight_lit.evaluation.judge import benchmark_of, labelled_videos
from highlight_lit.launch import CONFIG_DIR, composed
from highlight_lit.runs.sweep_table import leaves
from highlight_lit.training.guided import identity_with_teacher

from .references import method_config
from .study import Profile, Study, System

# The benchmarks' shapes: topics and annotators.
SHAPES = {"youtube-highlights": (6, 1), "tvsum": (10, 20), "cosum": (10, 3)}


@dataclass(frozen=True)
class Site:
    """A corpus to run on.

    Attributes:
        corpus: Open.
        benchmark: Whose labels and measures it has.
        topics: Those to run.
        overrides: What this corpus needs set.
        synthetic: Whether its videos are made up; said in every heading.
        folds: How many folds it is cross-fitted in; None: its lists are what is trained and judged on.
    """

    corpus: Corpus
    benchmark: str
    topics: tuple[str, ...]
    overrides: tuple[str, ...]
    synthetic: bool
    folds: int | None = None

    @property
    def key(self) -> str:
        """In the plan: a corpus, and how it is judged on."""
        return self.corpus.fingerprint + (f"/{self.folds}" if self.folds else "")

    @property
    def name(self) -> str:
        """As in headings."""
        return str(self.corpus.manifest["name"])


@dataclass(frozen=True)
class Cell:
    """One run: a system of a study, on a topic of a corpus, with a seed."""

    id: str
    study: str
    system: System
    label: str
    config: dict[str, Any]

    @property
    def text(self) -> str:
        """In a line of progress."""
        fold = f", fold {self.config['data']['fold']}" if self.config["data"]["fold"] else ""
        return f"{self.study}: {self.label}, {self.config['topic']}{fold}, seed {self.config['seed']}"


def site(root: Path, most_topics: int | None) -> Site:
    """Open a corpus to run on.

    A corpus in which some topic has no positive or no negative by duration, such as TVSum or AVE, is trained by tags alone.

    Raises:
        InputError: It is no corpus, or has no labels.
    """
    corpus = Corpus(root)
    topics = corpus.topics[:most_topics]
    benchmark = benchmark_of(corpus, labelled_videos(corpus, topics[:1])).name
    by_duration = [set(RULES["duration"](corpus.tagged(topic), corpus.duration)) for topic in topics]
    overrides = () if all({1, -1} <= kinds for kinds in by_duration) else ("data.rule=tag",)
    return Site(corpus, benchmark, topics, overrides, "synthetic" in corpus.manifest)


def cross_fitted(where: Site, folds: int) -> Site:
    """The same corpus, each topic's videos judged in folds by what was not trained on them.

    Raises:
        InputError: No such number of folds, or a topic has fewer videos.
    """
    for topic in where.topics:
        try:
            folded(where.corpus, topic, f"1/{folds}")
        except InputError as error:
            raise InputError(f"--folds {folds}: {error}") from error
    return replace(where, folds=folds)


def synthetic_roots(folder: Path, profile: Profile, shapes: Collection[str] = tuple(SHAPES)) -> list[Path]:
    """The synthetic corpora in these benchmarks' shapes, made where they are missing."""
    roots = []
    for name in shapes:
        topics, annotators = SHAPES[name]
        root = folder / f"synthetic-{name}"
        if not (root / "manifest.json").is_file():
            synthesize(root, Plan(topics=topics, annotators=annotators, **profile.synthetic))
        roots.append(root)
    return roots


def cells_of(
    study: Study, systems: Sequence[System], where: Site, profile: Profile, overrides: Sequence[str]
) -> list[Cell]:
    """A study's cells on a corpus, a list a seed, topics and systems within.

    Args:
        study: What to run.
        systems: Of the study.
        where: The corpus.
        profile: Its seeds and overrides.
        overrides: The user's, which win over the profile's.

    Raises:
        InputError: A cell that cannot be composed: names the study and the override.
    """
    cells = []
    folds = [f"{number}/{where.folds}" for number in range(1, where.folds + 1)] if where.folds else [None]
    words = [f"study={study.sweep}", *where.overrides, *profile.overrides]
    words += [*profile.benchmarks.get(where.benchmark, ()), *overrides]
    for system in systems:
        left = _set_by(system.get("experiment"))
        own = [word for word in words if word.partition("=")[0] not in left]
        own += [f"{key}={value}" for key, value in system.items() if key != "method"]
        base = _composed(study.name, tuple(own))
        if "method" in system:
            base = method_config(system["method"], base)
        for seed, topic, fold in itertools.product(range(profile.seeds), where.topics, folds):
            config = {**copy.deepcopy(base), "seed": seed, "topic": topic}
            config["data"] |= {"root": str(where.corpus.root), "fold": fold}
            named = identity if "method" in config else identity_with_teacher
            run_id = named(config, where.corpus.fingerprint)
            cells.append(Cell(run_id, study.name, system, study.called(system), config))
    return cells


@cache
def _set_by(experiment: str | None) -> frozenset[str]:
    """The keys that an experiment sets: what a profile or a user sets for all cells is not for these."""
    path = CONFIG_DIR / "experiment" / f"{experiment}.yaml"
    content = yaml.safe_load(path.read_text()) if path.is_file() else {}
    return frozenset(key for key, _ in leaves(content) if key != "defaults")


@cache
def _composed(study: str, words: tuple[str, ...]) -> dict[str, Any]:
    """A configuration whose corpus, topic and seed are still to be set. Composing takes a tenth of a second."""
    try:
        config = composed("config", [*words, "data.root=.", "topic=topic"])
        check(config)
        return as_plain(config)
    except InputError as error:
        raise InputError(f"study {study}: {' '.join(words)}: {error}") from error


def unique(cells: Sequence[Cell]) -> Iterator[Cell]:
    """Each run once, those of seed 0 first: a sweep cut short has whole seeds."""
    by_id = {cell.id: cell for cell in reversed(cells)}
    return iter(sorted(by_id.values(), key=lambda cell: (cell.config["seed"], cell.study)))
