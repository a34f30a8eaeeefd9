"""Rows to be read, in pieces that lie side by side in a shard's file, and the runs of units that are checked first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.tables import Table

CHECKED_BYTES = 1 << 20  # read before they are checked: what stays in the cache of a core


class Pieces(NamedTuple):
    """Rows to be read.

    Attributes:
        shard: (P,) the shard they are in.
        low, high: (P,) the first, and the one after the last.
        to: (P,) the byte of the memory that they go to.
    """

    shard: NDArray[np.intp]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    to: NDArray[np.intp]

    def some(self, which: NDArray[Any] | slice) -> Pieces:
        """Some of them."""
        return Pieces(*(part[which] for part in self))

    def in_chunks(self, table: Table) -> Pieces:
        """The same rows in pieces that lie side by side in a file, in the order of the shards and of their files."""
        begin, rows = table.first[self.shard], table.rows[self.shard]
        chunk = (self.low - begin) // rows
        count = (self.high - 1 - begin) // rows - chunk + 1
        of = np.repeat(np.arange(len(count)), count)
        begin = begin[of] + (chunk[of] + np.arange(len(of)) - (np.cumsum(count) - count)[of]) * rows[of]
        low = np.maximum(self.low[of], begin)
        high = np.minimum(self.high[of], begin + rows[of])
        to = self.to[of] + (low - self.low[of]) * table.row_bytes
        return Pieces(self.shard[of], low, high, to).some(np.argsort(low, kind="stable"))

    def any_is(self, state: int, table: Table) -> NDArray[np.bool_]:
        """(P,) whether a unit that has some of the rows is in a state."""
        first = table.unit_of(self.shard, self.low)
        units = table.unit_of(self.shard, self.high - 1) - first + 1
        start = np.cumsum(units) - units
        number = np.repeat(first - start, units) + np.arange(units.sum())
        return np.asarray(np.logical_or.reduceat(table.state[number] == state, start))


class Runs(NamedTuple):
    """The units that some pieces lie in: runs of units that lie side by side, each read at once.

    Attributes:
        shard: (R,) the shard it is in.
        first, units: (R,) a run's first unit, and how many it has.
        before: (R,) the units of the runs before it.
        offset: (R,) the byte of the file that it begins at.
        run: (P,) that of a piece; pieces that share a unit share one.
        skip: (P,) bytes of all runs, one after the other, before a piece.
        unit_bytes: Of each unit.
    """

    shard: NDArray[np.intp]
    first: NDArray[np.int64]
    units: NDArray[np.int64]
    before: NDArray[np.int64]
    offset: NDArray[np.int64]
    run: NDArray[np.int64]
    skip: NDArray[np.int64]
    unit_bytes: int

    @classmethod
    def of(cls, table: Table, pieces: Pieces) -> Runs:
        """Those of pieces in the order of the shards and of their files, of which all units have as many rows."""
        unit_bytes = int(table.unit[pieces.shard[0]]) * table.row_bytes
        low, high = table.unit_of(pieces.shard, pieces.low), table.unit_of(pieces.shard, pieces.high - 1) + 1
        begins = np.append(True, low[1:] >= np.maximum.accumulate(high)[:-1])
        run = np.cumsum(begins) - 1
        shard, first = pieces.shard[begins], low[begins]
        units = np.maximum.reduceat(high, np.flatnonzero(begins)) - first
        before = np.cumsum(units) - units
        row = table.row_of(shard, first)
        skip = (pieces.low - row[run]) * table.row_bytes + before[run] * unit_bytes
        return cls(shard, first, units, before, table.place(shard, row), run, skip, unit_bytes)

    def groups(self) -> Iterator[tuple[slice, slice, int]]:
        """Runs to be checked together, about `CHECKED_BYTES`: which runs, which pieces, and how many units."""
        group = self.before * self.unit_bytes // CHECKED_BYTES
        run = np.append(np.flatnonzero(np.append(True, group[1:] > group[:-1])), len(group))
        piece = np.searchsorted(self.run, run).tolist()
        units = np.diff(np.append(self.before, self.before[-1] + self.units[-1])[run]).tolist()
        runs = run.tolist()
        return zip(map(slice, runs[:-1], runs[1:]), map(slice, piece[:-1], piece[1:]), units, strict=True)

    def numbers(self) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """The shards and the numbers of all units of all runs."""
        number = np.repeat(self.first - self.before, self.units) + np.arange(self.units.sum())
        return np.repeat(self.shard, self.units), number
