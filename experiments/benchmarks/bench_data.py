"""What `make bench` measures of the data layer: reading beside plain reads, memory beside a corpus' size, the index."""

from __future__ import annotations

import gc
import io
import itertools
import os
import statistics
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus, write_corpus, write_manifest
from highlight_lit.data.sampling import Draw, EpochPlan
from highlight_lit.data.shards import SHARD_BYTES
from highlight_lit.data.shards.format import FORMAT, VERSION
from highlight_lit.data.shards.writer import write_index, write_packed
from highlight_lit.data.statistics import statistics as moments
from highlight_lit.data.stores.stream import StreamStore
from highlight_lit.data.video import Stream, Video

STREAMS = {"visual": Stream(512, "bench", "1"), "audio": Stream(128, "bench", "1")}
CLIPS = {"short": 50, "long": 100}
TAU = 60  # clips in a bag
SHARDS = 10  # of an index
WARM = 6  # batches
CLIP_BYTES = 2 * (512 + 128) + 1


def write_large(root: Path, megabytes: int, shard_bytes: int = SHARD_BYTES) -> None:
    """A corpus of a size, its rows nearly all zero: half of its videos short and of the topic, half long and not."""
    pair = sum(CLIPS.values()) * CLIP_BYTES

    def videos() -> Iterator[Video]:
        for number in range(max(2, megabytes * 10**6 // pair)):
            for kind, clips in CLIPS.items():
                span = np.stack([np.arange(clips), np.arange(1, clips + 1)], 1).astype(np.float64)
                rows = {name: np.zeros((clips, stream.width), np.float16) for name, stream in STREAMS.items()}
                rows["visual"][:, number % 512] = 1
                duration = 50.0 if kind == "short" else 100.0
                tags = ("topic",) if kind == "short" else ("other",)
                yield Video(f"{kind}-{number:07d}", duration, tags, span, rows["visual"], rows["audio"])

    write_corpus(root, videos(), STREAMS, name="large", clip_seconds=1.0, shard_bytes=shard_bytes)


def write_bags(root: Path, videos: int) -> None:
    """A corpus of videos of random rows, all as long as a bag is, every second one of `topic01`."""
    random = np.random.default_rng(0)
    span = np.stack([np.arange(TAU), np.arange(1, TAU + 1)], 1).astype(np.float64)

    def video(number: int) -> Video:
        rows = [random.standard_normal((TAU, stream.width), np.float32) for stream in STREAMS.values()]
        return Video(f"video-{number:07d}", float(TAU), (("topic01", "other")[number % 2],), span, *rows)

    write_corpus(root, map(video, range(videos)), STREAMS, name="bags", clip_seconds=1.0)


def opening(root: Path, rounds: int) -> dict[str, float]:
    """Milliseconds a shard that opening a corpus takes: by the clock, and of the processor."""
    clock, processor = [], []
    for _ in range(rounds):
        began, busy = time.perf_counter(), time.process_time()
        shards = len(Corpus(root).shards)
        clock.append(1000 * (time.perf_counter() - began) / shards)
        processor.append(1000 * (time.process_time() - busy) / shards)
    return {
        "shards": shards,
        "ms a shard": statistics.median(clock),
        "ms of the processor": statistics.median(processor),
    }


def reading(root: Path, readers: int, rounds: int) -> dict[str, float]:
    """Bytes a second of an epoch's windows: plain reads, the store's first epoch (checked), its next; and ratios.

    All three read the same windows, from files that the operating system holds in memory, by as many threads: the
    hardest case for a reader, since a disk would make all of them wait. Plain reads know beforehand where each window
    lies and read it with one call, into memory that is used again for every batch. The store's stream has begun when it
    is measured: it has its threads and its memory, from `WARM` batches of other videos.
    """
    corpus = Corpus(root)
    positive, negative = corpus.weak_labels("topic", "duration", "lists")
    plan = EpochPlan(corpus.clips, positive, negative, tau=TAU, pairs=256, seed=0)
    draws = list(plan.draws(0))
    warm, draws = draws[:WARM], draws[WARM:]
    read_plainly, size = plain_reads(corpus, draws, plan.tau, readers)
    measured = []
    for _ in range(rounds + 1):
        store = StreamStore(Corpus(root), tuple(STREAMS), readers)  # anew: nothing of it was checked
        measured.append([read_plainly(), *_epochs(store, warm, draws, plan.tau)])
    plain, checked, again = (statistics.median(column) for column in zip(*measured[1:], strict=True))
    ratios = [statistics.median(m[0] / m[column] for m in measured[1:]) for column in (1, 2)]
    return {"readers": readers, "shards": len(corpus.shards), "plain": size / plain, "checked": size / checked,
            "again": size / again, "checked ratio": ratios[0], "again ratio": ratios[1]}  # fmt: skip


def _epochs(store: StreamStore, warm: list[Draw], draws: list[Draw], tau: int) -> list[float]:
    """Seconds that the store takes for some batches, and for the same once more.

    From one delivery to another: from a request on, the batches that were asked for before it would count as well.
    """
    batches = store.batches(itertools.chain(warm, draws, draws, draws), tau)  # the last lie ahead of what is measured
    delivered = []
    for part in (warm, draws, draws):
        for _ in part:
            next(batches)
        delivered.append(time.perf_counter())
    batches.close()  # type: ignore[attr-defined]
    return np.diff(delivered).tolist()


def plain_reads(corpus: Corpus, draws: list[Draw], tau: int, threads: int) -> tuple[Callable[[], float], int]:
    """A function that reads the windows of some draws plainly and says in how many seconds, and their bytes."""
    bags = max(len(draw.video) for draw in draws)
    memory = {name: np.zeros((bags, tau, stream.width), np.float16) for name, stream in STREAMS.items()}
    begins = _begins(corpus)
    places = [list(_places(corpus, begins, draw, tau, threads)) for draw in draws]
    size = sum(length for parts in places for part in parts for reads in part.values() for *_, length in reads)

    def read() -> float:
        return sum(_spread([lambda part=part: _plain(memory, part) for part in parts]) for parts in places)  # type: ignore[misc]

    return read, size


def _spread(work: list[Callable[[], None]]) -> float:
    """Seconds that some work takes, each piece on a thread of its own."""
    workers = [threading.Thread(target=call) for call in work]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return time.perf_counter() - began


_Reads = dict[tuple[Path, str], list[tuple[int, int, int]]]  # file, stream -> where to, where from, bytes


def _begins(corpus: Corpus) -> dict[tuple[Path, str], int]:
    """The byte at which each stream of each shard begins."""
    begins: dict[tuple[Path, str], int] = {}
    for shard in corpus.shards:
        shard.close()
        with h5py.File(shard.path, locking=False) as file:
            begins |= {(shard.path, name): file[name].id.get_offset() for name in STREAMS}
    return begins


def _places(
    corpus: Corpus, begins: dict[tuple[Path, str], int], draw: Draw, tau: int, threads: int
) -> Iterator[_Reads]:
    """What each thread reads of a batch."""
    for part in np.array_split(np.arange(len(draw.video)), threads):
        reads: _Reads = {}
        for bag in part.tolist():
            shard, row = corpus.locate(int(draw.video[bag]))
            first = int(shard.offsets[row] + draw.start[bag])
            clips = int(min(shard.offsets[row + 1] - first, tau))
            for name, stream in STREAMS.items():
                row_bytes = 2 * stream.width
                place = bag * tau * row_bytes, begins[shard.path, name] + first * row_bytes, clips * row_bytes
                reads.setdefault((shard.path, name), []).append(place)
        yield reads


def _plain(memory: dict[str, NDArray[np.float16]], reads: _Reads) -> None:
    """The same bytes, by nothing but reads."""
    for (path, name), places in reads.items():
        into = memory[name].reshape(-1).view(np.uint8).data
        file = os.open(path, os.O_RDONLY)
        for to, source, length in places:
            os.preadv(file, [into[to : to + length]], source)
        os.close(file)


def peak_memory(root: Path) -> float:
    """MiB of resident memory, at its peak, of a process that streams a corpus: the statistics, then 40 batches of 64 pairs."""
    code = "import sys; from experiments.benchmarks.bench_data import _stream; _stream(sys.argv[1])"
    child = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    return float(child.stdout)


def _stream(root: str) -> None:
    corpus = Corpus(Path(root))
    positive, negative = corpus.weak_labels("topic", "duration", "lists")
    store = StreamStore(corpus, tuple(STREAMS))
    for name in STREAMS:
        moments(corpus, np.concatenate([positive, negative]), name)
    plan = EpochPlan(corpus.clips, positive, negative, tau=TAU, pairs=64, seed=0)
    draws = itertools.chain.from_iterable(plan.draws(epoch) for epoch in itertools.count())
    batches = store.batches(draws, plan.tau)
    for _ in itertools.islice(batches, 40):
        pass
    # Not getrusage: what that gives begins with the peak of the process this one was started from.
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(int(line.split()[1]) / 1024)


def index(root: Path, videos: int) -> dict[str, float]:
    """Seconds to open a corpus of many videos, and bytes a video of the index it keeps."""
    _write_index(root, videos)
    Corpus(root)
    gc.collect()
    began = time.perf_counter()
    corpus = Corpus(root)
    seconds = time.perf_counter() - began
    del corpus
    gc.collect()
    tracemalloc.start()
    corpus = Corpus(root)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(corpus) == videos
    return {"videos": videos, "seconds": seconds, "bytes a video": kept / videos, "peak bytes a video": peak / videos}


def _write_index(root: Path, videos: int) -> None:
    """A corpus whose shards hold an index and one clip of one number a video, written column by column."""
    root.mkdir(parents=True)
    share = videos // SHARDS
    for shard in range(SHARDS):
        with h5py.File(root / f"shard-{shard:05d}.h5", "w", libver=("v110", "v110")) as file:
            file.attrs.update({"format": FORMAT, "version": VERSION, "clip_seconds": 1.0})
            write_packed(file, "visual", (share, 1), np.dtype("f2"), io.BytesIO(bytes(2 * share)))
            file["visual"].attrs.update({"extractor": "bench", "version": "1"})
            ids = np.array([f"video{number:08d}" for number in range(shard * share, (shard + 1) * share)], "S13")
            # Scattered, so that sorting them is work.
            columns = {"id": ids[np.random.default_rng(shard).permutation(share)],
                       "duration": np.full(share, 30.0), "split": np.zeros(share, np.uint8),
                       "tag_name": np.array([b"topic"]), "tag_index": np.zeros(share, np.int32),
                       "title_bytes": np.zeros(0, np.uint8), "span": np.tile([0.0, 1.0], (share, 1)),
                       "offsets": np.arange(share + 1), "tag_offsets": np.arange(share + 1),
                       "title_offsets": np.zeros(share + 1, np.int64),
                       "label_offsets": np.zeros(share + 1, np.int64)}  # fmt: skip
            for name, rows in columns.items():
                write_index(file, name, rows)
    write_manifest(root, "index")
