"""Checksums find every flipped bit, and what is not finite is seen."""

from __future__ import annotations

from collections.abc import Callable

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from highlight_lit.data.checksums import all_finite, block_sums, fletcher32


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


ROW = 1024  # bytes of a row of 512 values of float16; a block has 16


@pytest.mark.parametrize("size", [16 * ROW, 16 * 256, 16 * 12, 32])
@pytest.mark.parametrize("fill", [0, 255, None])
def test_one_flipped_bit_changes_the_sum_of_a_block(size: int, fill: int | None) -> None:
    generator = np.random.default_rng(0)
    data = generator.integers(256, size=(1, size), dtype=np.uint8)
    if fill is not None:
        data[:] = fill
    before = block_sums(data)
    for at in generator.permutation(data.size * 8)[:2000].tolist():
        data[0, at // 8] ^= 1 << at % 8
        assert block_sums(data) != before
        data[0, at // 8] ^= 1 << at % 8


def test_a_blocks_sum_is_the_formulas() -> None:
    data = np.random.default_rng(0).integers(256, size=(2, 16 * ROW), dtype=np.uint8)
    weights = [int(w) | 1 for w in np.random.Philox(key=0).random_raw(127)]
    for block, found in zip(data, block_sums(data).tolist(), strict=True):
        words, expected = [int(word) for word in block.view("<u8")], 0
        for c in range(127):
            column = sum(words[c::127]) % 2**64
            expected += weights[c] * (column ^ column >> 29)
        assert found == expected % 2**64


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 2**32))
def test_a_blocks_sum_does_not_depend_on_those_beside_it(blocks: int, rows: int, seed: int) -> None:
    data = np.random.default_rng(seed).integers(256, size=(blocks, 16 * 2 * rows), dtype=np.uint8)
    assert block_sums(data).tolist() == [int(block_sums(one[None])[0]) for one in data]


def rows_swapped(was: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
    now.reshape(16, ROW)[[1, 2]] = was.reshape(16, ROW)[[2, 1]]


def sectors_swapped(was: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
    now.reshape(-1, 512)[[0, 9]] = was.reshape(-1, 512)[[9, 0]]


def pages_swapped(was: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
    now.reshape(-1, 4096)[[0, 3]] = was.reshape(-1, 4096)[[3, 0]]


def words_swapped(was: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
    now.reshape(-1, 8)[[7, 8]] = was.reshape(-1, 8)[[8, 7]]


def a_sector_zeroed(was: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
    now.reshape(-1, 512)[5] = 0


def two_highest_bits_flipped(was: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
    now.reshape(-1, 8)[[3, 700], 7] ^= 0x80


def two_bits_of_a_column_flipped(was: NDArray[np.uint8], now: NDArray[np.uint8]) -> None:
    words = now.reshape(-1, 8)
    words[[3, 3 + 127], 0] ^= 1
    if (was.reshape(-1, 8)[[3, 3 + 127], 0] & 1).sum() == 1:  # they would cancel
        words[3, 0] ^= 3


@pytest.mark.parametrize("damage", [rows_swapped, sectors_swapped, pages_swapped, words_swapped, a_sector_zeroed,
                                    two_highest_bits_flipped, two_bits_of_a_column_flipped])  # fmt: skip
def test_other_damage_changes_the_sum_of_a_block(
    damage: Callable[[NDArray[np.uint8], NDArray[np.uint8]], None],
) -> None:
    was = np.random.default_rng(0).integers(256, size=(1, 16 * ROW), dtype=np.uint8)
    now = was.copy()
    damage(was[0], now[0])
    assert block_sums(now) != block_sums(was)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, -np.nan])
def test_what_is_not_finite_is_seen(dtype: type[np.floating], value: float) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 64)).astype(dtype)
    rows[0, :2] = np.finfo(dtype).max, np.finfo(dtype).min
    rows[1, 5] = value
    assert all_finite(rows.view(np.uint8), np.dtype(dtype)).tolist() == [True, False, True]
