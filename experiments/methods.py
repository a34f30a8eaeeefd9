"""Table 4's layout on any labelled corpus: methods by topics, under each definition of its benchmark.

`python -m experiments.methods --corpus DIR --out FOLDER` writes `NAME.json` (every value of every seed), `NAME.csv` and
`NAME.md`. Methods that draw run with several seeds and carry the 95 % interval of their mean. Networks of the trainer
run through it, in FOLDER/runs; what is done there is not done again.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from highlight_lit.config.run_identity import as_plain
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.topics.weak_labels import RULES
from highlight_lit.data.video import MODALITIES
from highlight_lit.errors import InputError, command
from highlight_lit.evaluation import levels
from highlight_lit.evaluation.benchmarks import measured
from highlight_lit.evaluation.intervals import t_interval
from highlight_lit.evaluation.judge import benchmark_of, labelled_videos
from highlight_lit.evaluation.report import or_none
from highlight_lit.evaluation.to_segments import to_segments
from highlight_lit.files import write_json, write_text
from highlight_lit.installation import environment
from highlight_lit.launch import composed
from highlight_lit.markup import in_markdown
from highlight_lit.methods import METHODS, Method, find, videos_for
from highlight_lit.text import ArgumentParser, say, shown
from highlight_lit.training.train import train

# Networks of the trainer that belong in the table: title by the option of conf/model.
NETWORKS = {"lim": "LIM", "mini_net": "MINI-Net", "highlight_net": "This network"}
Values = dict[str, dict[str, float | None]]  # by measure, by topic
GROUPS = {
    "none": "No supervision, no training",
    "unsupervised": "Unsupervised",
    "topic tags": "Weakly supervised: topic tags",
    "weak": "Weakly supervised: tags and durations",
    "full": "Supervised by the training list's clip labels",
    "levels": "Levels",
}


class MethodsTable:
    """Runs methods on a corpus and holds what they reach.

    Args:
        corpus: The corpus.
        topics: Of it, those to run.
        modality, rule, training: As for `highlight_lit.methods.score`.
        seeds: Of a method that draws; the others run once.
        out: Folder of the trainer's runs.
    """

    def __init__(
        self, corpus: Corpus, topics: Sequence[str], modality: str, rule: str, training: str, seeds: int, out: Path
    ) -> None:
        self.corpus, self.topics, self.seeds, self.out = corpus, list(topics), seeds, out
        self.options = {"modality": modality, "rule": rule, "training": training}
        self.videos = labelled_videos(corpus, topics)
        self.benchmark = benchmark_of(corpus, self.videos)
        self.rows: list[dict[str, Any]] = []
        self.environment = environment()  # before anything runs: the code that made the numbers
        self._views: dict[tuple[str, bool], Any] = {}

    def levels(self) -> None:
        """Add chance, the middle of the video and the annotators."""
        chance = levels.chance(self.benchmark, self.videos)
        values: Values = {
            name: {topic: or_none(spread.mean) for topic, spread in measure.topics.items()}
            for name, measure in chance.measures.items()
        }
        self._add("chance", "Chance", "levels", [values], 0.0)
        others = (("middle", "Middle of the video", levels.middle), ("annotators", "Annotators", levels.annotators))
        for name, title, level in others:
            report = level(self.benchmark, self.videos)
            values = {m: {t: or_none(v) for t, v in measure.topics.items()} for m, measure in report.measures.items()}
            self._add(name, title, "levels", [values], 0.0)

    def method(self, method: Method) -> None:
        """Run a method of `highlight_lit.methods`, topic after topic."""
        started = time.process_time()
        seeds: list[Values] = [{} for _ in range(self.seeds if method.random else 1)]
        for topic in self.topics:
            videos = self._view(method, topic)
            for seed, values in enumerate(seeds):
                scores = method.score(videos, seed)
                clips = {v.id: (v.span, clip_scores) for v, clip_scores in zip(videos.evaluation, scores, strict=True)}
                labelled = [video for video in self.videos if video.topic == topic]
                segments = {v.id: to_segments(*clips[v.id], v.span) for v in labelled}
                for name, of_measure in measured(self.benchmark, labelled, segments).measures.items():
                    values.setdefault(name, {})[topic] = or_none(of_measure.topics[topic])
        self._add(method.name, method.title, method.supervision, seeds, time.process_time() - started)

    def _view(self, method: Method, topic: str) -> Any:
        """What a method may see of a topic, read once for all methods that may see the same."""
        key = (topic, method.supervision == "full")
        if key not in self._views:
            self._views[key] = videos_for(method, self.corpus, topic, **self.options)
        return self._views[key]

    def network(self, name: str) -> None:
        """Train a network of the trainer with each seed, topic after topic; its seconds are those of the records."""
        seconds = 0.0
        seeds: list[Values] = [{} for _ in range(self.seeds)]
        for topic in self.topics:
            for seed, values in enumerate(seeds):
                record = self._train(name, topic, seed)
                seconds += record["seconds"]
                for measure, report in record["evaluation"]["measures"].items():
                    values.setdefault(measure, {})[topic] = report["topics"][topic]
        self._add(name, NETWORKS[name], "weak", seeds, seconds)

    def _train(self, name: str, topic: str, seed: int) -> dict[str, Any]:
        words = [f"model={name}", "topic=topic", f"seed={seed}", "data.root=.",
                 f"modality={self.options['modality']}", f"data.rule={self.options['rule']}",
                 f"data.training={self.options['training']}", "logger=none", "trainer.enable_progress_bar=false",
                 "evaluate.draws=2", f"evaluate.empty={self.benchmark.empty}"]  # fmt: skip
        config = as_plain(composed("config", words))
        # Set afterwards: a name from a corpus is text, and no word of Hydra's.
        config["topic"], config["out"], config["data"]["root"] = topic, str(self.out), str(self.corpus.root)
        return train(config)

    def _add(self, name: str, title: str, supervision: str, seeds: list[Values], seconds: float) -> None:
        row = {"name": name, "title": title, "supervision": supervision, "seconds": round(seconds, 1), "seeds": seeds}
        self.rows.append(row)
        mean, _ = _average(row, self.benchmark.primary.name)
        say(
            f"{title}: {self.benchmark.primary.name} {mean} over {len(seeds)} seed(s), {seconds:.0f} s", file=sys.stderr
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "corpus": {"name": self.corpus.manifest["name"], "fingerprint": self.corpus.fingerprint},
            "benchmark": self.benchmark.name,
            "empty": self.benchmark.empty,
            "videos": len(self.videos),
            "topics": self.topics,
            "options": self.options,
            "environment": self.environment,
            "measures": {measure.name: measure.description for measure in self.benchmark.measures},
            "rows": self.rows,
        }


def cell(values: Sequence[float | None]) -> str:
    """Points: the mean over seeds, with half the width of its 95 % interval where there are several."""
    present = [100 * value for value in values if value is not None]
    if len(present) < len(values) or not present:
        return "-"
    if len(present) == 1:
        return f"{present[0]:.1f}"
    interval = t_interval(present)
    return f"{interval.mean:.1f} ± {(interval.high - interval.low) / 2:.1f}"


def _average(row: dict[str, Any], measure: str) -> tuple[str, list[float | None]]:
    """Mean over topics of each seed, recomputed from the cells: as a cell, and the numbers."""
    means: list[float | None] = []
    for seed in row["seeds"]:
        values = list(seed[measure].values())
        means.append(None if None in values else float(np.mean(values)))
    return cell(means), means


def _cells(table: dict[str, Any], measure: str) -> Iterator[tuple[str, list[str]]]:
    """Group, and the cells of a line: title, topics, average, seconds."""
    for group in GROUPS:
        for row in table["rows"]:
            if row["supervision"] == group:
                topics = [cell([seed[measure][topic] for seed in row["seeds"]]) for topic in table["topics"]]
                seconds = "" if group == "levels" else f"{row['seconds']:.0f}"
                yield group, [row["title"], *topics, _average(row, measure)[0], seconds]


def markdown(table: dict[str, Any]) -> str:
    """The table under each definition, a section each."""
    several = max(len(row["seeds"]) for row in table["rows"])
    options = " ".join(f"--{name} {value}" for name, value in table["options"].items())
    seeds = f"0 to {several - 1}" if several > 1 else "0"
    corpus = in_markdown(table["corpus"]["name"])
    lines = [
        f"# Methods on {corpus}",
        "",
        f"    python -m experiments.methods --corpus CORPUS {options} --seeds {several}",
        "",
        f"CORPUS is {corpus}, fingerprint {table['corpus']['fingerprint']}: {table['videos']} labelled "
        f"videos of {len(table['topics'])} topics. Commit {table['environment']['commit'] or 'unknown'}, torch "
        f"{table['environment']['torch']}, {table['environment']['device']}, {table['environment']['threads']} thread(s). "
        f"Points; the average is over topics, recomputed from the cells. Methods that draw: seeds {seeds}, mean ± half of "
        "its 95 % interval (Student's t); the others give one value. Seconds: of all topics and seeds, on the CPU for a "
        "method, by the clock in training for a network of the trainer.",
    ]
    for measure, description in table["measures"].items():
        lines += ["", f"## {measure}", "", f"{description}.", ""]
        lines += ["| method | " + " | ".join([*map(in_markdown, table["topics"]), "average", "seconds"]) + " |"]
        lines += ["|---" * (len(table["topics"]) + 3) + "|"]
        last = None
        for group, cells in _cells(table, measure):
            if group != last:
                lines.append(f"| **{GROUPS[group]}** |" + " |" * (len(table["topics"]) + 2))
                last = group
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def as_csv(table: dict[str, Any]) -> str:
    """One line a measure, method, seed and topic; the topic `average` is the mean over topics."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["measure", "method", "supervision", "seed", "topic", "value"])
    for measure in table["measures"]:
        for row in table["rows"]:
            for seed, (values, mean) in enumerate(zip(row["seeds"], _average(row, measure)[1], strict=True)):
                for topic, value in [*values[measure].items(), ("average", mean)]:
                    number = "" if value is None else f"{value:.6f}"
                    writer.writerow([measure, row["name"], row["supervision"], seed, shown(topic), number])
    return text.getvalue()


def run(table: MethodsTable, names: Sequence[str], out: Path, name: str) -> None:
    """Run methods and networks, cheapest kinds first, and write what is done after each."""
    table.levels()
    for method_name in names:
        if method_name in NETWORKS:
            table.network(method_name)
        else:
            table.method(find(method_name))
        done = table.to_dict()
        write_json(out / f"{name}.json", done)
        write_text(out / f"{name}.csv", as_csv(done))
        write_text(out / f"{name}.md", markdown(done))


@command("methods")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--name", help="of the files (default: that of the corpus' folder)")
    parser.add_argument("--topics", nargs="+")
    parser.add_argument("--methods", nargs="+", default=[*METHODS, *NETWORKS], metavar="NAME")
    parser.add_argument("--modality", default="visual", choices=tuple(MODALITIES))
    parser.add_argument("--rule", default="duration", choices=tuple(RULES))
    parser.add_argument("--training", default="lists", choices=("lists", "transductive"))
    parser.add_argument("--seeds", type=int, default=5, help="of a method that draws (default: 5)")
    options = parser.parse_args(arguments)
    corpus = Corpus(options.corpus)
    topics = options.topics or corpus.topics
    unknown = [name for name in options.methods if name not in NETWORKS and name not in METHODS]
    if unknown or options.seeds < 1:
        raise InputError(f"--methods {' '.join(unknown)} --seeds {options.seeds}: unknown, or fewer than one seed")
    torch.set_num_threads(1)
    table = MethodsTable(
        corpus, topics, options.modality, options.rule, options.training, options.seeds, options.out / "runs"
    )
    run(table, options.methods, options.out, options.name or options.corpus.resolve().name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
