"""Rows of shards read past the HDF5 library, checked by the shards' own checksums.

A shard's chunks lie in the file as they are in memory, each followed by its Fletcher-32 checksum, so that once the
library has said where they lie, plain reads do. What is checked at once is a *unit*: the `BLOCK_ROWS` rows that one of
the shard's own checksums covers, or a chunk where a shard has none. A unit is read whole and checked before a row of it
is first given out; after that its rows are read alone.

A read of a window takes some ten microseconds, no more than a few calls into numpy do. So many windows are read at once,
worked out with few calls, and units are checked many at a time, in memory that stays in the cache of a core between
being read, being checked and being copied on.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.checksums import all_finite, block_sums, fletcher32
from highlight_lit.data.pieces import SOUND, SUSPECT, UNKNOWN, Pieces, Runs, Source, any_in
from highlight_lit.data.shard import BLOCK_ROWS, Shard, identity
from highlight_lit.data.shared import Shapes, Shared
from highlight_lit.errors import InputError


class Part(NamedTuple):
    """Some windows of a batch.

    Attributes:
        bag: (W,) which each goes into.
        shard, row: (W,) where its video is.
        start, clips: (W,) of the video's clips, its first, and how many.
    """

    bag: NDArray[np.intp]
    shard: NDArray[np.intp]
    row: NDArray[np.intp]
    start: NDArray[np.int64]
    clips: NDArray[np.int64]


class CorpusRows:
    """Reads windows out of the shards of a corpus.

    Args:
        shards: The shards; their files must stay the ones they were opened on.
        streams: Names of the streams to read.
        known: What is known of each unit, from a process that reads the same shards; new if None.
    """

    def __init__(self, shards: Sequence[Shard], streams: Sequence[str], known: Shared | None = None) -> None:
        self.shards, self.streams = shards, tuple(streams)
        blocks = np.cumsum([0, *(-(-int(shard.offsets[-1]) // BLOCK_ROWS) for shard in shards)]).tolist()
        shapes: Shapes = dict.fromkeys(streams, ((blocks[-1],), "u1"))
        self.known = Shared(shapes) if known is None else known
        parts = [slice(*ends) for ends in itertools.pairwise(blocks)]
        self._rows = [
            ShardRows(shard, {name: states[part] for name, states in self.known.arrays.items()})
            for shard, part in zip(shards, parts, strict=True)
        ]

    def read(
        self, part: Part, out: Mapping[str, NDArray[Any]], tell: Callable[[int], object] = lambda shard: None
    ) -> dict[str, NDArray[np.bool_]]:
        """Read windows; rows beyond a window's last repeat its first.

        Args:
            part: The windows.
            out: (B, tau, D) of each stream to read, and with `audio` (B, tau) of `heard`.
            tell: Called with the number of each shard before it is read.

        Returns:
            Of each stream, (W,) whether a value of the window, or near it, may be NaN or infinite.

        Raises:
            InputError: A shard is damaged, gone, or not the file it was.
        """
        streams = [name for name in self.streams if name in out]
        suspect = {name: np.zeros(len(part.bag), bool) for name in streams}
        for number in np.unique(part.shard).tolist():
            tell(number)
            source, here = self._rows[number], part.shard == number
            bag, clips = part.bag[here], part.clips[here]
            first = source.shard.offsets[part.row[here]] + part.start[here]
            with source.opened() as file:
                for name in streams:
                    suspect[name][here] = source.read(file, name, first, clips, out[name], bag)
            if "heard" in out:
                out["heard"][bag] = source.heard(first, out["heard"].shape[1])
        for rows in (out[name] for name in streams):
            short = part.clips < rows.shape[1]
            for bag, clips in zip(part.bag[short].tolist(), part.clips[short].tolist(), strict=True):
                rows[bag, clips:] = rows[bag, 0]
        return suspect


class ShardRows:
    """Reads rows of one shard into arrays of the caller.

    Args:
        shard: The shard; its file must stay the one it was opened on.
        known: Of each stream, a byte a block of `BLOCK_ROWS` rows to note in what is known of it.
    """

    def __init__(self, shard: Shard, known: Mapping[str, NDArray[np.uint8]]) -> None:
        self.shard, self._known = shard, known
        self._rows: dict[str, Source | None] = {}
        self._heard: NDArray[np.uint8] | None = None

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the file for some reads.

        Raises:
            InputError: Before or after them the file is gone, or no longer the one that was opened: replaced, cut or
                written to.
        """
        path = self.shard.path
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"{path}: cannot be read any more ({error.strerror}); expected a feature shard") from error
        try:
            self._same(file)
            yield file
            self._same(file)
        finally:
            os.close(file)

    def _same(self, file: int) -> None:
        if identity(os.fstat(file)) != self.shard.identity:
            raise InputError(f"{self.shard.path}: replaced or changed since it was opened; expected the same file")

    def read(
        self,
        file: int,
        name: str,
        first: NDArray[np.int64],
        count: NDArray[np.int64],
        out: NDArray[Any],
        into: NDArray[np.intp],
    ) -> NDArray[np.bool_]:
        """Read windows of rows of `visual` or `audio`.

        Args:
            file: From `opened`.
            name: The dataset.
            first, count: (W,) the row each window starts at, and how many it has, at least 1.
            out: (B, tau, ...) contiguous, of the dataset's type; rows beyond a window's are left as they are.
            into: (W,) which of the B each window goes into, from its start.

        Returns:
            (W,) whether a value of the window, or near it, may be NaN or infinite.

        Raises:
            InputError: A unit is damaged, or the file ends too soon.
        """  # fmt: skip
        rows = self._of(name)
        if rows is None:
            for start, length, bag in zip(first.tolist(), count.tolist(), into.tolist(), strict=True):
                out[bag, :length] = self.shard.rows(name, start, start + length)
            return np.ones(len(first), bool)
        pieces = Pieces.of(rows, first, count, into * out.shape[1] * rows.layout.row_bytes)
        memory = out.reshape(-1).view(np.uint8).data
        unknown = any_in(rows, UNKNOWN, pieces.low, pieces.high)
        known = pieces.some(~unknown)
        size = (known.high - known.low) * rows.layout.row_bytes
        for to, length, offset in zip(known.to.tolist(), size.tolist(), rows.place(known.low).tolist(), strict=True):
            self._pread(file, memory[to : to + length], offset)
        if unknown.any():
            self._read_unknown(file, name, rows, pieces.some(unknown), memory)
        return any_in(rows, SUSPECT, first, first + count)

    def heard(self, first: NDArray[np.int64], tau: int) -> NDArray[np.uint8]:
        """(W, tau) rows of `heard` from `first` on, any beyond the last; kept in memory, a bit a clip, once asked for."""
        if self._heard is None:
            self._heard = np.packbits(self.shard.rows("heard", 0, int(self.shard.offsets[-1])))
        row = np.minimum(first[:, None] + np.arange(tau), 8 * len(self._heard) - 1)
        return np.asarray(self._heard[row >> 3] >> (7 - (row & 7)) & 1, np.uint8)

    def _of(self, name: str) -> Source | None:
        """How a dataset is read; None where only the library can (compressed, say)."""
        if name not in self._rows:
            layout = self.shard.layout(name)
            if layout is None:
                self._rows[name] = None
            else:
                unit = layout.rows if layout.sums is None else BLOCK_ROWS
                units, known = -(-int(self.shard.offsets[-1]) // unit), self._known[name]
                # Chunks of fewer rows than a block has are none of ours; what is known of them is not shared.
                state = known[:units] if units <= len(known) else np.zeros(units, np.uint8)
                self._rows[name] = Source(layout, unit, state)
        return self._rows[name]

    def _read_unknown(self, file: int, name: str, rows: Source, pieces: Pieces, memory: memoryview) -> None:
        """Read pieces with the units around them, a few at a time, and copy them on once these were checked."""
        size = rows.unit_bytes
        runs = Runs.of(rows, pieces)
        number = runs.numbers()
        scratch = np.empty((max(units for _, _, units in runs.groups()), size), np.uint8)
        for run, piece, units in runs.groups():
            first = int(runs.before[run.start])
            flat = scratch.reshape(-1).data
            at = 0
            for length, offset in zip((runs.units[run] * size).tolist(), runs.offset[run].tolist(), strict=True):
                self._pread(file, flat[at : at + length], offset)
                at += length
            self._check(file, name, rows, number[first : first + units], scratch[:units])
            copied = pieces.some(piece)
            skip = runs.skip[piece] - first * size
            length = (copied.high - copied.low) * rows.layout.row_bytes
            for to, at, stop in zip(copied.to.tolist(), skip.tolist(), (skip + length).tolist(), strict=True):
                memory[to : to + stop - at] = flat[at:stop]

    def _check(self, file: int, name: str, rows: Source, number: NDArray[np.int64], found: NDArray[np.uint8]) -> None:
        """Check units that were read and note what is known of them now."""
        layout = rows.layout
        if layout.sums is not None:
            sound = block_sums(found) == layout.sums[number]
            finite = np.ones(len(number), bool)  # its writer takes no other values
        else:
            tails = np.empty((len(number), 4), np.uint8)
            for tail, offset in zip(tails, layout.offsets[number].tolist(), strict=True):
                self._pread(file, tail.data, offset + rows.unit_bytes)
            sound = fletcher32(found) == tails.view("<u4")[:, 0]
            finite = all_finite(found, layout.dtype)
        if len(bad := number[~sound]):
            row = int(bad[0]) * rows.unit
            raise InputError(
                f"{self.shard.path}: {name}: rows {row} to {row + rows.unit - 1} are damaged: "
                "their checksum differs from the one stored with them"
            )
        rows.state[number] = np.where(finite, SOUND, SUSPECT)

    def _pread(self, file: int, into: memoryview, offset: int) -> None:
        """Fill a buffer from the file."""
        path = self.shard.path
        while True:
            try:
                got = os.preadv(file, [into], offset)
            except (OSError, OverflowError, ValueError) as error:
                raise InputError(f"{path}: cannot be read at byte {offset} ({error})") from error
            if got == len(into):
                return
            if got == 0:
                raise InputError(f"{path}: ends before byte {offset + len(into)}: truncated or damaged")
            into, offset = into[got:], offset + got
