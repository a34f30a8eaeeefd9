"""Checksums of many blocks at once, in as few passes over memory as numpy can make of them.

A chunk of a shard always has the HDF5 library's own checksum, `fletcher32`. Shards written since also keep the
`block_sums` of every few rows of features, so that a window is checked without reading all of its chunks.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 256  # words; 256 of at most 65535 add up to less than 2**24, exactly, in float32
_ONES = np.ones(_BLOCK, np.float32)
_TURN = np.uint64(29)


def block_sums(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A checksum of 64 bits a block: its words added up in columns, the columns mixed and weighted, modulo 2**64.

    With little-endian words x_0 .. x_{n-1} of 64 bits, C columns and odd random weights w: `sum_c w_c m(s_c)`, where
    `s_c = x_c + x_{c + C} + ...` and `m(s) = s xor (s >> 29)`, which no two numbers share. Damage within one word is
    always found, a flipped bit therefore: it changes one column, and an odd weight loses nothing. Other damage is missed
    once in 2**64 times, or where it leaves each column's sum as it was. C is odd, so that pages, sectors or rows that
    changed places are not such damage.

    Args:
        data: (K, n) the bytes of K blocks; n a multiple of 8.

    Returns:
        (K,) their checksums.
    """
    words = data.view("<u8")
    n = words.shape[1]
    columns = max((n // 16 - 1) | 1, min(n, 31))
    whole = n // columns * columns
    sums = words[:, :whole].reshape(len(words), -1, columns).sum(1)
    sums[:, : n - whole] += words[:, whole:]
    sums ^= sums >> _TURN
    return np.asarray(sums @ _weights(columns))


@cache
def _weights(count: int) -> NDArray[np.uint64]:
    return np.asarray(np.random.Philox(key=0).random_raw(count) | np.uint64(1), np.uint64)


def fletcher32(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The Fletcher-32 checksum of the HDF5 library: over 16-bit words, first byte high, an odd last byte as a high one.

    With words w_0 .. w_{n-1}, modulo 65535: low half `sum w_i`, high half `sum (n - i) w_i`, where a sum that is not 0
    is 65535 rather than 0. Swapping the bytes of a word multiplies it by 256, so the words are added as they lie.

    Args:
        data: (K, n) the bytes of K chunks.

    Returns:
        (K,) their checksums.

    >>> fletcher32(np.frombuffer(b"abcdef", np.uint8)[None])[0] == (((0x6162 * 3 + 0x6364 * 2 + 0x6566) % 65535 << 16)
    ...     | (0x6162 + 0x6364 + 0x6566) % 65535)
    np.True_
    """
    size = data.shape[1]
    words = data[:, : size & ~1].view("<u2")
    if size % 2:
        words = np.append(words, data[:, -1:].astype("<u2"), axis=1)  # its low byte, which the swap makes the high one
    n, blocks = words.shape[1], words.shape[1] // _BLOCK
    square = words[:, : blocks * _BLOCK].reshape(len(words), blocks, _BLOCK).astype(np.float32)
    of_row = (square @ _ONES).astype(np.int64)
    of_column = np.zeros((len(words), _BLOCK), np.int64)
    for first in range(0, blocks, _BLOCK):
        rows = square[:, first : first + _BLOCK]
        of_column += (_ONES[: rows.shape[1]] @ rows).astype(np.int64)
    rest = words[:, blocks * _BLOCK :].astype(np.int64)
    total = of_row.sum(1) + rest.sum(1)
    weighted = _BLOCK * (of_row @ np.arange(blocks) % 65535) + of_column @ np.arange(_BLOCK)
    weighted += rest @ np.arange(blocks * _BLOCK, n)
    low, high = (256 * (value % 65535) % 65535 for value in (total, n * (total % 65535) - weighted))
    low, high = (np.where((half == 0) & (total > 0), 65535, half) for half in (low, high))
    return np.asarray(high << 16 | low)


def all_finite(bodies: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[np.bool_]:
    """Which of some chunks hold no value that has all its exponent bits set; `np.isfinite` takes ten times as long.

    As a signed number the bits of a positive value, as an unsigned one those of a negative, rise with its size.
    """
    if dtype.kind != "f":
        return np.ones(len(bodies), bool)
    kind, infinity = ("2", 0x7C00) if dtype.itemsize == 2 else ("4", 0x7F800000)
    sign = 1 << (8 * dtype.itemsize - 1)
    positive, negative = (bodies.view(f"<{sort}{kind}").max(1) for sort in "iu")
    return np.asarray((positive < infinity) & (negative < infinity + sign))
