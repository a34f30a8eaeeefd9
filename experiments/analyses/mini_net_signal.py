"""What MINI-Net learns of a planted signal: one that lies in the visual stream, and one that lies in the two streams' product.

    python -m experiments.analyses.mini_net_signal

Synthetic corpora of two topics, 48 videos each (14 training positives), with one thing planted: a strong shift of the
highlights in the visual stream (`visual`), or the relation of visual and audio (`product`), beside their usual noise and
distractors. Networks are 32 wide and see 16 pairs a step. The table shows the area under the ROC curve of the highlights'
clips in the validation videos of the first topic, mean over videos, for each of two seeds, by steps of training.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from highlight_lit.data import synthetic
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.sampling import EpochPlan
from highlight_lit.data.stores import Store
from highlight_lit.inference.detector import Detector
from highlight_lit.training.module import HighlightModule

from ..benchmarks.bench import optimizer_of, run_of
from .settle_methods import area, constants

TOPIC = synthetic.topic_name(0)
PLANTED = {"visual": {"visual": 4.0, "audio": 0.0}, "product": {"visual": 0.0, "audio": 0.0}}  # cues of a stream alone
PLAN = synthetic.Plan(topics=2, videos=48, rank=2, Dv=12, Da=8, seed=2)  # a seed whose topics have opposite cues
STEPS = (10, 50, 150, 300)
ROWS = (  # what is planted, the network, and what to set for it
    ("visual", "MINI-Net, visual alone", ("model=mini_net", "modality=visual")),
    ("visual", "MINI-Net, both streams", ("model=mini_net",)),
    ("visual", "MINI-Net, both streams, without its ranking loss", ("model=mini_net", "loss=bce")),
    ("product", "MINI-Net, both streams", ("model=mini_net",)),
    ("product", "this network, low-rank fusion", ("fusion=low_rank",)),
)


def planted(root: Path, cue: str) -> Corpus:
    """A corpus with one thing planted, made if it is not there."""
    if not root.exists():
        with constants(synthetic, {"CUES": PLANTED[cue]}):
            synthetic.synthesize(root, PLAN)
    return Corpus(root)


def areas(corpus: Corpus, overrides: Sequence[str], seed: int, steps: Sequence[int]) -> list[float]:
    """Area under the ROC curve of the validation videos' highlights after so many steps, in [0, 1]."""
    config, data, module = run_of(
        corpus.root, f"topic={TOPIC}", f"seed={seed}", "data.pairs=16", "model.d=32", *overrides
    )
    module.fit_statistics(data.statistics())
    detector = Detector(module.network, TOPIC, {name: corpus.streams[name] for name in config["streams"]}, Path())
    epochs = trained(module, data.store, data.plan, max(steps))  # an epoch of so few positives is one step
    return [_area(corpus, detector) for step in epochs if step in steps]


def _area(corpus: Corpus, detector: Detector) -> float:
    areas_of_videos = []
    for video, z in detector.score_corpus(corpus, corpus.evaluation_videos(TOPIC)).items():
        labels = corpus.labels(video)
        assert labels is not None
        highlight = labels.score[:, 0] > 0
        areas_of_videos.append(area(z[highlight], z[~highlight]))
    return float(np.mean(areas_of_videos))


def main() -> int:
    """Print the table; returns an exit status."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    print("| planted in | network | " + " | ".join(f"{step} steps" for step in STEPS) + " |")
    print("|---" * (len(STEPS) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for cue, title, overrides in ROWS:
            corpus = planted(Path(folder) / cue, cue)
            seeds = [areas(corpus, overrides, seed, STEPS) for seed in range(2)]
            cells = [", ".join(f"{100 * value:.0f}" for value in column) for column in zip(*seeds, strict=True)]
            print(f"| {cue} | {title} | " + " | ".join(cells) + " |", flush=True)
    return 0


def trained(module: HighlightModule, store: Store, plan: EpochPlan, epochs: int) -> Iterator[int]:
    """Train without a trainer around it, for as long as the next epoch is asked for; how many are done, from 1."""
    optimizer = optimizer_of(module)
    for epoch in range(epochs):
        module.train()
        for bags in store.batches(plan.draws(epoch), plan.tau):
            optimizer.zero_grad()
            module.loss(module(bags), bags.label, bags.mask)["loss"].backward()
            optimizer.step()
        module.eval()
        yield epoch + 1


if __name__ == "__main__":
    sys.exit(main())
