"""Windows read past the HDF5 library are the rows that the library gives, whatever their widths, chunks and order."""

from __future__ import annotations

import tempfile
from pathlib import Path

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from highlight_lit.data import shard_writer
from highlight_lit.data.rows import CorpusRows, Part
from highlight_lit.data.shard import Shard
from highlight_lit.data.shard_writer import ShardWriter
from highlight_lit.data.video import Stream, Video


def written(path: Path, clips: list[int], width: int, dtype: str, generator: np.random.Generator) -> Shard:
    with ShardWriter(path, {"visual": Stream(width, dtype=dtype), "audio": Stream(1, dtype=dtype)}, 1.0) as writer:
        for number, length in enumerate(clips):
            span = np.stack([np.arange(length), np.arange(1, length + 1)], 1).astype(np.float64)
            rows = [generator.normal(size=(length, size)).astype(dtype) for size in (width, 1)]
            heard = generator.random(length) < 0.7
            writer.add(Video(str(number), float(length), ("dog",), span, rows[0], rows[1], heard))
    return Shard(path)


@settings(deadline=None, max_examples=60)
@given(
    clips=st.lists(st.integers(1, 70), min_size=1, max_size=12),
    width=st.integers(1, 40),
    dtype=st.sampled_from(["float16", "float32"]),
    chunk=st.sampled_from([64, 1000, 1 << 18]),
    tau=st.integers(1, 50),
    checked=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_windows_are_the_librarys_rows_before_they_are_known_and_after(
    clips: list[int], width: int, dtype: str, chunk: int, tau: int, checked: bool, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        was, shard_writer.CHUNK_BYTES = shard_writer.CHUNK_BYTES, chunk
        try:
            shards = [written(Path(folder) / f"{n}.h5", clips, width, dtype, generator) for n in range(2)]
        finally:
            shard_writer.CHUNK_BYTES = was
        if not checked:
            for number, shard in enumerate(shards):
                shard.close()
                with h5py.File(shard.path, "r+") as file:
                    del file["visual_check"], file["audio_check"]
                shards[number] = Shard(shard.path)
        rows = CorpusRows(shards, ("visual", "audio"))
        for _ in range(4):
            bags = int(generator.integers(1, 9))
            of, row = generator.integers(0, [[2], [len(clips)]], (2, bags))
            length = np.array(clips)[row]
            start = generator.integers(0, np.maximum(length - tau, 0), endpoint=True)
            part = Part(generator.permutation(bags), of, row, start, np.minimum(length - start, tau))
            out = {"visual": np.full((bags, tau, width), 9, dtype), "audio": np.full((bags, tau, 1), 9, dtype),
                   "heard": np.zeros((bags, tau), np.uint8)}  # fmt: skip
            assert not any(suspect.any() for suspect in rows.read(part, out).values())
            for bag, number, first, clip_count in zip(part.bag, of, start, part.clips, strict=True):
                begin = int(shards[number].offsets[row[part.bag == bag][0]] + first)
                for name in ("visual", "audio"):
                    expected = shards[number].rows(name, begin, begin + clip_count)
                    assert out[name][bag, :clip_count].tobytes() == expected.tobytes()
                    assert (out[name][bag, clip_count:] == expected[0]).all()
                heard = shards[number].rows("heard", begin, begin + clip_count)
                assert out["heard"][bag, :clip_count].tolist() == heard.tolist()
        for shard in shards:
            shard.close()
