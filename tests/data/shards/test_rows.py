"""Windows by plain reads are the rows that the HDF5 library gives, whatever their widths, blocks, order and threads."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from highlight_lit.data.shards import Shard, ShardWriter, rows
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from tests.data.shards.forge import as_other_tools, as_version_1, forge_rows


def written(path: Path, clips: list[int], width: int, dtype: str, generator: np.random.Generator) -> None:
    with ShardWriter(path, {"visual": Stream(width, dtype=dtype), "audio": Stream(1, dtype=dtype)}, 1.0) as writer:
        for number, length in enumerate(clips):
            span = np.stack([np.arange(length), np.arange(1, length + 1)], 1).astype(np.float64)
            visual, audio = (generator.normal(size=(length, size)).astype(dtype) for size in (width, 1))
            mask = generator.random(length) < 0.7
            writer.add(Video(str(number), float(length), ("dog",), span, visual, audio, mask))


@settings(deadline=None, max_examples=80)
@given(
    clips=st.lists(st.integers(1, 90), min_size=1, max_size=8),
    width=st.integers(1, 40),
    dtype=st.sampled_from(["float16", "float32"]),
    kind=st.sampled_from(["as written", "version 1", "gzip", "no checksums"]),
    seed=st.integers(0, 2**32),
)
def test_windows_are_the_librarys_rows_when_first_read_and_after(
    clips: list[int], width: int, dtype: str, kind: str, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.h5"
        written(path, clips, width, dtype, generator)
        if kind == "version 1":
            as_version_1(path)
        elif kind != "as written":
            as_other_tools(path, compression="gzip" if kind == "gzip" else None)
        stored = {"audio_mask": "heard"} if kind == "version 1" else {}
        with h5py.File(path) as file:
            expected = {name: file[stored.get(name, name)][:] for name in ("visual", "audio", "audio_mask")}
        shard = Shard(path)
        assert shard.slow == (kind != "as written")
        for _ in range(12):
            name = str(generator.choice(list(expected)))
            start, stop = sorted(generator.integers(0, sum(clips), 2, endpoint=True).tolist())
            found = shard.rows(name, start, stop)
            assert found.dtype == expected[name].dtype
            assert found.tobytes() == expected[name][start:stop].tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written(tmp_path / "s.h5", [50, 20, 30], 4, "float32", np.random.default_rng(0))
    return tmp_path / "s.h5"


@pytest.mark.parametrize("name", ["visual", "audio", "audio_mask"])
def test_every_flipped_bit_of_a_row_is_found_when_its_block_is_first_touched_and_no_other(
    path: Path, name: str
) -> None:
    generator = np.random.default_rng(0)
    with h5py.File(path) as file:
        offset, size = file[name].id.get_offset(), file[name].nbytes
    row_bytes, whole = size // 100, path.read_bytes()
    for at in generator.choice(size, 50).tolist():
        data = bytearray(whole)
        data[offset + at] ^= 1 << int(generator.integers(8))
        path.write_bytes(data)
        block = at // row_bytes // 32
        damaged = range(32 * block, min(32 * block + 32, 100))
        shard = Shard(path)
        with pytest.raises(InputError, match=rf"s\.h5: {name}: rows {damaged[0]} to {damaged[-1]} are damaged"):
            shard.rows(name, damaged[-1], damaged[-1] + 1)
        if block > 0 and name != "audio_mask":  # which is read, and checked, at once
            shard.rows(name, 0, 32 * block)
        shard.close()


def test_rows_that_were_checked_are_read_again_without_a_check(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, preadv = [], os.preadv
    monkeypatch.setattr(rows.os, "preadv", lambda file, into, at: read.append(len(into[0])) or preadv(file, into, at))
    shard = Shard(path)
    for expected in ([4 * 8, 32 * 16], [16]):  # the sums, and the block that the row is in; then the row alone
        read.clear()
        shard.rows("visual", 5, 6)
        assert read == expected


@pytest.mark.parametrize(("known", "window", "row"), [((0, 40), (50, 80), 70), ((64, 100), (40, 70), 33)])
def test_damage_is_found_in_a_window_that_begins_or_ends_in_rows_known_to_be_valid(
    path: Path, known: tuple[int, int], window: tuple[int, int], row: int
) -> None:
    with h5py.File(path, "r+") as file:
        file["visual"][row, 0] += 1
    shard = Shard(path)
    shard.rows("visual", *known)
    with pytest.raises(InputError, match=f"visual: rows {row // 32 * 32} to .* are damaged"):
        shard.rows("visual", *window)


def test_a_long_video_is_read_and_checked_in_little_more_than_its_own_memory(tmp_path: Path) -> None:
    written(tmp_path / "s.h5", [20_000], 64, "float16", np.random.default_rng(0))
    shard = Shard(tmp_path / "s.h5")
    tracemalloc.start()
    try:
        shard.rows("visual", 0, 20_000)
        assert tracemalloc.get_traced_memory()[1] < 1.2 * 20_000 * 64 * 2
    finally:
        tracemalloc.stop()


def test_a_sum_that_was_changed_is_found_too(path: Path) -> None:
    with h5py.File(path) as file:
        at = file["visual_sums"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[at + 8] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="visual: rows 32 to 63 are damaged"):
        Shard(path).rows("visual", 0, 40)


@pytest.mark.parametrize("kind", ["valid sums", "no checksums", "version 1"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named_with_its_video_whatever_the_sums_say(
    path: Path, kind: str, value: float
) -> None:
    forge_rows(path, "visual", {(53, 2): value})
    if kind == "version 1":
        as_version_1(path)
    elif kind == "no checksums":
        as_other_tools(path)
    says = r"s\.h5: video '1' \(row 1\): visual: NaN or infinite in clip 3"
    with pytest.raises(InputError, match=says):
        Shard(path).rows("visual", 50, 60)
    Shard(path).rows("visual", 0, 30)


def test_rows_that_go_on_beyond_the_file_are_refused(path: Path) -> None:
    with h5py.File(path) as file:
        end = file["visual"].id.get_offset() + file["visual"].nbytes // 2
    shard = Shard(path)
    os.truncate(path, end)
    with pytest.raises(InputError, match=r"s\.h5: replaced or changed since it was opened"):
        shard.rows("visual", 0, 100)
    shard.close()
    with pytest.raises(InputError, match=r"s\.h5: "):
        Shard(path)


@pytest.mark.parametrize(("attribute", "value"), [("algorithm", "crc32"), ("block_rows", 16)])
def test_sums_of_another_kind_are_not_taken_for_ours(path: Path, attribute: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        file["visual_sums"].attrs[attribute] = value
        expected = file["visual"][:]
    shard = Shard(path)
    assert shard.slow
    np.testing.assert_array_equal(shard.rows("visual", 0, 100), expected)


def test_a_read_that_fails_leaves_no_file_open(path: Path) -> None:
    shard = Shard(path)
    shard.close()
    before = os.listdir("/proc/self/fd")
    for damage in (Path.touch, Path.unlink):
        damage(path)
        with pytest.raises(InputError, match=r"s\.h5: (cannot be read any more|replaced or changed)"):
            shard.rows("visual", 0, 1)
        assert os.listdir("/proc/self/fd") == before


def test_reads_through_the_library_are_counted_too_so_that_a_slow_one_is_not_taken_for_a_dead_one(path: Path) -> None:
    as_other_tools(path, compression="gzip")
    shard = Shard(path)
    shard.rows("visual", 0, 50)
    shard.rows("visual", 50, 70)
    assert shard.packed["visual"].reads == 2
