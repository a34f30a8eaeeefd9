"""From the ledger to numbers: what each system of a study reached on a corpus, beside its levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.errors import InputError
from highlight_lit.evaluation.intervals import Difference, Interval, paired_bootstrap, t_interval
from highlight_lit.files import plain_name
from highlight_lit.runs.cross_fit import put_together
from highlight_lit.runs.ledger import RECORD, read_record, run_dir
from highlight_lit.text import shown

from .study import Study

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A system of a study on a corpus.

    Attributes:
        label: What it is called.
        system: What its sweep set.
        paper: The paper's number in [0, 1], None if it gives none.
        records: By topic and seed; one that is missing, or lacks a fold, is absent.
        topics, seeds: Those there should be.
        ids: The runs of each topic and seed, one a fold.
        missing: Of them, those that are not there.
    """

    label: str
    system: Mapping[str, str]
    paper: float | None
    topics: Sequence[str]
    seeds: Sequence[int]
    records: Mapping[tuple[str, int], Record] = field(repr=False)
    ids: Mapping[tuple[str, int], Sequence[str]] = field(repr=False)
    missing: frozenset[str] = frozenset()

    @property
    def holes(self) -> int:
        """Cells that are missing."""
        return len(self.missing)

    def of_topic(self, measure: str, topic: str) -> Interval | None:
        """Mean over the seeds that are there, None without one."""
        return _interval([_mean(self.records[key], measure) for key in self._keys(topic=topic)])

    def by_seed(self, measure: str) -> dict[int, float]:
        """Mean over topics of each seed that has every topic."""
        whole = [seed for seed in self.seeds if len(self._keys(seed=seed)) == len(self.topics)]
        return {
            seed: float(np.mean([_mean(self.records[topic, seed], measure) for topic in self.topics])) for seed in whole
        }

    def mean(self, measure: str) -> Interval | None:
        """Over topics, then seeds; None without a whole seed."""
        return _interval(list(self.by_seed(measure).values()))

    def videos(self, measure: str) -> dict[tuple[str, str], float]:
        """By topic and video, the mean over the seeds of `by_seed`; NaN for a video that is left out."""
        values: dict[tuple[str, str], list[float]] = {}
        for seed in self.by_seed(measure):
            for topic in self.topics:
                of_topic = self.records[topic, seed]["evaluation"]["measures"][measure]["videos"][topic]
                for video, value in of_topic.items():
                    values.setdefault((topic, video), []).append(math.nan if value is None else value)
        return {key: float(np.mean(of_seeds)) for key, of_seeds in values.items()}

    def less(self, other: Row, measure: str) -> Difference | None:
        """The mean less another system's, pairwise over videos, seeds averaged; None with fewer than two videos in both."""
        ours, theirs = self.videos(measure), other.videos(measure)
        keys = list(ours)
        if ours.keys() != theirs.keys() or sum(not math.isnan(value) for value in ours.values()) < 2:
            return None
        topics = [topic for topic, _ in keys]
        return paired_bootstrap([ours[k] for k in keys], [theirs[k] for k in keys], topics)

    def _keys(self, topic: str | None = None, seed: int | None = None) -> list[tuple[str, int]]:
        return [key for key in self.records if (topic is None or key[0] == topic) and (seed is None or key[1] == seed)]


def _mean(record: Record, measure: str) -> float:
    return float(record["evaluation"]["measures"][measure]["mean"])


def _interval(values: list[float]) -> Interval | None:
    return t_interval(values) if values else None


@dataclass(frozen=True)
class StudyResult:
    """A study on a corpus.

    Attributes:
        study: The study.
        corpus: The plan's facts of the corpus.
        key: Of the corpus in the plan: its fingerprint, and in how many folds it was cross-fitted.
        rows: Its systems.
    """

    study: Study
    corpus: Mapping[str, Any]
    key: str
    rows: Sequence[Row]

    @property
    def fingerprint(self) -> str:
        """Of the corpus."""
        return self.key.partition("/")[0]

    @property
    def records(self) -> list[Record]:
        """Every record there is."""
        return [record for row in self.rows for record in row.records.values()]

    @property
    def holes(self) -> int:
        """Cells that are missing."""
        return sum(row.holes for row in self.rows)

    @property
    def primary(self) -> str:
        """The measure to quote."""
        return str(self.records[0]["evaluation"]["primary"])

    @property
    def measures(self) -> dict[str, str]:
        """Description of each measure by name."""
        return {name: measure["description"] for name, measure in self.records[0]["evaluation"]["measures"].items()}

    def level(self, name: str, measure: str) -> dict[str, float]:
        """Chance, middle or annotators by topic, of the topics with a record."""
        by_topic = {}
        for record in self.records:
            by_topic[record["topic"]] = float(record["evaluation"]["levels"][name]["measures"][measure]["mean"])
        return by_topic

    def n_videos(self, topic: str) -> int | None:
        """Videos a topic is judged by, those that are left out aside; None if no cell of it is there."""
        of_topic = [record for record in self.records if record["topic"] == topic]
        if not of_topic:
            return None
        return sum(v is not None for v in of_topic[0]["evaluation"]["measures"][self.primary]["videos"][topic].values())

    @property
    def commits(self) -> list[str]:
        """Of the code that made the numbers."""
        return sorted({record["environment"]["commit"] or "unknown" for record in self.records})

    def row(self, system: Mapping[str, str]) -> Row | None:
        """The row of a system, None if it is not in this result or has no whole seed."""
        rows = [row for row in self.rows if dict(row.system) == dict(system)]
        return rows[0] if rows and self.records and rows[0].by_seed(self.primary) else None


def results(out: Path, plan: Mapping[str, Any], known: Sequence[Study]) -> list[StudyResult]:
    """Every study on every corpus of a plan, from the ledger alone.

    Raises:
        InputError: A record is damaged or of another version.
    """
    read: dict[str, Record | None] = {}
    all_results = []
    for study in known:
        for key, cells in plan["studies"].get(study.name, {}).items():
            corpus = plan["corpora"][key]
            rows: dict[str, list[dict[str, Any]]] = {}
            for cell in cells:
                rows.setdefault(cell["label"], []).append(cell)
                if cell["id"] not in read:
                    read[cell["id"]] = _done(out / "runs", cell["id"])
            result_rows = [_row(study, corpus, label, cells_of_row, read) for label, cells_of_row in rows.items()]
            _check_beside(result_rows, out / "runs")
            all_results.append(StudyResult(study, corpus, key, result_rows))
    return all_results


def _done(runs: Path, run_id: str) -> Record | None:
    record = read_record(run_dir(runs, plain_name(run_id, f"{runs.parent}: plan: a run's id")), run_id)
    return record if record is not None and record["status"] == "done" and "evaluation" in record else None


def _check_beside(rows: Sequence[Row], runs: Path) -> None:
    """Refuse a record that cannot stand beside the others of a study on a corpus.

    Raises:
        InputError: It is of another topic or seed than its cell, has other measures, or a mean over nothing.
    """
    first: tuple[str, list[str]] | None = None
    for row in rows:
        for key, record in row.records.items():
            path, evaluation = run_dir(runs, row.ids[key][0]) / RECORD, record["evaluation"]
            for name, planned in zip(("topic", "seed"), key, strict=True):
                if record[name] != planned:
                    raise InputError(f"{path}: {name}: {shown(str(record[name]))}; the plan has {shown(str(planned))}")
            first = first or (evaluation["primary"], sorted(evaluation["measures"]))
            if first != (evaluation["primary"], sorted(evaluation["measures"])):
                raise InputError(
                    f"{path}: evaluation: other measures than those of the runs beside it; expected {shown(', '.join(first[1]))}"
                )
            for report in (evaluation, *evaluation["levels"].values()):
                if nothing := [name for name, measure in report["measures"].items() if measure["mean"] is None]:
                    raise InputError(
                        f"{path}: evaluation: {shown(nothing[0])}: a mean over no video; expected topics that can be judged"
                    )


def _row(
    study: Study,
    corpus: Mapping[str, Any],
    label: str,
    cells: Sequence[Mapping[str, Any]],
    read: Mapping[str, Record | None],
) -> Row:
    ids: dict[tuple[str, int], list[str]] = {}
    for cell in cells:
        ids.setdefault((cell["topic"], cell["seed"]), []).append(cell["id"])
    present = {key: [record for name in names if (record := read[name]) is not None] for key, names in ids.items()}
    whole = {key: put_together(records) for key, records in present.items() if len(records) == len(ids[key])}
    there = {key: records[0] for key, records in whole.items() if len(records) == 1}
    missing = frozenset(name for names in ids.values() for name in names if read[name] is None)
    system = cells[0]["system"]
    # What is made up is never set beside the paper's number, nor is what is judged on other lists.
    paper = None if corpus["synthetic"] or corpus.get("folds") else study.published(system, corpus["benchmark"])
    topics, seeds = (list(dict.fromkeys(cell[key] for cell in cells)) for key in ("topic", "seed"))
    return Row(label, system, paper, topics, seeds, there, ids, missing)
