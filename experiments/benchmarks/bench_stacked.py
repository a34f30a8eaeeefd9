"""Cells of a sweep one by one, and the same cells stacked (`hydra/launcher=stacked`): seconds of both, in one run.

    python -m experiments.benchmarks.bench_stacked [--topics 10] [--seeds 5] [SET ...]

A synthetic corpus, or one of one's own (`--corpus DIR`), whose topics are all trained with each seed. `SET` are overrides of
`highlight-lit train`, such as trainer.max_epochs=200 data.pairs=16 tau=10. Each way is one command with a folder of its own;
training is what the records say of it, the command is all that its user waits for, and
processor what that takes of the CPU's time, whatever else the machine does. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.runs.ledger import records

WAYS = {"one by one": [], "stacked": ["hydra/launcher=stacked", "hydra.launcher.cpu=always"]}


def measured(corpus: Path, out: Path, seeds: int, words: Sequence[str]) -> dict[str, float]:
    """Seconds of the training and of the whole command, and the mean of the main measure."""
    topics = ",".join(Corpus(corpus).topics)
    command = [sys.executable, "-m", "highlight_lit", "train", "-m", f"data.root={corpus}", f"out={out}", f"topic={topics}",
               f"seed={','.join(map(str, range(seeds)))}", "logger=none", "trainer.enable_progress_bar=false", *words]  # fmt: skip
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    whole, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    done = list(records(out))
    evaluations = [record["evaluation"] for record in done if "evaluation" in record]
    measures = [evaluation["measures"][evaluation["primary"]]["mean"] for evaluation in evaluations]
    return {
        "cells": len(done),
        "stacked": max(record.get("stacked", 1) for record in done),
        "training": round(sum(record["seconds"] for record in done), 2),
        "command": round(whole, 2),
        "processor": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "measure": round(100 * sum(measures) / max(1, len(measures)), 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="a corpus; left out: a synthetic one, 512 and 128 wide")
    parser.add_argument("--topics", type=int, default=10, help="of the synthetic corpus")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("set", nargs="*", metavar="SET", help="overrides of highlight-lit train")
    options = parser.parse_intermixed_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        corpus = options.corpus or Path(folder, "corpus")
        if options.corpus is None:
            synthesize(corpus, Plan(topics=options.topics, videos=60, Dv=512, Da=128))
        by_way = {
            way: measured(corpus, Path(folder, way), options.seeds, [*options.set, *words])
            for way, words in WAYS.items()
        }
    alone, stacked = by_way.values()
    ratio = {
        f"times faster, {part}": round(alone[part] / stacked[part], 2) for part in ("training", "command", "processor")
    }
    print(json.dumps({**by_way, **ratio, "set": options.set}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
