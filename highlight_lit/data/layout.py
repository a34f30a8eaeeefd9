"""Where the rows of a dataset lie in its file, as far as they lie there as they are in memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

MOST_CHUNK_BYTES = 1 << 26  # larger chunks are left to the library


class Layout(NamedTuple):
    """Where the chunks of a dataset lie.

    Attributes:
        rows: Of a chunk.
        row_bytes: Of a row.
        dtype: Of its values.
        offsets: (chunks,) the byte of the file that each starts at.
        sums: (blocks,) those of `visual_check` or `audio_check`; None where the shard has none.
    """

    rows: int
    row_bytes: int
    dtype: np.dtype[Any]
    offsets: NDArray[np.int64]
    sums: NDArray[np.uint64] | None = None


def layout_of(dataset: h5py.Dataset) -> Layout | None:
    """Its layout, without sums; None where it is not in chunks of whole rows with a Fletcher-32 checksum and no more."""
    made = dataset.id.get_create_plist()
    alone = made.get_nfilters() == 1 and made.get_filter(0)[0] == h5py.h5z.FILTER_FLETCHER32
    if not alone or dataset.chunks[1:] != dataset.shape[1:]:
        return None
    rows = dataset.chunks[0]
    row_bytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
    offsets = np.full(-(-len(dataset) // rows), -1, np.int64)
    as_written = rows * row_bytes <= MOST_CHUNK_BYTES

    def note(chunk: Any) -> None:
        nonlocal as_written
        as_written &= chunk.filter_mask == 0 and chunk.size == rows * row_bytes + 4
        offsets[chunk.chunk_offset[0] // rows] = chunk.byte_offset

    dataset.id.chunk_iter(note)
    return Layout(rows, row_bytes, dataset.dtype, offsets) if as_written and bool((offsets >= 0).all()) else None
