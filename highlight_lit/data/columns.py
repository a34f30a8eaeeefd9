"""What the datasets of a shard may hold, but for the features. A shard may come from anywhere, and numpy takes anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.video import SPLITS

# Kinds of types, in numpy's letters, and the shape of a row; None for any width.
_KINDS: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "heard": ("u", ()), "span": ("f", (2,)), "offsets": ("iu", ()),
    "id": ("S", ()), "duration": ("f", ()), "split": ("iu", ()),
    "tag_name": ("S", ()), "tag_offsets": ("iu", ()), "tag_index": ("iu", ()),
    "title_bytes": ("u", ()), "title_offsets": ("iu", ()),
    "label_offsets": ("iu", ()), "label_span": ("f", (2,)), "label_score": ("f", (None,)),
}  # fmt: skip
_WORDS = {"u": "unsigned numbers", "iu": "whole numbers", "f": "numbers", "S": "bytes"}
BY_VIDEO = ("id", "duration", "split")


def misfit(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> str | None:
    """What a dataset of this name was expected to be, if it is not by its type and shape."""
    if name not in _KINDS:
        return None
    kinds, row = _KINDS[name]
    fits = len(shape) == 1 + len(row) and all(one in (None, other) for one, other in zip(row, shape[1:], strict=True))
    if fits and dtype.kind in kinds:
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
