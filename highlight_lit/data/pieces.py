"""Where windows of rows lie in a shard's file: in pieces of chunks, and in the runs of units that are checked first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.shard import Layout

UNKNOWN, SOUND, SUSPECT = range(3)  # what is known of a unit; suspect: sound, with a value that is not finite
CHECKED_BYTES = 1 << 21  # read before they are checked: what the cache of a core holds


class Source(NamedTuple):
    """A dataset as it is read: where it lies, the rows of a unit, and what is known of each unit.

    Attributes:
        state: (units,) UNKNOWN, SOUND or SUSPECT.
    """

    layout: Layout
    unit: int
    state: NDArray[np.uint8]

    @property
    def unit_bytes(self) -> int:
        """Of a unit."""
        return self.unit * self.layout.row_bytes

    def place(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        """(P,) the byte of the file at which rows begin."""
        chunk = row // self.layout.rows
        return self.layout.offsets[chunk] + (row - chunk * self.layout.rows) * self.layout.row_bytes


class Pieces(NamedTuple):
    """What windows of rows have in single chunks, where they lie side by side: a piece each.

    Attributes:
        low, high: (P,) the rows of a piece, the last one excluded.
        to: (P,) the byte of the memory that it goes to.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    to: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Source, first: NDArray[np.int64], count: NDArray[np.int64], at: NDArray[np.intp]) -> Pieces:
        """Those of windows that go to some bytes of the memory, in the order of the file."""
        chunk = first // rows.layout.rows
        pieces = (first + count - 1) // rows.layout.rows - chunk + 1
        window = np.repeat(np.arange(len(first)), pieces)
        chunk = chunk[window] + np.arange(len(window)) - (np.cumsum(pieces) - pieces)[window]
        low = np.maximum(first[window], chunk * rows.layout.rows)
        high = np.minimum((first + count)[window], (chunk + 1) * rows.layout.rows)
        order = np.argsort(low, kind="stable")
        to = at[window] + (low - first[window]) * rows.layout.row_bytes
        return cls(low[order], high[order], to[order])

    def some(self, which: NDArray[Any] | slice) -> Pieces:
        """Some of them."""
        return Pieces(*(part[which] for part in self))


class Runs(NamedTuple):
    """The units that some pieces lie in: runs of units that lie side by side, each read at once.

    Attributes:
        first, units: (R,) a run's first unit, and how many it has.
        before: (R,) the units of the runs before it.
        offset: (R,) the byte of the file that it begins at.
        run: (P,) that of a piece; pieces that share a unit share one.
        skip: (P,) bytes of all runs, one after the other, before a piece.
    """

    first: NDArray[np.int64]
    units: NDArray[np.int64]
    before: NDArray[np.int64]
    offset: NDArray[np.int64]
    run: NDArray[np.int64]
    skip: NDArray[np.int64]
    unit_bytes: int

    @classmethod
    def of(cls, rows: Source, pieces: Pieces) -> Runs:
        """Those of pieces in the order of the file."""
        low, high = pieces.low // rows.unit, (pieces.high - 1) // rows.unit + 1
        begins = np.append(True, low[1:] >= np.maximum.accumulate(high)[:-1])
        run = np.cumsum(begins) - 1
        first = low[begins]
        units = np.maximum.reduceat(high, np.flatnonzero(begins)) - first
        before = np.cumsum(units) - units
        skip = (pieces.low - first[run] * rows.unit) * rows.layout.row_bytes + before[run] * rows.unit_bytes
        return cls(first, units, before, rows.place(first * rows.unit), run, skip, rows.unit_bytes)

    def groups(self) -> Iterator[tuple[slice, slice, int]]:
        """Runs to be checked together, about `CHECKED_BYTES`: which runs, which pieces, and how many units."""
        group = self.before * self.unit_bytes // CHECKED_BYTES
        run = np.append(np.flatnonzero(np.append(True, group[1:] > group[:-1])), len(group))
        piece = np.searchsorted(self.run, run).tolist()
        units = np.diff(np.append(self.before, self.before[-1] + self.units[-1])[run]).tolist()
        runs = run.tolist()
        return zip(map(slice, runs[:-1], runs[1:]), map(slice, piece[:-1], piece[1:]), units, strict=True)

    def numbers(self) -> NDArray[np.int64]:
        """All units of all runs."""
        return np.asarray(np.repeat(self.first - self.before, self.units) + np.arange(self.units.sum()))


def any_in(rows: Source, state: int, low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(P,) whether a unit that has some of the rows `low` to `high` is in a state."""
    first = low // rows.unit
    units = (high - 1) // rows.unit - first + 1
    start = np.cumsum(units) - units
    number = np.repeat(first - start, units) + np.arange(units.sum())
    return np.asarray(np.logical_or.reduceat(rows.state[number] == state, start))
