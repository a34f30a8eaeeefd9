"""The shard: one HDF5 file of packed clip features, self-describing and checksummed.

`COLUMNS` lists its datasets. `sum T_n` are the clips of all its N videos, of which video n owns rows `offsets[n]` to
`offsets[n + 1]`; likewise its tags, title and labels. `visual_sums`, `audio_sums` and `audio_mask_sums` are the XXH3-64 of
every `BLOCK_ROWS` rows; their attributes `algorithm` and `block_rows` say so.

The packed rows (`PACKED`) and their sums lie in one piece each (HDF5's contiguous layout), so that a window is one read.
All others are the index: chunked, each chunk with HDF5's Fletcher-32 checksum. A shard never points outside its file.
Version 1 had `heard` for `audio_mask` and packed rows in chunks; such rows, and those that other tools wrote chunked or
compressed, are read through the HDF5 library, more slowly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from highlight_lit.data.video import MAX_SECONDS, SPLITS

FORMAT = "highlight-lit shard"
VERSION = 2
NAMES = {1: {"audio_mask": "heard"}, VERSION: {}}  # of datasets that were named otherwise, by version
PACKED = ("visual", "audio", "audio_mask")
ALGORITHM = "xxh3-64"  # another is another VERSION: rows with sums of another kind are read slowly, their sums unread
checksum = xxhash.xxh3_64_intdigest  # as ALGORITHM says
BLOCK_ROWS = 32  # rows that one sum covers; what is read to check a single row

# Of each dataset: kinds of types, in numpy's letters; the shape of a row, None for any width; and what has a row each,
# "edges" being the N + 1 bounds of videos.
COLUMNS: dict[str, tuple[str, tuple[int | None, ...], str]] = {
    "visual": ("f", (None,), "clips"),  # (sum T_n, Dv) features, float16 or float32
    "audio": ("f", (None,), "clips"),  # (sum T_n, Da)
    "audio_mask": ("u", (), "clips"),  # 1 where the clip has audio; else its audio row is a placeholder, never data
    "span": ("f", (2,), "clips"),  # start and end in seconds
    "offsets": ("iu", (), "edges"),
    "id": ("S", (), "videos"),  # UTF-8, as all text
    "duration": ("f", (), "videos"),  # seconds
    "split": ("iu", (), "videos"),  # index into SPLITS
    "tag_name": ("S", (), "tags"),
    "tag_offsets": ("iu", (), "edges"),
    "tag_index": ("iu", (), "tags of videos"),  # video n has the tags tag_name[tag_index[...]]
    "title_bytes": ("u", (), "bytes"),
    "title_offsets": ("iu", (), "edges"),
    "label_offsets": ("iu", (), "edges"),
    "label_span": ("f", (2,), "segments"),  # start and end in seconds
    "label_score": ("f", (None,), "segments"),  # of each annotator; NaN in columns that a video has no annotator for
}
TIMES = ("duration", "span", "label_span")  # in seconds
POINTS_INTO = {
    "tag_index": "tag_name", "tag_offsets": "tag_index", "title_offsets": "title_bytes", "label_offsets": "label_span",
}  # fmt: skip
_WORDS = {"u": "unsigned bytes", "iu": "whole numbers", "f": "numbers", "S": "bytes"}


def misfit(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], counts: Mapping[str, int]) -> str | None:
    """How a dataset's type or shape is not what its name asks for; `counts` are of clips, videos and edges, where known."""
    if name not in COLUMNS:
        return None
    kinds, row, each = COLUMNS[name]
    fits = len(shape) == 1 + len(row) and all(a in (None, b) for a, b in zip(row, shape[1:], strict=True))
    if not fits or dtype.kind not in kinds or (kinds == "u" and dtype.itemsize != 1):
        return f"{dtype} of shape {shape}, expected {_WORDS[kinds]}" + (f", {row[0] or 'some'} in a row" if row else "")
    rows = counts.get(each, shape[0])
    return None if shape[0] == rows else f"{shape[0]} rows, expected {rows}"


def wrong_value(name: str, values: NDArray[Any], first: int, pointed: int) -> str | None:
    """What values of a column, of offsets all, it may not hold, and what was expected.

    They begin with the row `first`, and point into a dataset of `pointed` rows, if the column is in `POINTS_INTO`.
    """
    if name.endswith("offsets"):
        end = pointed if name in POINTS_INTO else values.max(initial=0)
        fits = values.size and values[0] == 0 and values[-1] == end and (values[1:] >= values[:-1]).all()
        return None if fits else f"not {len(values)} rising numbers from 0 to {end}"
    if name in ("id", "tag_name"):
        wrong, expected = ~_are_text(values), "UTF-8"
        if name == "id" and values.size:  # a zero byte would end the name of a file
            length = np.count_nonzero(values.view(np.uint8).reshape(len(values), -1), axis=1)
            wrong |= (length == 0) | (length != np.char.str_len(values))
            expected += ", not empty, without a zero byte"
    elif name == "duration":
        wrong, expected = ~((values > 0) & (values <= MAX_SECONDS)), f"seconds above 0, at most {MAX_SECONDS:g}"
    elif name == "span":
        wrong = ~((values >= 0) & (values <= MAX_SECONDS)).all(axis=1) | (values[:, 0] >= values[:, 1])
        expected = f"a start before its end, both at least 0 and at most {MAX_SECONDS:g}"
    elif name in ("split", "tag_index"):
        most = len(SPLITS) if name == "split" else pointed
        wrong, expected = (values < 0) | (values >= most), f"0 to {most - 1}" if most else "none"
    else:
        return None
    row = int(np.argmax(wrong)) if wrong.size else 0
    return f"{values[row]} in row {first + row}, expected {expected}" if wrong.any() else None


def _are_text(values: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    if values.size == 0 or values.view(np.uint8).max() < 0x80:
        return np.ones(len(values), np.bool_)
    return np.array([value.decode(errors="ignore").encode() == value for value in values.tolist()])
