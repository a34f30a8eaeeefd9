"""Windows read past the HDF5 library are the rows that the library gives, whatever their widths, chunks and order."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from highlight_lit.data import rows as rows_module
from highlight_lit.data import shard_writer
from highlight_lit.data.pieces import Pieces
from highlight_lit.data.rows import CorpusRows, Part
from highlight_lit.data.shard import Shard
from highlight_lit.data.shard_writer import ShardWriter
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError


def written(path: Path, clips: list[int], width: int, dtype: str, generator: np.random.Generator) -> Shard:
    with ShardWriter(path, {"visual": Stream(width, dtype=dtype), "audio": Stream(1, dtype=dtype)}, 1.0) as writer:
        for number, length in enumerate(clips):
            span = np.stack([np.arange(length), np.arange(1, length + 1)], 1).astype(np.float64)
            rows = [generator.normal(size=(length, size)).astype(dtype) for size in (width, 1)]
            heard = generator.random(length) < 0.7
            writer.add(Video(str(number), float(length), ("dog",), span, rows[0], rows[1], heard))
    return Shard(path)


OTHERS = {"compressed": {"compression": "gzip"}, "chunks of less than a block": {"fletcher32": True}}
KINDS = st.sampled_from(["block sums", "the library's alone", *OTHERS])


def rewritten(path: Path, kind: str) -> Shard:
    """Make a shard one as they were before there were block sums, or compressed as other tools may."""
    with h5py.File(path, "r+") as file:
        for name in ("visual", "audio"):
            if kind != "block sums":
                del file[f"{name}_check"]
            if kind in OTHERS:
                rows, attributes = file[name][:], dict(file[name].attrs)
                del file[name]
                made = file.create_dataset(name, data=rows, chunks=(min(3, len(rows)), rows.shape[1]), **OTHERS[kind])
                made.attrs.update(attributes)
    return Shard(path)


@settings(deadline=None, max_examples=60)
@given(
    clips=st.lists(st.integers(1, 70), min_size=1, max_size=12),
    width=st.integers(1, 40),
    dtype=st.sampled_from(["float16", "float32"]),
    made=st.lists(st.tuples(KINDS, st.sampled_from([64, 1000, 1 << 18])), min_size=1, max_size=5),
    tau=st.integers(1, 50),
    at_once=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_windows_are_the_librarys_rows_before_they_are_known_and_after(
    clips: list[int], width: int, dtype: str, made: list[tuple[str, int]], tau: int, at_once: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        shards = []
        for kind, chunk in made:
            patch.setattr(shard_writer, "CHUNK_BYTES", chunk)
            path = Path(folder) / f"{len(shards)}.h5"
            written(path, clips, width, dtype, generator).close()
            shards.append(rewritten(path, kind))
        patch.setattr(rows_module, "MOST_AT_ONCE", at_once)
        rows = CorpusRows(shards, ("visual", "audio"))
        for _ in range(4):
            bags = int(generator.integers(1, 12))
            of, row = generator.integers(0, [[len(shards)], [len(clips)]], (2, bags))
            length = np.array(clips)[row]
            start = generator.integers(0, np.maximum(length - tau, 0), endpoint=True)
            part = Part(generator.permutation(bags), of, row, start, np.minimum(length - start, tau))
            out = {"visual": np.full((bags, tau, width), 9, dtype), "audio": np.full((bags, tau, 1), 9, dtype),
                   "heard": np.zeros((bags, tau), np.uint8)}  # fmt: skip
            for suspect in rows.read(part, out).values():  # of what the library alone reads nothing is known
                assert not any(
                    unsure for unsure, number in zip(suspect, of, strict=True) if made[number][0] not in OTHERS
                )
            for bag, number, video, first, clip_count in zip(*part, strict=True):
                begin = int(shards[number].offsets[video] + first)
                for name in ("visual", "audio"):
                    expected = shards[number].rows(name, begin, begin + clip_count)
                    assert out[name][bag, :clip_count].tobytes() == expected.tobytes()
                    assert (out[name][bag, clip_count:] == expected[0]).all()
                heard = shards[number].rows("heard", begin, begin + clip_count)
                assert out["heard"][bag, :clip_count].tolist() == heard.tolist()
        for shard in shards:
            shard.close()


def one_row_of_each(count: int) -> tuple[Part, dict[str, np.ndarray]]:
    zeros, each = np.zeros(count, int), np.arange(count)
    return Part(each, each, zeros, zeros, zeros + 1), {"visual": np.zeros((count, 1, 4), np.float32)}


@pytest.fixture
def many(tmp_path: Path) -> list[Shard]:
    return [written(tmp_path / f"{n}.h5", [2], 4, "float32", np.random.default_rng(n)) for n in range(30)]


def test_windows_of_many_shards_are_worked_out_at_once(many: list[Shard], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    whole = Pieces.in_chunks
    monkeypatch.setattr(Pieces, "in_chunks", lambda *words: calls.append(1) or whole(*words))
    part, out = one_row_of_each(30)
    CorpusRows(many, ("visual",)).read(part, out)
    assert len(calls) == 1
    assert all((rows[0] == shard.rows("visual", 0, 1)).all() for rows, shard in zip(out["visual"], many, strict=True))


def test_a_part_without_windows_reads_nothing(many: list[Shard]) -> None:
    part, out = one_row_of_each(0)
    assert CorpusRows(many, ("visual",)).read(part, out)["visual"].shape == (0,)


def test_a_read_that_fails_leaves_no_file_open(many: list[Shard]) -> None:
    part, out = one_row_of_each(30)
    rows = CorpusRows(many, ("visual",))
    rows.read(part, out)
    for shard in many:
        shard.close()
    before = os.listdir("/proc/self/fd")
    for damage in (Path.unlink, Path.touch):
        damage(many[17].path)
        with pytest.raises(InputError, match=r"17\.h5: (cannot be read any more|replaced or changed)"):
            rows.read(part, out)
        assert os.listdir("/proc/self/fd") == before


def test_what_is_damaged_is_named_among_many_shards(many: list[Shard]) -> None:
    layout = many[11].layout("visual")
    assert layout is not None
    status = many[11].path.stat()
    with many[11].path.open("r+b") as file:
        file.seek(int(layout.offsets[0]) + 5)
        file.write(b"\xff")
    os.utime(many[11].path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(InputError, match=r"11\.h5: visual: rows 0 to 15 are damaged"):
        CorpusRows(many, ("visual",)).read(*one_row_of_each(30))
