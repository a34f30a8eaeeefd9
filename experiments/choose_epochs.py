"""How long to train, chosen without a clip label: the loss on training videos that were held out.

    python -m experiments.choose_epochs --corpus DIR [--epochs 50] [--draws 3] [Hydra overrides]

For each topic, and N times over (`--draws N`), a random N-th of the training videos of the weak label rule is held out;
each time is drawn by itself, so that two may hold out the same video: repeated random hold-outs, not a partition. A network
trained on the others (features standardised over all of them) says of each held-out video, whole, whether it is a
positive. The table shows binary cross entropy and accuracy by epoch, each class counting half, means over topics and
draws. Validation lists and clip labels are never opened.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray

from highlight_lit.config import CONFIG_DIR, plain
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.sampling import Draw, EpochPlan
from highlight_lit.data.stores import Store
from highlight_lit.training.module import HighlightModule
from highlight_lit.training.train import make_data, make_module

Videos = NDArray[np.intp]
MOST_HELD_OUT = 60  # negatives of a draw that are looked at


def main() -> int:
    """Print the table; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--every", type=int, default=10, help="epochs between two looks")
    parser.add_argument("--draws", type=int, default=3, metavar="N", help="random hold-outs of one video in N")
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    corpus = Corpus(options.corpus)
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for topic in corpus.topics:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = plain(compose("config", ["data.root=.", "topic=topic", *options.overrides]))
        config["topic"], config["data"]["root"] = topic, str(options.corpus)  # text, and no words of Hydra's
        for draw in range(options.draws):
            curve = held_out_curve({**config, "seed": draw}, corpus, draw, options.draws, options.epochs, options.every)
            for epoch, value in curve.items():
                found[epoch].append(value)
    print("epochs  held-out BCE  accuracy")
    for epoch, values in found.items():
        loss, accuracy = np.mean(values, axis=0)
        print(f"{epoch:6d}  {loss:12.3f}  {accuracy:8.3f}")
    return 0


def held_out_curve(
    config: dict[str, Any], corpus: Corpus, draw: int, share: int, epochs: int, every: int
) -> dict[int, tuple[float, float]]:
    """Held-out binary cross entropy and accuracy by epoch, of one topic and draw."""
    data = make_data(config, corpus)
    module = make_module(config, corpus)
    generator = np.random.default_rng(draw)
    held, kept = [], []
    for videos in (data.positive, data.negative):
        shuffled = generator.permutation(videos)
        held.append(shuffled[draw::share])
        kept.append(np.setdiff1d(videos, held[-1]))
    module.fit_statistics(data.statistics())
    plan = EpochPlan(corpus.clips, *kept, tau=config["tau"], pairs=config["data"]["pairs"], seed=draw)
    curve = {}
    for epoch in trained(module, data.store, plan, epochs):
        if epoch % every == 0:
            curve[epoch] = _judge(module, data.store, corpus, held[0], held[1][:MOST_HELD_OUT])
    return curve


def trained(module: HighlightModule, store: Store, plan: EpochPlan, epochs: int) -> Iterator[int]:
    """Train without a trainer around it, for as long as the next epoch is asked for; how many are done, from 1."""
    made = module.configure_optimizers()
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    for epoch in range(epochs):
        module.train()
        for bags in store.batches(plan.draws(epoch), plan.tau):
            optimizer.zero_grad()
            module.loss(module(bags), bags.label, bags.mask)["loss"].backward()
            optimizer.step()
        module.eval()
        yield epoch + 1


@torch.inference_mode()
def _judge(
    module: HighlightModule, store: Store, corpus: Corpus, positive: Videos, negative: Videos
) -> tuple[float, float]:
    """Binary cross entropy and accuracy on whole videos, each class counting half."""
    losses, hits = [], []
    for label, videos in ((1.0, positive), (0.0, negative)):
        whole = [
            store.bags(Draw(np.array([v]), np.zeros(1, np.int64), positive=0), int(corpus.clips[v])) for v in videos
        ]
        z_hat = torch.cat([module(bags).z_hat for bags in whole])
        losses.append(float(F.binary_cross_entropy_with_logits(z_hat, torch.full_like(z_hat, label))))
        hits.append(float(((z_hat > 0) == bool(label)).float().mean()))
    return sum(losses) / 2, sum(hits) / 2


if __name__ == "__main__":
    sys.exit(main())
