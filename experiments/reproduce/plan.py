"""The plan of a reproduction, kept beside its ledger: which runs make which table, so that the report needs no corpus."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from highlight_lit.errors import InputError
from highlight_lit.evaluation.benchmarks import BENCHMARKS
from highlight_lit.files import is_of_format, read_json, write_json
from highlight_lit.text import shown
from highlight_lit.untrusted.shapes import MappingOf, check_shape

from .cells import Cell, Site
from .study import Profile, Study, studies

FILE = "plan.json"
FORMAT = "highlight-lit plan"
VERSION = 1
EXAMPLES = 2  # videos of a corpus that figure 3 shows


def write(
    out: Path,
    profile: Profile,
    wanted: Sequence[Study],
    sites: Sequence[Site],
    work: Mapping[tuple[str, str], Sequence[Cell]],
    overrides: Sequence[str],
) -> None:
    """Write what is to be run and shown.

    Args:
        out: Folder of the reproduction.
        profile: How much is run.
        wanted: The studies.
        sites: The corpora.
        work: Cells by study and corpus.
        overrides: The user's.
    """
    cells: dict[str, dict[str, list[Any]]] = {study.name: {} for study in wanted}
    for (study, key), cells_of_study in work.items():
        cells[study][key] = [
            {"id": c.id, "system": dict(c.system), "label": c.label, "topic": c.config["topic"],
             "seed": c.config["seed"]} for c in cells_of_study]  # fmt: skip
    facts = {"name": profile.name, "about": profile.about, "seeds": profile.seeds, "overrides": list(profile.overrides)}
    write_json(
        out / FILE,
        {
            "format": FORMAT,
            "version": VERSION,
            "profile": facts,
            "overrides": list(overrides),
            "corpora": {where.key: _corpus(where, profile) for where in sites},
            "studies": cells,
        },
    )


def _corpus(where: Site, profile: Profile) -> dict[str, Any]:
    return {
        "name": where.name,
        "benchmark": where.benchmark,
        "synthetic": where.synthetic,
        "folds": where.folds,
        "topics": list(where.topics),
        "overrides": [*where.overrides, *profile.benchmarks.get(where.benchmark, ())],
        "examples": [] if where.folds else [_example(where, topic) for topic in where.topics[:EXAMPLES]],
    }


def _example(where: Site, topic: str) -> dict[str, Any]:
    """A video for figure 3: of those to evaluate on, the first whose highlights cover nearest to a fifth of it."""
    rule = BENCHMARKS[where.benchmark].primary.rule
    examples = []
    for video in where.corpus.evaluation_videos(topic):
        labels = where.corpus.labels(int(video))
        if labels is not None:
            positive = rule(labels.score).mean(axis=1) >= 0.5
            examples.append((abs(float(positive.mean()) - 0.2), int(video), labels.span[positive]))
    _, video, spans = min(examples, key=lambda example: example[:2])
    return {"topic": topic, "video": where.corpus.ids[video].decode(), "highlights": _joined(spans)}


def _joined(spans: Any) -> list[list[float]]:
    """Spans that touch or overlap as one."""
    joined: list[list[float]] = []
    for start, end in np.asarray(spans, np.float64).tolist():
        if joined and start <= joined[-1][1] + 1e-6:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return joined


_NEEDED = {"curve": ("rank",), "examples": ("modality",)}  # of a system, to show a study in this way
_RANK = re.compile(r"[1-9][0-9]{0,8}")
_EXAMPLE = {"topic": str, "video": str, "highlights": [[(int, float)]]}
_CORPUS = {"name": str, "benchmark": str, "synthetic": bool, "folds": (int, NoneType), "topics": [str], "overrides": [str],
           "examples": [_EXAMPLE]}  # fmt: skip
_CELL = {"id": str, "system": MappingOf(str), "label": str, "topic": str, "seed": int}
_SHAPE = {
    "format": str, "version": int, "overrides": [str], "corpora": MappingOf(_CORPUS), "studies": MappingOf(MappingOf([_CELL])),
    "profile": {"name": str, "about": str, "seeds": int, "overrides": [str]},
}  # fmt: skip


def read(out: Path) -> dict[str, Any]:
    """The plan of a reproduction: names of files are made of what it says, so each is one that could have been planned.

    Raises:
        InputError: It is missing, damaged or of another version.
    """
    path = out / FILE
    plan: dict[str, Any] = read_json(path, "the plan of a reproduction")
    if not is_of_format(plan, FORMAT, VERSION):
        raise InputError(f"{path}: expected {FORMAT!r} version {VERSION}")
    check_shape(plan, _SHAPE, str(path))
    for key, corpus in plan["corpora"].items():
        if corpus["benchmark"] not in BENCHMARKS:
            raise InputError(f"{path}: corpora.{shown(key)}.benchmark: expected one of {', '.join(BENCHMARKS)}")
        if any(len(span) != 2 for example in corpus["examples"] for span in example["highlights"]):
            raise InputError(f"{path}: corpora.{shown(key)}.examples.highlights: expected start and end of each")
    for name, cells in plan["studies"].items():
        if strange := [key for key in cells if key not in plan["corpora"]]:
            raise InputError(f"{path}: studies.{shown(name)}.{shown(strange[0])}: no such corpus in the plan")
        for of_corpus in cells.values():
            runs = Counter((cell["label"], cell["id"]) for cell in of_corpus)
            if twice := [run_id for (_, run_id), times in runs.items() if times > 1]:
                raise InputError(
                    f"{path}: studies.{shown(name)}: run {shown(twice[0])} twice in a system; expected once"
                )
    for study in studies():
        needed = {*_NEEDED.get(study.show, ()), *study.paper.get("key", {}).values()}
        for cell in (cell for cells in plan["studies"].get(study.name, {}).values() for cell in cells):
            system = cell["system"]
            read_by = {"fusion"} if study.show == "ways" and "data.audio" in system else set()
            if lacks := (needed | read_by) - system.keys():
                raise InputError(f"{path}: studies.{study.name}: a system without {min(lacks)}")
            if study.show == "curve" and not _RANK.fullmatch(system["rank"]):
                raise InputError(f"{path}: studies.{study.name}: rank {shown(system['rank'])}; expected a whole number")
    return plan
