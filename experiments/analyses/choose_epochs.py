"""How long to train, chosen without a clip label: the loss on training videos that were held out.

    python -m experiments.analyses.choose_epochs --corpus DIR [--epochs 50] [--draws 3] [Hydra overrides]

For each topic, and N times over (`--draws N`), an N-th of the training videos of the weak label rule is held out by
`data.validation`, drawn by the seed: repeated random hold-outs, not a partition. The table shows `val/loss` and
`val/bag_accuracy` by epoch, means over topics and draws. Validation lists and clip labels are never opened in training.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from highlight_lit.config.run_identity import as_plain
from highlight_lit.data.corpus import Corpus
from highlight_lit.launch import composed
from highlight_lit.training.train import train
from highlight_lit.untrusted.checkpoint_file import LAST_CHECKPOINT, read_checkpoint


def main() -> int:
    """Print the table; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--every", type=int, default=10, help="epochs between two looks")
    parser.add_argument("--draws", type=int, default=3, metavar="N", help="random hold-outs of one video in N")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    curves: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for topic in Corpus(options.corpus).topics:
        for draw in range(options.draws):
            words = [f"seed={draw}", *options.overrides,
                     f"data.validation={1 / options.draws}", f"trainer.max_epochs={options.epochs}",
                     f"trainer.check_val_every_n_epoch={options.every}", "logger=none"]  # fmt: skip
            for epoch, value in held_out_curve(options.corpus, topic, words).items():
                curves[epoch].append(value)
    print("epochs  held-out loss  accuracy")
    for epoch, values in curves.items():
        loss, accuracy = np.mean(values, axis=0)
        print(f"{epoch:6d}  {loss:13.3f}  {accuracy:8.3f}")
    return 0


def held_out_curve(corpus: Path, topic: str, words: list[str]) -> dict[int, tuple[float, float]]:
    """Loss and accuracy on the held-out videos by epoch, of one run."""
    config = as_plain(composed("config", ["data.root=.", "topic=topic", *words]))
    config["topic"], config["data"]["root"] = topic, str(corpus)  # names, and no words of Hydra's
    with tempfile.TemporaryDirectory() as out:
        record = train({**config, "out": out})
        history = read_checkpoint(Path(out) / record["id"] / LAST_CHECKPOINT)["progress"]["history"]
    looked = [entry for entry in history if "val/loss" in entry]
    return {entry["epoch"] + 1: (entry["val/loss"], entry["val/bag_accuracy"]) for entry in looked}


if __name__ == "__main__":
    sys.exit(main())
