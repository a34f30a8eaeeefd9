"""`highlight-lit demo`: from nothing to a trained detector, a table and a figure, by the commands a user types.

They run in this one process: each of its own would spend most of its time on importing.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.special

from highlight_lit import cli
from highlight_lit.data.corpus import Corpus
from highlight_lit.evaluation.scores_csv import read_scores
from highlight_lit.runs.ledger import records
from highlight_lit.text import ArgumentParser

from .reproduce.figures import score_curves

TOPIC = "topic01"
SYSTEMS = {"av": "both streams", "visual": "visual alone", "audio": "audio alone"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; returns an exit status."""
    parser = ArgumentParser(prog="highlight-lit demo", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"), help="to work in (default: demo)")
    parser.add_argument("--command", default="highlight-lit", help="how the last lines call highlight-lit")
    options = parser.parse_args(arguments)
    corpus, runs = options.folder / "corpus", options.folder / "runs"
    if not (corpus / "manifest.json").is_file():
        shutil.rmtree(corpus, ignore_errors=True)
        _call("synthesize", str(corpus))
    settings = ["trainer.max_epochs=60", "data.pairs=32", "logger=none"]
    cell = [f"data.root={corpus}", f"topic={TOPIC}", *settings, f"out={runs}"]
    _call("train", *cell, "fusion=low_rank")
    _call("train", "-m", *cell, "modality=visual,audio")
    table(runs)
    figure = options.folder / "scores.png"
    draw(corpus, runs, figure)
    print(f"\nA video's scores over its true highlights: {figure}")
    print("\nNext, several seeds of all topics, with their spread:\n")
    print(f"  {options.command} train -m data.root={corpus} topic=topic01,topic02,topic03 seed=0,1,2 "
          f"fusion=low_rank {' '.join(settings)} out={runs}\n")  # fmt: skip
    return 0


def _call(*words: str) -> None:
    """Run `highlight-lit` with these words; what stops it ends the demonstration with its status."""
    print(f"$ highlight-lit {' '.join(map(shlex.quote, words))}", flush=True)
    if status := cli.main(words):
        sys.exit(status)


def table(runs: Path) -> None:
    """Print mAP of each modality beside chance and the ceiling."""
    by_modality = {record["modality"]: record["evaluation"] for record in records(runs) if record["status"] == "done"}
    name = by_modality["av"]["primary"]
    chance = by_modality["av"]["levels"]["chance"]["measures"][name]
    rows = [(label, by_modality[modality]["measures"][name]["mean"]) for modality, label in SYSTEMS.items()]
    rows += [
        ("chance", chance["mean"]),
        ("middle of the video", by_modality["av"]["levels"]["middle"]["measures"][name]["mean"]),
    ]
    rows += [("annotators (ceiling)", by_modality["av"]["levels"]["annotators"]["measures"][name]["mean"])]
    videos = by_modality["av"]["measures"][name]["n_videos"]
    print(f"\n{TOPIC}, {videos} videos, mAP ({name}) in percent\n")
    for label, value in rows:
        print(f"  {label:22} {100 * value:5.1f}  {'#' * round(40 * value)}")


def draw(corpus_dir: Path, runs: Path, figure: Path) -> None:
    """Draw the scores of the first validation video longer than a minute over its true highlights."""
    corpus = Corpus(corpus_dir)
    video = next(int(v) for v in corpus.evaluation_videos(TOPIC) if corpus.duration[v] > 60)
    name = corpus.ids[video].decode()
    labels = corpus.labels(video)
    assert labels is not None
    curves = []
    for record in sorted(records(runs), key=lambda record: list(SYSTEMS).index(record["modality"])):
        scores = read_scores(runs / record["id"] / "scores.csv")[name]
        curves.append((SYSTEMS[record["modality"]], scores.span, scipy.special.expit(scores.ranking)))
    true = labels.span[labels.score[:, 0] > 0]
    border = np.flatnonzero(true[1:, 0] > true[:-1, 1]) + 1
    runs_of = [(part[0, 0], part[-1, 1]) for part in np.split(true, border)]
    score_curves(figure, f"{name} of {TOPIC}", curves, np.array(runs_of))


if __name__ == "__main__":
    sys.exit(main())
