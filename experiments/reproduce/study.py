"""A study: which cells of the paper's table or figure are run, and how they stand beside the paper's numbers.

`experiments/studies/NAME.yaml` says what is shown; the sweep it names, `conf/study/SWEEP.yaml`, says which cells there are,
so that `highlight-lit train -m study=SWEEP` runs the same ones. `experiments/profiles/` says how much of all is run.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from highlight_lit.errors import InputError, first_line
from highlight_lit.launch import composed

HERE = Path(__file__).parents[1]  # experiments/
SHOWN = ("rows", "ways", "topics", "curve", "gradients", "examples", "cost")
# The column of the paper's tables that holds a benchmark's numbers.
COLUMNS = {"youtube-highlights": "youtube_map", "tvsum": "tvsum_top5_map"}
T = TypeVar("T")
System = Mapping[str, str]  # a sweep's choice: override key to value


@dataclass(frozen=True)
class Study:
    """One table or figure.

    Attributes:
        name: Of its file.
        title, about, source: What it is, in a heading, a sentence and a reference.
        show: How it is shown, one of `SHOWN`.
        sweep: File in conf/study with its cells, None where nothing is trained.
        label: How a system is called, a format of the sweep's keys.
        alone: File in conf/study with cells that stand beside those of `sweep`; they are called by `names` alone.
        methods: Methods of `highlight_lit.methods` that stand beside, by key (`method`, `modality`) the values as in a sweep.
        against: The system that the others are compared with; empty if none is.
        names: By key, what a value is called in the label.
        paper: `file` in experiments/paper and `key`, its columns to the sweep's keys; empty if nothing was published.
        benchmarks: Whose corpora it runs on.
    """

    name: str
    title: str
    about: str
    source: str
    show: str
    sweep: str | None = None
    label: str = ""
    alone: str | None = None
    methods: Mapping[str, str] = field(default_factory=dict)
    against: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    paper: Mapping[str, Any] = field(default_factory=dict)
    benchmarks: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.show not in SHOWN:
            raise InputError(f"studies/{self.name}.yaml: show: {self.show}: expected one of {', '.join(SHOWN)}")

    def axes(self) -> dict[str, list[str]]:
        """The sweep's keys and values, seeds and topics aside."""
        return self._axes("sweep", self.sweep)

    def _axes(self, key: str, sweep: str | None) -> dict[str, list[str]]:
        if sweep is None:
            return {}
        try:
            params = _swept(sweep)
        except InputError as error:
            raise InputError(f"studies/{self.name}.yaml: {key}: {sweep}: {error}") from error
        return {key: values.split(",") for key, values in params.items() if key not in ("seed", "topic")}

    def systems(self, only: Mapping[str, str] | None = None) -> list[System]:
        """Those that stand beside, and every combination of the axes' values, those of `only` in place of the sweep's.

        Raises:
            InputError: `only` names a key that the sweep does not have.
        """
        axes = self.axes()
        for key, values in (only or {}).items():
            if key not in axes:
                raise InputError(f"profile: only.{self.name}.{key}: no such key; the sweep has {', '.join(axes)}")
            axes[key] = str(values).split(",")
        alone = _product(self._axes("alone", self.alone)) if self.alone else []
        beside = {key: str((only or {}).get(key, values)).split(",") for key, values in self.methods.items()}
        methods = _product(beside) if beside else []
        return [*alone, *_product(axes), *methods]

    def called(self, system: System) -> str:
        """What a system is called in tables.

        >>> Study("x", "X", "", "", "rows", label="R = {rank}").called({"rank": "8"})
        'R = 8'
        """
        called = {key: self.names.get(key, {}).get(value, value) for key, value in system.items()}
        if not all("{" + key + "}" in self.label for key in system):
            return ", ".join(called.values())
        label = self.label
        for key, value in called.items():
            label = label.replace("{" + key + "}", value)
        return label

    def published(self, system: System, benchmark: str) -> float | None:
        """The paper's number for a system, in [0, 1]; None if it gives none."""
        if not self.paper or benchmark not in COLUMNS:
            return None
        for row in paper_rows(self.paper["file"]):
            if all(_same(row[column], system[key], self, key) for column, key in self.paper["key"].items()):
                return float(row[COLUMNS[benchmark]])
        return None


def _product(axes: Mapping[str, Sequence[str]]) -> list[System]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


@cache
def _swept(sweep: str) -> dict[str, str]:
    """What conf/study/SWEEP.yaml sweeps: values by key."""
    config = composed("config", [f"study={sweep}", "data.root=.", "topic=topic"], with_hydra=True)
    return {str(key): str(values) for key, values in config.hydra.sweeper.params.items()}


# What the paper's tables call a choice, where that is not the choice's own name.
_PAPER = {"highlight_net": "Ours", "mini_net": "MINI-Net*", "av": "both"}


def _same(printed: str, value: str, study: Study, key: str) -> bool:
    try:
        return float(printed) == float(value)
    except ValueError:
        return printed == _PAPER.get(value, value)


def paper_rows(file: str) -> list[dict[str, str]]:
    """A table of experiments/paper, its rows by column."""
    with open(HERE / "paper" / file, newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


@dataclass(frozen=True)
class Profile:
    """How much of the studies is run.

    Attributes:
        name: Of its file.
        about: In a sentence.
        seeds: Of each cell, 0 to seeds - 1.
        topics: First topics of each corpus, None for all.
        overrides: Of every cell, as on Hydra's command line.
        synthetic: Arguments of the synthetic corpora's plan.
        only: By study and key, the values to run in place of the sweep's.
        benchmarks: By benchmark, overrides of every cell on its corpora, after `overrides`.
    """

    name: str
    about: str
    seeds: int
    topics: int | None
    overrides: Sequence[str]
    synthetic: Mapping[str, int]
    only: Mapping[str, Mapping[str, str]]
    benchmarks: Mapping[str, Sequence[str]] = field(default_factory=dict)


def studies() -> list[Study]:
    """Every study, tables first.

    Raises:
        InputError: A file that is not one: names the file and the key.
    """
    order = {"table": 0, "figure": 1}
    known = [_read(path, Study) for path in sorted((HERE / "studies").glob("*.yaml"))]
    return sorted(known, key=lambda study: (order.get(study.name[:-1], 2), study.name))


def profile(name: str) -> Profile:
    """The profile of this name, or in this file of yours.

    Raises:
        InputError: There is none, or its file is not one.
    """
    path = Path(name) if name.endswith(".yaml") else HERE / "profiles" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml")))
        raise InputError(f"profile {name}: no such profile; expected one of {known}")
    return _read(path, Profile)


def _read(path: Path, kind: type[T]) -> T:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable as YAML ({first_line(error)})") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected keys and values")
    keys = {f.name: f for f in fields(kind) if f.name != "name"}
    for key in document:
        if key not in keys:
            raise InputError(f"{path}: {key}: no such key; expected {', '.join(keys)}")
    for key, f in keys.items():
        if key not in document and f.default is MISSING and f.default_factory is MISSING:
            raise InputError(f"{path}: {key}: missing")
    return kind(name=path.stem, **document)
