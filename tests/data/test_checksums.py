"""Checksums find every flipped bit, and what is not finite is seen."""

from __future__ import annotations

import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from highlight_lit.data.checksums import TABLE_ROW, all_finite, fletcher32, table_sums


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3), st.binary(min_size=1, max_size=3000))
def test_the_checksum_is_the_hdf5_librarys(chunks: int, data: bytes) -> None:
    rows = np.stack([np.roll(np.frombuffer(data, np.uint8), turn) for turn in range(chunks)])
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        made = file.create_dataset("x", data=rows, chunks=(1, rows.shape[1]), fletcher32=True)
        stored = [made.id.read_direct_chunk((row, 0))[1][-4:] for row in range(chunks)]
    assert fletcher32(rows).tolist() == [int.from_bytes(one, "little") for one in stored]


def test_the_checksum_holds_where_its_sums_are_largest() -> None:
    rows = np.full((1, 1 << 25), 255, np.uint8)
    assert fletcher32(rows)[0] == 0xFFFFFFFF  # words of 65535 are 0 modulo 65535


@pytest.mark.parametrize("fill", [0, 255, None])
def test_one_flipped_bit_changes_both_halves_of_the_table_sums(fill: int | None) -> None:
    generator = np.random.default_rng(0)
    data = generator.integers(256, size=(1, 8 * TABLE_ROW), dtype=np.uint8)
    if fill is not None:
        data[:] = fill
    before = int(table_sums(data)[0])
    for at in generator.choice(data.size * 8, 2000, replace=False).tolist():
        data[0, at // 8] ^= 1 << at % 8
        change = before ^ int(table_sums(data)[0])
        assert change >> 32 and change & 0xFFFFFFFF
        data[0, at // 8] ^= 1 << at % 8


def test_no_carry_through_a_sum_is_lost_on_a_crc32() -> None:
    """Adding a power of two flips a run of bits."""
    nothing = zlib.crc32(bytes(8))
    runs = [((1 << length) - 1 << start) for length in range(1, 65) for start in range(65 - length)]
    assert all(zlib.crc32(run.to_bytes(8, "little")) != nothing for run in runs)


@pytest.mark.parametrize("order", ["rows swapped", "pages swapped", "a word moved", "zeroed", "two bits of one place"])
def test_other_damage_is_found_by_the_table_sums(order: str) -> None:
    data = np.random.default_rng(0).integers(256, size=(1, 8 * TABLE_ROW), dtype=np.uint8)
    damaged = data.copy()
    table, was = damaged.reshape(8, -1), data.reshape(8, -1)
    if order == "rows swapped":
        table[[1, 2]] = was[[2, 1]]
    elif order == "pages swapped":
        table[[0, 1, 4, 5]] = was[[4, 5, 0, 1]]
    elif order == "a word moved":
        table[3, :16] = was[3, [*range(8, 16), *range(8)]]
    elif order == "zeroed":
        table[2, :512] = 0
    else:
        table[[1, 5], 7] ^= 0x80
    assert table_sums(damaged)[0] != table_sums(data)[0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, -np.nan])
def test_what_is_not_finite_is_seen(dtype: type[np.floating], value: float) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 64)).astype(dtype)
    rows[0, :2] = np.finfo(dtype).max, np.finfo(dtype).min
    rows[1, 5] = value
    assert all_finite(rows.view(np.uint8), np.dtype(dtype)).tolist() == [True, False, True]
