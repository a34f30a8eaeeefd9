"""The cells of the studies on the corpora at hand: each a resolved configuration with its identity."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from highlight_lit.config.identity import as_plain, identity
from highlight_lit.config.launch import CONFIG_DIR
from highlight_lit.config.schema import check
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.data.topics.weak_labels import RULES
from highlight_lit.errors import InputError
from highlight_lit.evaluation.judge import benchmark_of, labelled_videos

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
    """

    corpus: Corpus
    benchmark: str
    topics: tuple[str, ...]
    overrides: tuple[str, ...]
    synthetic: bool

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
        return f"{self.study}: {self.label}, {self.config['topic']}, seed {self.config['seed']}"


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
    study: Study, systems: Sequence[System], where: Site, profile: Profile, given: Sequence[str]
) -> list[Cell]:
    """A study's cells on a corpus, a list a seed, topics and systems within.

    Args:
        study: What to run.
        systems: Of the study.
        where: The corpus.
        profile: Its seeds and overrides.
        given: The user's overrides, which win over the profile's.

    Raises:
        InputError: A cell that cannot be composed: names the study and the override.
    """
    found = []
    for system in systems:
        words = [f"study={study.sweep}", *where.overrides, *profile.overrides]
        words += [*profile.benchmarks.get(where.benchmark, ()), *given]
        words += [f"{key}={value}" for key, value in system.items()]
        plain = _composed(study.name, tuple(words))
        for seed in range(profile.seeds):
            for topic in where.topics:
                config = {**copy.deepcopy(plain), "seed": seed, "topic": topic}
                config["data"]["root"] = str(where.corpus.root)
                run_id = identity(config, where.corpus.fingerprint)
                found.append(Cell(run_id, study.name, system, study.called(system), config))
    return found


@cache
def _composed(study: str, words: tuple[str, ...]) -> dict[str, Any]:
    """A configuration whose corpus, topic and seed are still to be set. Composing takes a tenth of a second."""
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = compose("config", [*words, "data.root=.", "topic=topic"])
        check(config)
        return as_plain(config)
    except (HydraException, OmegaConfBaseException, InputError) as error:
        raise InputError(f"study {study}: {' '.join(words)}: {' '.join(str(error).split())}") from error


def unique(cells: Sequence[Cell]) -> Iterator[Cell]:
    """Each run once, those of seed 0 first: a sweep cut short has whole seeds."""
    seen = {cell.id: cell for cell in reversed(cells)}
    return iter(sorted(seen.values(), key=lambda cell: (cell.config["seed"], cell.study)))
