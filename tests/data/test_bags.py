"""The bags of a seed stay the same to the bit, from either store, for any number of threads, version after version.

The hashes were taken before shards were stored in one piece and read by threads. The rows are whole numbers divided by a
power of two and all else is copied, so no machine rounds anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest

from highlight_lit.data.batch import Bags
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.data.video import Stream, Video

HASHES = {
    ("float16", "visual+audio"): "f01e6ef406606740",
    ("float16", "whole visual+audio"): "f9dc845655c3233d",
    ("float16", "visual"): "cde3d9488e913adf",
    ("float16", "whole visual"): "f7db703cb36e7c14",
    ("float16", "audio"): "6b155ad44978bea6",
    ("float16", "whole audio"): "3514db2913e7e0bb",
    ("float32", "visual+audio"): "491b821a1eec5919",
    ("float32", "whole visual+audio"): "c206d8f1853b9cff",
    ("float32", "visual"): "e01083de62f81618",
    ("float32", "whole visual"): "6ddad18b12a0e248",
    ("float32", "audio"): "1c6dd22780bac45f",
    ("float32", "whole audio"): "cebd2447a9475dcf",
}


def videos() -> Iterator[Video]:
    """Long ones and short ones, some without audio, some with audio in some clips."""
    generator = np.random.Generator(np.random.Philox(7))
    for number in range(40):
        clips = int(generator.integers(1, 9 if number % 5 == 4 else 90))
        start = np.arange(clips, dtype=np.float64)
        visual, audio = (generator.integers(-512, 512, (clips, width)).astype(np.float32) / 256 for width in (12, 8))
        mask = generator.integers(0, 3, clips) > 0 if number % 6 == 5 else None
        tags = ("surf",) if number % 2 else ("beach", "sea")
        yield Video(f"video {number}", float(clips), tags, np.stack([start, start + 1], 1), visual,
                    None if number % 6 == 2 else audio, mask)  # fmt: skip


@pytest.fixture(scope="module", params=["float16", "float32"])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("bags") / request.param
    streams = {"visual": Stream(12, dtype=request.param), "audio": Stream(8, dtype=request.param)}
    write_corpus(root, videos(), streams, name="bags", clip_seconds=1.0, shard_bytes=16000)
    made = Corpus(root)
    assert len(made.shards) > 3
    return made


def digest(batches: Iterator[Bags]) -> str:
    found = hashlib.sha256()
    for bags in batches:
        for part in bags:
            if part is not None:
                found.update(f"{part.dtype} {tuple(part.shape)}".encode() + part.numpy().tobytes())
    return found.hexdigest()[:16]


def epochs(corpus: Corpus, streams: str, **options: object) -> Iterator[Bags]:
    for seed in (0, 1, 2**31):
        data = HighlightData(corpus, "surf", streams.split("+"), rule="tag", tau=20, pairs=6, seed=seed, **options)  # type: ignore[arg-type]
        loader = data.train_dataloader()
        for epoch in range(3):
            loader.set_epoch(epoch)
            yield from loader
        data.teardown("fit")


@pytest.mark.parametrize("streams", ["visual+audio", "visual", "audio"])
@pytest.mark.parametrize(("store", "readers"), [("resident", 1), ("resident", 3), ("stream", 1), ("stream", 3)])
def test_bags_are_those_of_earlier_versions(corpus: Corpus, streams: str, store: str, readers: int) -> None:
    assert digest(epochs(corpus, streams, store=store, readers=readers)) == HASHES[corpus.root.name, streams]


@pytest.mark.parametrize("streams", ["visual+audio", "visual", "audio"])
def test_whole_videos_are_those_of_earlier_versions(corpus: Corpus, streams: str) -> None:
    data = HighlightData(corpus, "surf", streams.split("+"), rule="tag")
    assert digest(bags for _, bags in data.test_dataloader()) == HASHES[corpus.root.name, f"whole {streams}"]
