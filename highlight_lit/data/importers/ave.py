"""AVE (Tian et al., ECCV 2018) in its own files: ten seconds a video, each labelled by whether its event is seen and heard.

    SOURCE/Annotations.txt      Category&VideoID&Quality&StartTime&EndTime, a line a row of the arrays, after a header
    SOURCE/visual_feature.h5    avadataset (N, 10, D), or (N, 10, h, w, D), which is averaged over h and w
    SOURCE/audio_feature.h5     avadataset (N, 10, Da)
    SOURCE/labels.h5            avadataset (N, 10, C + 1), one-hot; the last column is background
    SOURCE/train_order.h5       order: rows of the training list; val_order.h5 and test_order.h5 alike, where they exist

A video's category is its tag, and so its topic. All videos are as short as each other: train with `data.rule=tag`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.common.report import Say
from highlight_lit.data.importers.common.values import safe_id, text
from highlight_lit.data.importers.common.writing import add_dtype, checked, stored_dtype, write_and_report
from highlight_lit.data.importers.formats.foreign_hdf5 import foreign_hdf5, numbers, stored
from highlight_lit.data.video import STREAMS, Labels, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.files import read_text
from highlight_lit.text import a_few, say

PURPOSE = "AVE's own files: features, event labels a second, lists"
FILES = {"visual": "visual_feature.h5", "audio": "audio_feature.h5", "labels": "labels.h5"}
LISTS = {"train": "train_order.h5", "val": "val_order.h5", "test": "test_order.h5"}
ANNOTATIONS = "Annotations.txt"
FIELDS = "Category&VideoID&Quality&StartTime&EndTime"
MAX_ANNOTATIONS_BYTES = 4 << 20  # twenty times those of AVE
MAX_VIDEO_BYTES = 64 << 20  # of an array; ten maps of 7 x 7 x 512 float64 are 2
EXTRACTORS = {"visual": "ave-visual", "audio": "vggish"}
add_options = add_dtype


class _Row(NamedTuple):
    """A line of the annotations."""

    id: str
    category: str


def import_corpus(source: Path, out: Path, *, dtype: str | None = None, report: Say = say) -> None:
    """Import AVE's features, event labels and lists.

    Args:
        source: The folder.
        out: Where the corpus goes; new or empty.
        dtype: `float16` or `float32`; None keeps what float16 holds exactly and turns anything else into float32.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: Anything that cannot be used: the line names file, video and field.
    """
    rows = _annotations(source / ANNOTATIONS, report)
    splits = _splits(source, len(rows), report)
    with ExitStack() as opened:
        arrays = {name: _array(opened, source / file, "avadataset") for name, file in FILES.items()}
        for name, array in arrays.items():
            least = 3 if name == "labels" else 1  # an event's column, another's or more, and background
            wide = array.ndim == 3 or (name == "visual" and array.ndim == 5)
            if not wide or array.shape[:2] != (len(rows), 10) or array.shape[-1] < least:
                raise InputError(
                    f"{source / FILES[name]}: avadataset of shape {array.shape}, expected ({len(rows)}, 10, width) for "
                    f"the {len(rows)} lines of {ANNOTATIONS}"
                )
            if array.dtype.itemsize * math.prod(array.shape[1:]) > MAX_VIDEO_BYTES:
                most = MAX_VIDEO_BYTES >> 20
                raise InputError(f"{source / FILES[name]}: avadataset of shape {array.shape}: over {most} MiB a video")
        streams = {name: _stream(arrays[name], name, dtype) for name in STREAMS}
        videos = _videos(source, rows, splits, arrays, streams)
        write_and_report(out, videos, streams, report, source="ave", benchmark="ave", clip_seconds=1.0, clock="exact")
    report(f"{out}: all videos last 10 s, so that durations tell nothing: train with data.rule=tag tau=10")


def _stream(array: h5py.Dataset, name: str, wanted: str | None) -> Stream:
    averaged = array.ndim == 5
    # What eight bits hold, float16 holds exactly.
    source = np.dtype("float16") if array.dtype.kind in "ui" and array.dtype.itemsize == 1 else array.dtype
    kind = stored_dtype([np.dtype("float32") if averaged else source], wanted)
    return Stream(array.shape[-1], EXTRACTORS[name], "ave, mean over h and w" if averaged else "ave", kind)


def _array(opened: ExitStack, path: Path, name: str) -> h5py.Dataset:
    """A dataset of numbers, open until the stack is left."""
    file = opened.enter_context(foreign_hdf5(path, f"AVE's {path.name}"))
    return stored(file, name, f"{path}: {name}")


def _annotations(path: Path, report: Say) -> list[_Row]:
    """Id and category of each row; an id that comes again, in another category, gets the category beside it."""
    lines = read_text(path, f"AVE's annotations, {FIELDS}", MAX_ANNOTATIONS_BYTES).splitlines()
    rows: list[_Row] = []
    seen: set[str] = set()
    again = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("&")]
        if len(fields) != 5 or not fields[0]:
            raise InputError(f"{path}: line {number}: expected {FIELDS}")
        name = safe_id(fields[1], f"{path}: line {number}")
        if name in seen:
            again.append(name)
            name = safe_id(f"{name} ({fields[0].replace('/', ' ')}, line {number})", f"{path}: line {number}")
        seen.add(name)
        rows.append(_Row(name, text(fields[0])))
    if not rows:
        raise InputError(f"{path}: no line of a video; expected {FIELDS}")
    if again:
        report(f"{path}: {len(again)} videos come again, each as a video of its own: {a_few(again)}")
    return rows


def _splits(source: Path, videos: int, report: Say) -> list[str]:
    """Each row's list."""
    splits = [""] * videos
    for split, file in LISTS.items():
        path = source / file
        if split == "val" and not path.exists():
            continue
        with ExitStack() as opened:
            order = numbers(_array(opened, path, "order"), f"{path}: order")
        if (
            order.ndim != 1
            or order.dtype.kind not in "iu"
            or (len(order) and not 0 <= order.min() <= order.max() < videos)
        ):
            raise InputError(f"{path}: order: expected a list of rows from 0 to {videos - 1}")
        for row in order.tolist():
            if splits[row]:
                raise InputError(f"{path}: row {row}: on the {splits[row]} list already")
            splits[row] = split
    if unlisted := splits.count(""):
        report(f"{source}: {unlisted} videos are on no list and stay out of training")
    return splits


def _videos(
    source: Path,
    rows: Sequence[_Row],
    splits: Sequence[str],
    arrays: dict[str, h5py.Dataset],
    streams: dict[str, Stream],
) -> Iterator[Video]:
    """The videos in the order of the rows; one row of each array is in memory at a time."""
    span = np.stack([np.arange(10.0), np.arange(1.0, 11.0)], axis=1)
    for number, (row, split) in enumerate(zip(rows, splits, strict=True)):
        try:
            visual, audio, onehot = (np.asarray(arrays[name][number]) for name in ("visual", "audio", "labels"))
        except OSError as error:
            raise InputError(f"{source}: video {row.id!r}: a row cannot be read ({error})") from error
        if visual.ndim == 4:
            visual = visual.mean(axis=(1, 2), dtype=np.float64)
        labels = Labels(span, _events(onehot, f"{source / FILES['labels']}: video {row.id!r} (row {number})"))
        video = Video(
            row.id, 10.0, (row.category,), span, _rows(visual, streams["visual"]), _rows(audio, streams["audio"]),
            split=split, labels=labels,
        )  # fmt: skip
        yield checked(video, streams, source)


def _rows(rows: NDArray[np.generic], stream: Stream) -> NDArray[np.floating]:
    with np.errstate(over="ignore"):  # a value that is too large becomes infinite, which `checked` refuses
        return rows.astype(stream.dtype)


def _events(onehot: NDArray[np.generic], where: str) -> NDArray[np.float32]:
    """(10, 1): 1 in the seconds in which the video's event is seen and heard, from one-hot rows whose last is background."""
    hot = onehot != 0
    if not (hot.sum(axis=1) == 1).all():
        raise InputError(f"{where}: expected one category or background a second")
    if len(np.unique(np.argmax(hot[:, :-1], axis=1)[~hot[:, -1]])) > 1:
        raise InputError(f"{where}: seconds of several categories; expected one a video")
    return (~hot[:, -1:]).astype(np.float32)
