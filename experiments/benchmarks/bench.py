"""`make bench`: ratios of speeds, each pair measured side by side in one run on one machine.

Reading through the streamed store against plain reads by as many threads; opening many shards; a stream's memory against a
corpus' size; the index of a million videos; `Trainer.fit` through the data module, with either store, against a bare loop
over the same network on an epoch's batches that stay in memory; MINI-Net's network at the batch of its released code,
beside what that code moved. Each row is printed and saved as it is measured.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from highlight_lit.config.run_identity import as_plain
from highlight_lit.data.batch import Bags
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.files import write_json
from highlight_lit.installation import environment
from highlight_lit.launch import composed
from highlight_lit.text import say
from highlight_lit.training.module import HighlightModule
from highlight_lit.training.step.compiled import compiled
from highlight_lit.training.train import make_data, make_module
from highlight_lit.training.trainer import quiet_lightning

from . import bench_data
from .roofline import synchronize

CPU = torch.device("cpu")
FIT_S = 4.0  # that a measured fit takes at most, on any machine, unless two epochs take longer


class _Clock(pl.Callback):
    """Seconds between the first and the last batch of a fit."""

    def on_train_start(self, *_: Any) -> None:
        self.started = time.perf_counter()

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        synchronize(trainer.strategy.root_device)
        self.seconds = time.perf_counter() - self.started


Row = tuple[str, dict[str, Any]]


def main() -> int:
    """Measure, print and save each row as it is measured; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="each pair is measured this often, turn about")
    parser.add_argument(
        "--epochs", type=int, default=10, help=f"of each measured fit, fewer where they take over {FIT_S:g} s"
    )
    parser.add_argument("--megabytes", type=int, default=2000, help="of the larger corpus; the smaller has a tenth")
    parser.add_argument("--widths", default="512,128", help="of the synthetic features; 2048,2048 as UMT's are")
    parser.add_argument("--only", choices=("data",), help="data: reading, opening, memory and index alone")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/bench.json"))
    options = parser.parse_args()
    if options.megabytes < 1000:
        parser.error("--megabytes: expected at least 1000: reading is measured beyond the first batches of an epoch")
    quiet_lightning()
    began = time.monotonic()
    header = {"when": datetime.now(UTC).date().isoformat(), "environment": environment()}
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        steps = [*data_rows(Path(folder), options), *([] if options.only else fit_rows(Path(folder), options))]
        for number, step in enumerate(steps, 1):
            name, row = step()
            numbers = ", ".join(f"{key} {value:,.3f}" for key, value in row.items() if isinstance(value, float))
            say(f"[{number}/{len(steps)}, {time.monotonic() - began:.0f} s] {name}: {numbers}")
            rows[name] = row
            write_json(options.out, {**header, "seconds": time.monotonic() - began, "rows": rows})
    say(f"saved in {options.out}")
    return 0


def data_rows(folder: Path, options: argparse.Namespace) -> list[Callable[[], Row]]:
    """What measures each row about the data layer, in order."""

    def large() -> Row:
        bench_data.write_large(folder / "large", options.megabytes)
        return "reading against plain reads", bench_data.reading(folder / "large", 1, options.rounds)

    def two_threads() -> Row:
        return "reading against plain reads, 2 threads", bench_data.reading(folder / "large", 2, options.rounds)

    def many() -> Row:
        bench_data.write_large(folder / "many", options.megabytes // 2, shard_bytes=10**6)
        return "opening many shards", bench_data.opening(folder / "many", 3)

    def many_read() -> Row:
        rounds = min(3, options.rounds)  # each opens all of them anew
        return "reading from many shards", bench_data.reading(folder / "many", 1, rounds)

    def memory() -> Row:
        bench_data.write_large(folder / "small", options.megabytes // 10)
        small, large = (bench_data.peak_memory(folder / name) for name in ("small", "large"))
        name = "peak MiB of a stream, corpus 10 times larger"
        return name, {"small": small, "large": large, "ratio": large / small}

    def index() -> Row:
        return "index", bench_data.index(folder / "index", 1_000_000)

    return [large, two_threads, many, many_read, memory, index]


def fit_rows(folder: Path, options: argparse.Namespace) -> list[Callable[[], Row]]:
    """What measures each row about training, in order."""
    Dv, Da = (int(width) for width in options.widths.split(","))

    def fit(store: str) -> Row:
        root = folder / "corpus"
        if not root.exists():
            synthesize(root, Plan(topics=2, videos=160, Dv=Dv, Da=Da))
        result = fit_against_bare_loop(root, options.epochs, options.rounds, store, longest=FIT_S)
        return f"fit against a bare loop, {store}", {**result, "widths": [Dv, Da]}

    def other_network() -> Row:
        bench_data.write_bags(folder / "bags", videos=4096)
        return "MINI-Net's network, 1024 pairs of 60 clips", mini_net(folder / "bags", 1)

    return [partial(fit, "resident"), partial(fit, "stream"), other_network]


def mini_net(root: Path, rounds: int) -> dict[str, float]:
    """Clips a second of the network of MINI-Net, streamed from shards, on 2 threads, and how many times the reference.

    The reference is none of ours to measure again here: the released training loop, its own loader and network, moved
    this many on two cores of a machine of the same kind.
    """
    threads, reference = torch.get_num_threads(), 7.7e3
    torch.set_num_threads(2)
    overrides = ("model=mini_net", "data.rule=tag", "data.pairs=1024", "tau=60")
    result = fit_against_bare_loop(root, 1, rounds, "stream", *overrides)
    torch.set_num_threads(threads)
    return {**result, "threads": 2, "released loop (outside reference)": reference, "times": result["fit"] / reference}


def run_of(root: Path, *overrides: str) -> tuple[dict[str, Any], HighlightData, HighlightModule]:
    """The configuration of a run on a corpus, and what `train` makes of it."""
    config, corpus = as_plain(composed("config", ["data.root=.", *overrides])), Corpus(root)
    config["data"]["root"] = str(root)  # set afterwards: no word of Hydra's, whatever it is called
    data, module = make_data(config, corpus), make_module(config, corpus)
    if config["compile"]:
        module.objective = compiled()
    return config, data, module


def fit_against_bare_loop(
    root: Path,
    epochs: int,
    rounds: int,
    store: str,
    *overrides: str,
    device: torch.device = CPU,
    longest: float = math.inf,
) -> dict[str, float]:
    """Clips a second of both, medians over rounds, and the median and quartiles of the rounds' ratios.

    A fit has so many epochs, or at least two in the `longest` seconds that it may take.
    """
    config, data, module = run_of(root, f"topic={Corpus(root).topics[0]}", f"data.store={store}", *overrides)
    module.fit_statistics(data.statistics())
    where = device, config["trainer"]["precision"]
    batches = list(data.train_dataloader())
    if longest < math.inf:
        fit(module, data, 1, *where)
        epochs = min(epochs, max(2, int(2 * longest / fit(module, data, 2, *where))))
    clips = epochs * 2 * data.plan.pairs_an_epoch * config["tau"]
    pairs = [(fit(module, data, epochs, *where), _bare(module, batches, epochs, *where)) for _ in range(rounds + 1)][1:]
    fitted, bare = (statistics.median(clips / seconds for seconds in side) for side in zip(*pairs, strict=True))
    low, ratio, high = np.quantile([bare_s / fit_s for fit_s, bare_s in pairs], [0.25, 0.5, 0.75]).tolist()
    return {"fit": fitted, "bare loop": bare, "ratio": ratio, "lower quartile": low, "upper quartile": high}


def fit(
    module: HighlightModule, data: HighlightData, epochs: int, device: torch.device = CPU, precision: Any = "32-true"
) -> float:
    """Seconds of a fit, without what comes before the first step."""
    clock = _Clock()
    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    options |= {"accelerator": "cpu" if device.type == "cpu" else "gpu", "precision": precision}
    trainer = pl.Trainer(max_epochs=epochs, devices=1, callbacks=[clock], enable_model_summary=False, **options)
    trainer.fit(module, data)
    return clock.seconds


def optimizer_of(module: HighlightModule) -> torch.optim.Optimizer:
    """A module's optimizer, made anew, without its schedule."""
    configured = module.configure_optimizers()
    optimizer: torch.optim.Optimizer = configured["optimizer"] if isinstance(configured, dict) else configured
    return optimizer


def _bare(module: HighlightModule, batches: Sequence[Bags], epochs: int, device: torch.device, precision: str) -> float:
    """The same network, loss and optimizer in the plainest loop, over an epoch's batches that stay in memory."""
    network, loss, optimizer = module.network.to(device).train(), module.loss, optimizer_of(module)
    batches = [Bags._make(part if part is None else part.to(device) for part in batch) for batch in batches]
    synchronize(device)
    started = time.perf_counter()
    for batch in epochs * batches:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            parts = module.objective(network, loss, batch)
        parts["loss"].backward()
        optimizer.step()
    synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
