"""`make bench-gpu`: the paper's training on one CUDA device, beside what that device can do at most.

A corpus of the paper's size is synthesized on disk: 25 topics of 1.4 thousand short videos, and long ones for
negatives. Then: ways to run a step against its floor (`experiments.benchmarks.roofline`); `Trainer.fit` against a bare loop, and
the share of its time in which the device is busy; in the fastest setting, the streamed store against the slowest of a
bare loop, a pinned copy to the device and plain reads, and every topic trained from shards to record.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.profiler import DeviceType, ProfilerActivity, profile

from highlight_lit.data.batch import Bags
from highlight_lit.data.corpus import write_manifest
from highlight_lit.data.shards import ShardWriter
from highlight_lit.data.video import Labels, Video
from highlight_lit.files import write_json
from highlight_lit.installation import environment
from highlight_lit.launch import composed
from highlight_lit.training.module import HighlightModule
from highlight_lit.training.step.compiled import compiled
from highlight_lit.training.train import train
from highlight_lit.training.trainer import quiet_lightning

from . import bench, bench_data
from .roofline import Ceilings, Count, ceilings, covered, seconds, synchronize

Step = Callable[[], None]
SETTINGS = {
    "bf16, compile": ("trainer.precision=bf16-mixed", "compile=true"),
    "bf16": ("trainer.precision=bf16-mixed",),
    "float32": (),
}
THREADS = 8  # that read, in the streamed store and plainly


@dataclass(frozen=True)
class Size:
    """How large everything is; the defaults are the paper's.

    Attributes:
        topics, short, long: Topics, and short and long videos of each.
        pairs, tau, epochs: Of the training.
        measured, streamed: Epochs of a fit whose speed is measured, with either store.
        square: Side of the matrices whose product is a ceiling.
        megabytes: Of the copy that is the other.
        words: Further overrides of the configuration.
    """

    topics: int = 25
    short: int = 1400
    long: int = 60
    pairs: int = 1024
    tau: int = 60
    epochs: int = 200
    measured: int = 40
    streamed: int = 100
    square: int = 8192
    megabytes: int = 2000
    words: tuple[str, ...] = ("optimizer=paper", "fusion=low_rank")


def main() -> int:
    """Measure, print and save; returns an exit status, 2 without a CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("experiments/results/bench_gpu.json"))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("make bench-gpu: no CUDA device on this machine; expected one", file=sys.stderr)
        return 2
    header = {"when": datetime.now(UTC).date().isoformat(), "environment": environment()}
    rows: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, row in measure(Path(folder), Size(), torch.device("cuda")):
            print(name, ", ".join(f"{key} {value:,.4g}" for key, value in row.items()), sep=": ", flush=True)
            rows[name] = row
            write_json(options.out, {**header, "rows": rows})
    print(f"saved in {options.out}")
    return 0


def measure(folder: Path, size: Size, device: torch.device) -> Iterator[tuple[str, dict[str, float]]]:
    """Each row, by name. On a CPU what only CUDA has is left out: its numbers say nothing, but that the script runs."""
    quiet_lightning()
    root = folder / "corpus"
    write_paper(root, size)
    top = ceilings(device, size.square, size.megabytes)
    yield (
        "ceilings",
        {**{f"{name} a second": rate for name, rate in top.operations.items()}, "bytes a second": top.bytes},
    )
    yield from ways(root, size, device, top)
    settings = {name: words for name, words in SETTINGS.items() if device.type == "cuda" or "compile" not in name}
    for name, words in settings.items():
        overrides = (*_words(size), f"data.readers={THREADS}", *words)
        yield (
            f"fit, resident, {name}",
            bench.fit_against_bare_loop(root, size.measured, 3, "resident", *overrides, device=device),
        )
        yield f"busy, {name}", {"share": busy(root, size, device, *words)}
        if name != next(iter(settings)):
            continue  # what reads and what trains all is measured in the fastest setting alone
        fit = bench.fit_against_bare_loop(root, size.streamed, 2, "stream", *overrides, device=device)
        yield f"fit, stream, {name}", fit
        yield f"stream against the slowest of three, {name}", slowest(root, size, device, fit)
        yield f"whole training, {name}", whole(folder, size, device, *words)


def write_paper(root: Path, size: Size) -> None:
    """A corpus of the paper's shape: each topic's short videos to train on, of which 20 have labels to score."""
    root.mkdir()
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
        list(pool.map(partial(_write_topic, root, size), range(size.topics)))
    write_manifest(root, "paper", benchmark="youtube-highlights")


def _write_topic(root: Path, size: Size, topic: int) -> None:
    """A shard of a topic's videos; its rows are windows of one run of random numbers."""
    random = np.random.default_rng(topic)
    pool = {
        name: random.standard_normal((1 << 14, stream.width), np.float32).astype(np.float16)
        for name, stream in bench_data.STREAMS.items()
    }
    with ShardWriter(root / f"shard-{topic:05d}.h5", bench_data.STREAMS, clip_seconds=1.0) as shard:
        for number in range(size.short + size.long):
            clips = 50 if number < size.short else 100
            span = np.stack([np.arange(clips), np.arange(1, clips + 1)], 1).astype(np.float64)
            rows = [pool[name][(at := int(random.integers(len(pool[name]) - clips))) : at + clips] for name in pool]
            tested = number < min(20, size.short // 2)
            labels = Labels(span, random.random((clips, 1), np.float32)) if tested else None
            shard.add(Video(f"{topic:02d}-{number:05d}", float(clips), (f"topic{topic:02d}",), span, *rows,
                            split="test" if tested else "train", labels=labels))  # fmt: skip


def _words(size: Size) -> tuple[str, ...]:
    return (f"data.pairs={size.pairs}", f"tau={size.tau}", *size.words)


def _on_device(root: Path, size: Size, device: torch.device) -> tuple[HighlightModule, Bags]:
    """A module and a batch."""
    _, data, module = bench.run_of(root, "topic=topic00", "data.store=stream", *_words(size))
    batch = next(iter(data.train_dataloader()))
    data.teardown("fit")
    return module.to(device), Bags._make(part if part is None else part.to(device) for part in batch)


def ways(root: Path, size: Size, device: torch.device, top: Ceilings) -> Iterator[tuple[str, dict[str, float]]]:
    """Seconds of a step in a bare loop, in each way to run it, and the share of its floor: 1 is as fast as can be."""
    for name, dtype, compiles in (
        ("float32", "float32", False),
        ("tf32", "tf32", False),
        ("bf16", "bfloat16", False),
        ("float32, compile", "float32", True),
        ("tf32, compile", "tf32", True),
        ("bf16, compile", "bfloat16", True),
    ):
        if device.type != "cuda" and compiles:
            continue
        module, batch = _on_device(root, size, device)
        torch.set_float32_matmul_precision("high" if dtype == "tf32" else "highest")
        loss = partial(_loss, module, batch, dtype == "bfloat16")
        with Count() as count:
            _step(loss, bench.optimizer_of(module))()
        if compiles:
            module.objective = compiled()
        try:
            took = seconds(_step(loss, bench.optimizer_of(module)), device)
        except RuntimeError as error:  # one way that a version of torch does not take must not cost the other rows
            print(f"step, {name}: not run: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        finally:
            torch.set_float32_matmul_precision("highest")
        floor = top.floor(count, dtype)
        yield (f"step, {name}", {
            "seconds": took,
            "floor": floor,
            "share": floor / took,
            "operations": float(count.operations),
            "bytes of products": float(count.product_bytes),
            "bytes of all operations": float(count.bytes),
        })  # fmt: skip


def _step(loss: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer) -> Step:
    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def _loss(module: HighlightModule, batch: Bags, bf16: bool) -> torch.Tensor:
    # Entered anew each step: autocast keeps the weights it has cast for as long as it lasts.
    with torch.autocast(batch.mask.device.type, torch.bfloat16, enabled=bf16):
        return module.objective(module.network, module.loss, batch)["loss"]


def slowest(root: Path, size: Size, device: torch.device, fit: dict[str, float]) -> dict[str, float]:
    """Clips a second of the bare loop, of a pinned copy of batches, of plain reads of their bytes; and `fit`'s share."""
    _, batch = _on_device(root, size, torch.device("cpu"))
    _, data, _ = bench.run_of(root, "topic=topic00", *_words(size))
    draws = list(data.plan.draws(0))
    read, _ = bench_data.plain_reads(data.corpus, draws, size.tau, THREADS)
    parts = [part for part in batch[:2] if part is not None]
    block = [part.pin_memory() if device.type == "cuda" else part for part in parts]
    landed = [part.to(device) for part in block]

    def copy() -> None:
        for target, source in zip(landed, block, strict=True):
            target.copy_(source, non_blocking=True)

    clips = batch.mask.numel()
    drawn = size.tau * sum(len(draw.video) for draw in draws)
    three = {
        "bare loop": fit["bare loop"],
        "pinned copy": clips / seconds(copy, device),
        "plain reads": drawn / min(read() for _ in range(3)),
    }
    return {**three, "stream": fit["fit"], "share": fit["fit"] / min(three.values())}


def busy(root: Path, size: Size, device: torch.device, *words: str) -> float:
    """Part of the time of a fit in which at least one kernel or copy is under way; on a CPU, one operation."""
    config, data, module = bench.run_of(root, "topic=topic00", "data.store=resident", *_words(size), *words)
    where = device, config["trainer"]["precision"]
    bench.fit(module, data, 1 + size.measured // 4, *where)
    kind, activity = {"cuda": (DeviceType.CUDA, ProfilerActivity.CUDA)}.get(device.type, (DeviceType.CPU, ProfilerActivity.CPU))  # fmt: skip
    with profile(activities=[activity]) as profiler:
        took = bench.fit(module, data, size.measured, *where)
    spans = [(event.time_range.start, event.time_range.end) for event in profiler.events() if event.device_type == kind]
    began = max(stop for _, stop in spans) - 1e6 * took  # before it the corpus is copied
    return covered((max(start, began), stop) for start, stop in spans if stop > began) / 1e6 / took


def whole(folder: Path, size: Size, device: torch.device, *further: str) -> dict[str, float]:
    """Seconds in which every topic is trained and scored, one after the other, from shards to records."""
    words = (f"data.root={folder / 'corpus'}", f"out={folder / 'runs'}", "logger=none", f"trainer.max_epochs={size.epochs}", "evaluate.draws=10",
             f"trainer.accelerator={'gpu' if device.type == 'cuda' else 'cpu'}", *further)  # fmt: skip
    synchronize(device)
    began, fitting, steps = time.perf_counter(), 0.0, 0
    for topic in range(size.topics):
        record = train(composed("config", [*_words(size), *words, f"topic=topic{topic:02d}"]))
        fitting, steps = fitting + record["seconds"], steps + record["steps"]
    return {"seconds": time.perf_counter() - began, "seconds in training": fitting, "steps": float(steps)}


if __name__ == "__main__":
    sys.exit(main())
