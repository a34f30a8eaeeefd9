"""Rows of shards read past the HDF5 library, checked by the shards' own checksums.

A shard's chunks lie in the file as they are in memory, each followed by its Fletcher-32 checksum, so that once the
library has said where they lie, plain reads do. What is checked at once is a *unit*: the `BLOCK_ROWS` rows that one of
the shard's own checksums covers, or a chunk where a shard has none. A unit is read whole and checked before a row of it
is first given out; after that its rows are read alone.

A read of a window takes some ten microseconds, no more than a few calls into numpy do. So many windows of many shards
are read at once, worked out with few calls, and units are checked many at a time, in memory that stays in the cache of
a core between being read, being checked and being copied on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.checksums import all_finite, block_sums, fletcher32
from highlight_lit.data.open_shards import OpenShards
from highlight_lit.data.pieces import Pieces, Runs
from highlight_lit.data.shard import BLOCK_ROWS, Shard
from highlight_lit.data.shared import Private, Shapes, Shared
from highlight_lit.data.tables import SOUND, SUSPECT, UNKNOWN, Table, first_blocks
from highlight_lit.errors import InputError

MOST_AT_ONCE = 128  # shards that are open for one read, beside those that the library has open


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

    def by_shards(self, most: int) -> Iterator[tuple[NDArray[np.intp], list[int]]]:
        """The windows of at most so many shards at a time: which windows, in the shards' order, and which shards."""
        order = np.argsort(self.shard, kind="stable")
        shards, first = np.unique(self.shard[order], return_index=True)
        ends = [*first[most::most].tolist(), len(order)]
        for number, end in zip(range(0, len(shards), most), ends, strict=False):  # of no windows there is an end alone
            yield order[first[number] : end], shards[number : number + most].tolist()


class CorpusRows:
    """Reads windows out of the shards of a corpus.

    Args:
        shards: The shards; their files must stay the ones they were opened on.
        streams: Names of the streams to read.
        known: What is known of the shards, `shapes`, where other processes read the same ones.
    """

    def __init__(self, shards: Sequence[Shard], streams: Sequence[str], known: Shared | None = None) -> None:
        self.shards, self.streams = shards, tuple(streams)
        blocks = first_blocks(shards)
        self.known = Private(self.shapes(shards, streams)) if known is None else known
        self._tables = [Table(shards, name, self.known) for name in streams]
        self._streams = {table.name: _StreamRows(shards, table) for table in self._tables}
        self._first = blocks[:-1] * BLOCK_ROWS
        self._looked_up = np.zeros(len(shards), bool)

    @staticmethod
    def shapes(shards: Sequence[Shard], streams: Sequence[str]) -> Shapes:
        """Of the arrays that hold what is known of shards."""
        heard = (int(first_blocks(shards)[-1]) * BLOCK_ROWS // 8,)
        return {**Table.shapes(shards, streams), "heard": (heard, "u1")}

    def read(
        self, part: Part, out: Mapping[str, NDArray[Any]], tell: Callable[[int], object] = lambda shard: None
    ) -> dict[str, NDArray[np.bool_]]:
        """Read windows; rows of a bag beyond its window's last repeat its first.

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
        for which, shards in part.by_shards(MOST_AT_ONCE):
            bag, shard, row, start, clips = (column[which] for column in part)
            first = self._first_rows(shard, row, start)
            for number in shards:
                if not self._looked_up[number]:
                    tell(number)
                    self._look_up(number)
            with OpenShards(self.shards, shards, tell) as files:
                for name in streams:
                    windows = Pieces(shard, first, first + clips, bag * out[name][0].nbytes)
                    suspect[name][which] = self._streams[name].read(files, windows, _bytes(out[name]))
                if "heard" in out:
                    out["heard"][bag] = self._is_heard(first, out["heard"].shape[1])
        for rows in (out[name] for name in streams):
            short = part.clips < rows.shape[1]
            for bag, clips in zip(part.bag[short].tolist(), part.clips[short].tolist(), strict=True):
                rows[bag, clips:] = rows[bag, 0]
        return suspect

    def heard(self, part: Part) -> NDArray[np.bool_]:
        """Where windows that were read are heard, one after the other, (sum of their clips,)."""
        first = np.repeat(self._first_rows(part.shard, part.row, part.start), part.clips)
        ends = np.cumsum(part.clips)
        within = np.arange(ends[-1]) - np.repeat(ends - part.clips, part.clips)
        return self._is_heard(first + within, 1)[:, 0].astype(bool)

    def _first_rows(
        self, shard: NDArray[np.intp], row: NDArray[np.intp], start: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """(W,) the rows at which windows begin, numbered as in `Table`."""
        pairs = zip(shard.tolist(), row.tolist(), strict=True)
        return self._first[shard] + np.array([self.shards[one].offsets[video] for one, video in pairs]) + start

    def _look_up(self, number: int) -> None:
        """Ask the library all that there is to ask of a shard, and let it go: a shard that it has open takes a megabyte."""
        shard = self.shards[number]
        for table in self._tables:
            table.look_up(number)
        if "audio" in self.streams:
            found = np.packbits(shard.rows("heard", 0, int(shard.offsets[-1])))
            byte = int(self._first[number]) // 8
            self.known.arrays["heard"][byte : byte + len(found)] = found  # another process may do so too: the same ones
        shard.close()
        self._looked_up[number] = True

    def _is_heard(self, first: NDArray[np.int64], tau: int) -> NDArray[np.uint8]:
        """(W, tau) `heard` from some rows on, a bit a clip in memory; any beyond a shard's last."""
        bits = self.known.arrays["heard"]
        row = np.minimum(first[:, None] + np.arange(tau), 8 * len(bits) - 1)
        return np.asarray(bits[row >> 3] >> (7 - (row & 7)) & 1, np.uint8)


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


class _StreamRows:
    """Reads rows of one stream into memory of the caller."""

    def __init__(self, shards: Sequence[Shard], table: Table) -> None:
        self._shards, self._table = shards, table

    def read(self, files: OpenShards, windows: Pieces, memory: memoryview) -> NDArray[np.bool_]:
        """Read windows, of at least a row each; whether a value of each, or near it, may be NaN or infinite, (W,).

        Raises:
            InputError: A unit is damaged, or a file ends too soon.
        """
        plain = self._table.plain(windows.shard)
        suspect = np.ones(len(plain), bool)
        if plain.any():
            suspect[plain] = self._read(files, windows.some(plain), memory)
        for shard, low, high, to in zip(*(part.tolist() for part in windows.some(~plain)), strict=True):
            rows = self._shards[shard].rows(self._table.name, *(np.array([low, high]) - self._table.first[shard]))
            memory[to : to + rows.nbytes] = _bytes(rows)
        return suspect

    def _read(self, files: OpenShards, windows: Pieces, memory: memoryview) -> NDArray[np.bool_]:
        table, pieces = self._table, windows.in_chunks(self._table)
        unknown = pieces.any_is(UNKNOWN, table)
        known = pieces.some(~unknown)
        size = (known.high - known.low) * table.row_bytes
        where = known.shard, known.to, size, table.place(known.shard, known.low)
        for shard, to, length, offset in zip(*(part.tolist() for part in where), strict=True):
            files.fill(shard, memory[to : to + length], offset)
        kind = 2 * table.unit[pieces.shard] + table.has_sums[pieces.shard]
        for one in np.unique(kind[unknown]).tolist():  # nearly always one
            self._read_unknown(files, pieces.some(unknown & (kind == one)), memory)
        return windows.any_is(SUSPECT, table)

    def _read_unknown(self, files: OpenShards, pieces: Pieces, memory: memoryview) -> None:
        """Read pieces with the units around them, a few at a time, and copy them on once these were checked."""
        runs = Runs.of(self._table, pieces)
        shard, number = runs.numbers()
        size = runs.unit_bytes
        scratch = np.empty((max(units for _, _, units in runs.groups()), size), np.uint8)
        flat = _bytes(scratch)
        for run, piece, units in runs.groups():
            first, at = int(runs.before[run.start]), 0
            where = runs.shard[run], runs.units[run] * size, runs.offset[run]
            for one, length, offset in zip(*(part.tolist() for part in where), strict=True):
                files.fill(one, flat[at : at + length], offset)
                at += length
            these = slice(first, first + units)
            self._check(files, shard[these], number[these], scratch[:units])
            copied = pieces.some(piece)
            skip = runs.skip[piece] - first * size
            stop = skip + (copied.high - copied.low) * self._table.row_bytes
            for to, at, end in zip(copied.to.tolist(), skip.tolist(), stop.tolist(), strict=True):
                memory[to : to + end - at] = flat[at:end]

    def _check(
        self, files: OpenShards, shard: NDArray[np.intp], number: NDArray[np.int64], found: NDArray[np.uint8]
    ) -> None:
        """Check units that were read and note what is known of them now."""
        table = self._table
        if table.has_sums[shard[0]]:
            sound = block_sums(found) == table.sums[number]
            finite = np.ones(len(number), bool)  # its writer takes no other values
        else:
            tails = np.empty((len(number), 4), np.uint8)
            end = table.place(shard, table.row_of(shard, number)) + found.shape[1]
            for one, tail, offset in zip(shard.tolist(), tails, end.tolist(), strict=True):
                files.fill(one, tail.data, offset)
            sound = fletcher32(found) == tails.view("<u4")[:, 0]
            finite = all_finite(found, table.dtype)
        if not sound.all():
            bad = int(np.argmin(sound))
            row = int((table.row_of(shard, number) - table.first[shard])[bad])
            raise InputError(
                f"{self._shards[shard[bad]].path}: {table.name}: rows {row} to {row + int(table.unit[shard[bad]]) - 1} "
                "are damaged: their checksum differs from the one stored with them"
            )
        table.state[number] = np.where(finite, SOUND, SUSPECT)
