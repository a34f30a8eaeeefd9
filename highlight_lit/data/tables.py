"""Where the rows of a stream lie, in all shards of a corpus, and what is known of them.

A batch of a corpus in thousands of shards has hardly two windows in the same one. So rows, and the units that they are
checked in, are numbered through all shards, and where many windows lie is worked out with as many calls into numpy as it
takes for one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.shard import BLOCK_ROWS, Shard
from highlight_lit.data.shared import Private, Shapes, Shared

UNKNOWN, SOUND, SUSPECT = range(3)  # what is known of a unit; suspect: sound, with a value that is not finite
_LIBRARY = -1  # in place of the rows of a chunk


def first_blocks(shards: Sequence[Shard]) -> NDArray[np.int64]:
    """(S + 1,) blocks of `BLOCK_ROWS` rows before each shard, and in all."""
    return np.cumsum([0, *(-(-int(shard.offsets[-1]) // BLOCK_ROWS) for shard in shards)])


class Table:
    """The rows of `visual` or `audio`, numbered through all shards, those of a shard from a whole block on.

    Args:
        shards: The shards.
        name: The stream.
        known: The arrays `shapes` of what is found out, which other processes may share.

    Attributes:
        first: (S,) number of each shard's first row.
        rows: (S,) of a chunk.
        unit: (S,) rows of a unit, what is checked at once: a block, or a chunk where a shard has no `block_sums`.
        state: (blocks,) of each unit UNKNOWN, SOUND or SUSPECT; a shard's units are numbered from its first block on.
        sums: (blocks,) what the shard keeps of each; where its units are chunks the library's sums are beside those.
        row_bytes: Of a row.
    """

    def __init__(self, shards: Sequence[Shard], name: str, known: Shared | Private) -> None:
        self.name, self._shards = name, shards
        self.state, self.sums = (known.arrays[f"{name} {kind}"] for kind in ("state", "sums"))
        self.first = first_blocks(shards)[:-1] * BLOCK_ROWS
        stream = shards[0].streams[name]
        self.dtype = np.dtype(stream.dtype)
        self.row_bytes = stream.width * self.dtype.itemsize
        self.rows = np.zeros(len(shards), np.int64)
        self.unit = np.full(len(shards), BLOCK_ROWS, np.int64)
        self.has_sums = np.zeros(len(shards), bool)
        self._first_chunk = np.zeros(len(shards), np.int64)
        self._offsets, self._chunks = np.zeros(1024, np.int64), 0

    @staticmethod
    def shapes(shards: Sequence[Shard], names: Iterable[str]) -> Shapes:
        """Of the arrays that tables of these streams share."""
        blocks = (int(first_blocks(shards)[-1]),)
        return {
            f"{name} {kind}": (blocks, dtype) for name in names for kind, dtype in (("state", "u1"), ("sums", "u8"))
        }

    def look_up(self, shard: int) -> None:
        """Read from a shard where its chunks lie; before that nothing can be asked of its rows.

        Raises:
            InputError: The shard is damaged, gone, or not the file it was.
        """
        layout = self._shards[shard].layout(self.name)
        rows = int(self._shards[shard].offsets[-1])
        if layout is None or (layout.sums is None and len(layout.offsets) > -(-rows // BLOCK_ROWS)):
            self.rows[shard] = _LIBRARY
            return
        if layout.sums is None:
            self.unit[shard] = layout.rows
        else:
            block = self.first[shard] // BLOCK_ROWS
            self.sums[block : block + len(layout.sums)] = layout.sums  # another process may do so too: the same ones
        self.has_sums[shard] = layout.sums is not None
        if (chunks := self._chunks + len(layout.offsets)) > len(self._offsets):
            self._offsets = np.append(self._offsets, np.zeros(chunks, np.int64))
        self._offsets[self._chunks : chunks] = layout.offsets
        self._first_chunk[shard], self._chunks = self._chunks, chunks
        self.rows[shard] = layout.rows

    def plain(self, shard: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether plain reads do for some shards, and not the library alone (compressed, say)."""
        return np.asarray(self.rows[shard] != _LIBRARY)

    def place(self, shard: NDArray[np.intp], row: NDArray[np.int64]) -> NDArray[np.int64]:
        """(P,) the byte of its shard's file at which each row begins."""
        within, rows = row - self.first[shard], self.rows[shard]
        chunk = within // rows
        return np.asarray(self._offsets[self._first_chunk[shard] + chunk] + (within - chunk * rows) * self.row_bytes)

    def unit_of(self, shard: NDArray[np.intp], row: NDArray[np.int64]) -> NDArray[np.int64]:
        """(P,) the unit that each row is in."""
        return self.first[shard] // BLOCK_ROWS + (row - self.first[shard]) // self.unit[shard]

    def row_of(self, shard: NDArray[np.intp], unit: NDArray[np.int64]) -> NDArray[np.int64]:
        """(P,) the first row of each unit."""
        return self.first[shard] + (unit - self.first[shard] // BLOCK_ROWS) * self.unit[shard]
