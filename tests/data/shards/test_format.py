"""A shard whose checksums hold may still hold anything: each column is checked for what it may hold, and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus, write_corpus, write_manifest
from highlight_lit.data.shards.writer import write_index
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError

Column = NDArray[Any]


def falling(offsets: Column) -> Column:
    return np.concatenate([offsets[:1], offsets[-1:], offsets[2:]])


def wrapping(offsets: Column) -> Column:
    """They fall, though each difference as a number of 64 bits is not negative."""
    return np.array([0, 1 << 62, -(1 << 62) - 1, 0, offsets[-1]], np.int64)


@pytest.mark.parametrize(
    ("name", "forge", "said"),
    [
        ("id", lambda ids: np.array([b"\xff\xfe", *ids[1:]], ids.dtype), r"id: b'\\xff\\xfe' in row 0, expected UTF-8"),
        ("id", lambda ids: np.array([b"", *ids[1:]]), "id: b'' in row 0, expected .* not empty"),
        ("id", lambda ids: np.array([b"a\0b", *ids[1:]]), r"id: b'a\\x00b' in row 0, expected .* without a zero byte"),
        ("duration", lambda seconds: seconds - seconds[0], r"duration: 0\.0 in row 0, expected seconds above 0"),
        ("duration", lambda seconds: seconds * np.nan, "duration: nan in row 0, expected seconds above 0"),
        ("duration", lambda seconds: seconds[:, None], r"duration: float64 of shape \(4, 1\), expected numbers"),
        ("duration", lambda seconds: seconds[:-1], "duration: 3 rows, expected 4"),
        ("duration", lambda seconds: np.array([np.inf, *seconds[1:]], np.float16), "duration: inf in row 0, expected seconds"),
        ("span", lambda spans: np.where(spans > spans.min(), np.inf, spans).astype(np.float16), "span: .* in row 0, expected"),
        ("split", lambda codes: codes + 9, "split: 10 in row 0, expected 0 to 3"),
        ("split", lambda codes: codes.astype(np.int8) - 2, "split: -1 in row 0, expected 0 to 3"),
        ("split", lambda codes: codes + 0.5, r"split: float64 of shape \(4,\), expected whole numbers"),
        ("tag_name", lambda names: np.array([b"\xff"] * len(names)), "tag_name: .* in row 0, expected UTF-8"),
        ("tag_name", lambda names: names[:0], r"tag_index: 0 in row 0, expected none"),
        ("tag_index", lambda codes: codes - 1, "tag_index: -1 in row 0, expected 0 to"),
        ("tag_offsets", falling, "tag_offsets: not 5 rising numbers from 0"),
        ("tag_offsets", lambda offsets: falling(offsets).astype(np.uint64), "tag_offsets: not 5 rising"),
        ("tag_offsets", lambda offsets: offsets[:-1], "tag_offsets: 4 rows, expected 5"),
        ("tag_offsets", wrapping, "tag_offsets: not 5 rising numbers"),
        ("offsets", lambda offsets: offsets[::-1], "offsets: not 5 rising numbers"),
        ("span", lambda spans: spans[:, :1], "span: float64 of shape .*, expected numbers, 2 in a row"),
        ("audio_mask", lambda mask: mask.astype(np.float32), "audio_mask: float32 of shape .*, expected unsigned"),
        ("title_offsets", lambda offsets: offsets - 7, "title_offsets: not 5 rising numbers from 0"),
        ("label_offsets", lambda offsets: offsets * 50, "label_offsets: not 5 rising numbers from 0"),
        ("label_score", lambda scores: scores * np.inf, "row 0: labels.score: NaN or infinite"),
        ("label_score", lambda scores: scores[:1], r"row 0: labels.score: shape \(1, 2\), expected"),
    ],
)  # fmt: skip
def test_a_forged_column_whose_checksums_hold_is_refused_by_name(
    tmp_path: Path, make_video: Callable[..., Video], name: str, forge: Callable[[Column], Column], said: str
) -> None:
    root = tmp_path / "c"
    videos = [
        make_video(f"v{n}", 6 + n, duration=50.0 + 9 * n, tags=("dog", f"tag{n}"), split="train") for n in range(4)
    ]
    write_corpus(root, videos, {"visual": Stream(4), "audio": Stream(3)}, name="c", clip_seconds=1.0)
    path = root / "shard-00000.h5"
    with h5py.File(path, "r+") as file:
        values = file[name][:]
        del file[name]
        write_index(file, name, np.ascontiguousarray(forge(values)))

    def use() -> None:
        write_manifest(root, "c", topics=["dog"])  # as whoever forged it would
        corpus = Corpus(root)
        corpus.tagged("dog")
        corpus.shards[0].video(0)

    with pytest.raises(InputError, match=rf"shard-00000\.h5: ({said})"):
        use()
