"""Rows of a shard read past the HDF5 library, by any number of threads at once, checked by the shard's own checksums.

The library reads under one lock for the whole process. A shard's chunks lie in the file as they are in memory, each
followed by its Fletcher-32 checksum, so that once the library has said where they lie, plain reads do. A chunk is read
whole and checked when a row of it is first asked for; after that its rows are read alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.shard import Layout, Shard, identity
from highlight_lit.errors import InputError

_BLOCK = 256  # words; 256 of at most 65535 add up to less than 2**24, exactly, in float32
_ONES = np.ones(_BLOCK, np.float32)
_UNKNOWN, _SOUND, _SUSPECT = range(3)


class _Chunks(NamedTuple):
    layout: Layout
    state: NDArray[np.uint8]  # (chunks,) _UNKNOWN, _SOUND, or _SUSPECT: sound, with a value that is not finite


class ShardRows:
    """Reads rows of one shard into arrays of the caller, from any thread.

    Args:
        shard: The shard; its file must stay the one it was opened on.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._chunks: dict[str, _Chunks | None] = {}
        self._lock = threading.Lock()

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the file for a few reads.

        Raises:
            InputError: The file is gone, or no longer the one that was opened: replaced, cut or written to.
        """
        path = self.shard.path
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"{path}: cannot be read any more ({error.strerror}); expected a feature shard") from error
        try:
            if identity(os.fstat(file)) != self.shard.identity:
                raise InputError(f"{path}: replaced or changed since it was opened; expected the same file")
            yield file
        finally:
            os.close(file)

    def read(self, file: int, name: str, start: int, stop: int, out: NDArray[Any]) -> bool:
        """Read rows `start` to `stop` of `visual`, `audio` or `heard`.

        Args:
            file: From `opened`.
            name: The dataset.
            start, stop: The rows.
            out: (stop - start, ...) contiguous, of the dataset's type.

        Returns:
            Whether a value among them, or near them, may be NaN or infinite.

        Raises:
            InputError: A chunk is damaged, or the file ends too soon.
        """
        chunks = self._of(name)
        if chunks is None:
            with self._lock:
                out[...] = self.shard.rows(name, start, stop)
            return True
        layout, suspect = chunks.layout, False
        into = out.reshape(-1).view(np.uint8).data
        for chunk in range(start // layout.rows, -(-stop // layout.rows)):
            first = chunk * layout.rows
            low, high = max(start, first), min(stop, first + layout.rows)
            part = into[(low - start) * layout.row_bytes : (high - start) * layout.row_bytes]
            skip = (low - first) * layout.row_bytes
            if chunks.state[chunk] == _UNKNOWN:
                part[:] = self._checked(file, name, chunks, chunk)[skip : skip + len(part)].data
            else:
                self._pread(file, part, int(layout.offsets[chunk]) + skip)
            suspect |= bool(chunks.state[chunk] == _SUSPECT)
        return suspect

    def _of(self, name: str) -> _Chunks | None:
        """Where a dataset's chunks lie; None where only the library can read them (compressed, say)."""
        if name not in self._chunks:
            with self._lock:
                if name not in self._chunks:
                    layout = self.shard.layout(name)
                    state = None if layout is None else np.zeros(len(layout.offsets), np.uint8)
                    self._chunks[name] = None if layout is None or state is None else _Chunks(layout, state)
        return self._chunks[name]

    def _checked(self, file: int, name: str, chunks: _Chunks, chunk: int) -> NDArray[np.uint8]:
        """The bytes of a chunk, read whole and checked."""
        layout = chunks.layout
        data = np.empty(layout.rows * layout.row_bytes + 4, np.uint8)
        self._pread(file, data.data, int(layout.offsets[chunk]))
        body, stored = data[:-4], int(data[-4:].view("<u4")[0])
        if fletcher32(body) != stored:
            first = chunk * layout.rows
            raise InputError(
                f"{self.shard.path}: {name}: rows {first} to {first + layout.rows - 1} are damaged: "
                "their checksum differs from the one stored with them"
            )
        chunks.state[chunk] = _SOUND if _all_finite(body, layout.dtype) else _SUSPECT
        return body

    def _pread(self, file: int, into: memoryview, offset: int) -> None:
        """Fill a buffer from the file."""
        path, done = self.shard.path, 0
        try:
            while done < len(into):
                got = os.preadv(file, [into[done:]], offset + done)
                if got == 0:
                    raise InputError(f"{path}: ends before byte {offset + len(into)}: truncated or damaged")
                done += got
        except (OSError, OverflowError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: cannot be read at byte {offset} ({error})") from error


def fletcher32(data: NDArray[np.uint8]) -> int:
    """The Fletcher-32 checksum of the HDF5 library: over 16-bit words, first byte high, an odd last byte as a high one.

    With words w_0 .. w_{n-1}, modulo 65535: low half `sum w_i`, high half `sum (n - i) w_i`, where a sum that is not 0
    is 65535 rather than 0. Swapping the bytes of a word multiplies it by 256, so the words are added as they lie.

    >>> fletcher32(np.frombuffer(b"abcdef", np.uint8)) == (((0x6162 * 3 + 0x6364 * 2 + 0x6566) % 65535 << 16)
    ...     | (0x6162 + 0x6364 + 0x6566) % 65535)
    True
    """
    words = data[: len(data) & ~1].view("<u2")
    if len(data) % 2:
        words = np.append(words, np.uint16(data[-1]))  # its low byte, which the swap makes the high one
    n, whole = len(words), len(words) // _BLOCK * _BLOCK
    square = words[:whole].reshape(-1, _BLOCK).astype(np.float32)
    of_row = (square @ _ONES).astype(np.float64)
    of_column = np.zeros(_BLOCK)
    for first in range(0, len(square), _BLOCK):
        rows = square[first : first + _BLOCK]
        of_column += _ONES[: len(rows)] @ rows
    rest = words[whole:].astype(np.float64)
    total = int(of_row.sum() + rest.sum())
    weighted = _BLOCK * int(of_row @ np.arange(len(of_row))) + int(of_column @ np.arange(_BLOCK))
    weighted += int(rest @ np.arange(whole, n))
    low, high = (256 * value % 65535 or (65535 if total else 0) for value in (total, n * total - weighted))
    return high << 16 | low


def _all_finite(body: NDArray[np.uint8], dtype: np.dtype[Any]) -> bool:
    """Whether no value has all its exponent bits set; ten times as fast as `np.isfinite` on float16."""
    if dtype.kind != "f":
        return True
    bits, limit = ("<u2", 0x7C00) if dtype.itemsize == 2 else ("<u4", 0x7F800000)
    values = body.view(bits)
    return bool((values & values.dtype.type(2 ** (8 * dtype.itemsize - 1) - 1)).max(initial=0) < limit)
