"""The shard: one HDF5 file of packed clip features, self-describing and checksummed.

================================ ==================================== =========================================
dataset                          shape                                meaning
================================ ==================================== =========================================
visual, audio                    (sum T, Dv), (sum T, Da)             clip features, float16 or float32
audio_mask                       (sum T,)                             1 where the clip has audio; else its audio
                                                                      row is a placeholder, never data
span                             (sum T, 2)                           start and end of each clip in seconds
offsets                          (N + 1,)                             video n owns rows offsets[n]:offsets[n+1]
id, duration, split              (N,)                                 UTF-8 bytes; seconds; index into SPLITS
tag_name, tag_offsets, tag_index (K,), (N + 1,), (sum tags,)          video n has tags tag_name[tag_index[...]]
title_bytes, title_offsets       (sum bytes,), (N + 1,)               titles, UTF-8
label_offsets, _span, _score     (N + 1,), (sum S, 2), (sum S, A)     annotators' scores of segments in seconds;
                                                                      NaN in columns that a video has no annotator for
visual_sums, audio_sums,         (blocks,)                            XXH3-64 of every `BLOCK_ROWS` rows of the dataset;
audio_mask_sums                                                       attributes `algorithm` and `block_rows` say so
================================ ==================================== =========================================

The packed rows (`PACKED`) and their sums lie in one piece each (HDF5's contiguous layout), so that a window is one read.
All others are the index: chunked, each chunk with HDF5's Fletcher-32 checksum. A shard never points outside its file.
Version 1 had `audio_mask` for `audio_mask` and packed rows in chunks; such rows, and those that other tools wrote chunked or
compressed, are read through the HDF5 library, more slowly.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.video import SPLITS

FORMAT = "highlight-lit shard"
VERSION = 2
PACKED = ("visual", "audio", "audio_mask")
NAMES = {1: {"audio_mask": "heard"}, VERSION: {}}  # of datasets that were named otherwise, by version
BY_VIDEO = ("id", "duration", "split")
ALGORITHM = "xxh3-64"
BLOCK_ROWS = 32  # rows that one sum covers; what is read to check a single row

# Kinds of types, in numpy's letters, and the shape of a row; None for any width.
_KINDS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "audio_mask": ("u", ()), "span": ("f", (2,)), "offsets": ("iu", ()),
    "id": ("S", ()), "duration": ("f", ()), "split": ("iu", ()),
    "tag_name": ("S", ()), "tag_offsets": ("iu", ()), "tag_index": ("iu", ()),
    "title_bytes": ("u", ()), "title_offsets": ("iu", ()),
    "label_offsets": ("iu", ()), "label_span": ("f", (2,)), "label_score": ("f", (None,)),
}  # fmt: skip
_WORDS = {"u": "unsigned numbers", "iu": "whole numbers", "f": "numbers", "S": "bytes"}


def misfit(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> str | None:
    """What a dataset of this name was expected to be, if it is not by its type and shape."""
    if name not in _KINDS:
        return None
    kinds, row = _KINDS[name]
    fits = len(shape) == 1 + len(row) and all(one in (None, other) for one, other in zip(row, shape[1:], strict=True))
    if fits and dtype.kind in kinds and (name != "audio_mask" or dtype.itemsize == 1):
        return None
    return f"{dtype} of shape {shape}, expected {_WORDS[kinds]}" + (f", {row[0] or 'some'} in a row" if row else "")


def wrong_value(name: str, values: NDArray[Any], tags: int) -> str | None:
    """What a column holds that it may not, and what was expected; `tags` is the length of `tag_name`."""
    if name in ("id", "tag_name"):
        return _not_text(values)
    if name == "duration":
        wrong, expected = ~(np.isfinite(values) & (values > 0)), "seconds above 0"
    else:
        most = {"split": len(SPLITS), "tag_index": tags}.get(name)
        if most is None:
            return None
        wrong, expected = (values < 0) | (values >= most), f"0 to {most - 1}" if most else "none"
    return f"{values[np.argmax(wrong)]} in row {np.argmax(wrong)}, expected {expected}" if wrong.any() else None


def _not_text(values: NDArray[np.bytes_]) -> str | None:
    if values.size == 0 or values.view(np.uint8).max() < 0x80:
        return None
    for row, value in enumerate(values.tolist()):
        try:
            value.decode()
        except UnicodeDecodeError:
            return f"{value!r} in row {row}, expected UTF-8"
    return None


def all_finite(values: NDArray[Any]) -> bool:
    """Whether no value has all bits of its exponent set; `np.isfinite` takes ten times as long on float16.

    As a signed number the bits of a positive value, as an unsigned one those of a negative, rise with its size.
    """
    if values.dtype.kind != "f" or values.size == 0:
        return True
    kind, infinity = ("2", 0x7C00) if values.itemsize == 2 else ("4", 0x7F800000)
    sign = 1 << (8 * values.itemsize - 1)
    bits = values.reshape(-1)
    largest = np.maximum.reduce  # `max` without its checks: half the time on the rows of a clip
    return bool(largest(bits.view(f"<i{kind}")) < infinity and largest(bits.view(f"<u{kind}")) < infinity + sign)
