"""The official labels of TVSum (Song et al., CVPR 2015), in either of its files.

    ydata-tvsum50.mat         MATLAB 7.3, which is HDF5 inside
    ydata-tvsum50-anno.tsv    the same scores as text, without titles and lengths: `formats.tvsum_table`

20 annotators scored 2-second shots from 1 to 5; the files repeat a shot's scores at each of its frames. A last shot
that would be shorter than 2 s has no scores of its own (its frames repeat those before) and is left out, as UMT does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.common.frame_rates import add_fps, frame_rates, report_unmatched
from highlight_lit.data.importers.common.report import FirstOf, Say
from highlight_lit.data.importers.common.values import number, safe_id, text
from highlight_lit.data.importers.common.writing import write_and_report
from highlight_lit.data.importers.formats.foreign_hdf5 import MAX_BYTES, foreign_hdf5, numbers, stored
from highlight_lit.data.importers.formats.tvsum_table import MAX_SCORES, SHOT_SECONDS, rate_of_scores, read_tsv
from highlight_lit.data.video import Labels, Video
from highlight_lit.errors import InputError
from highlight_lit.text import say
from highlight_lit.untrusted.hdf5_files import check_storage, inside

COLUMNS = ("video", "category", "title", "length", "nframes", "user_anno")
PURPOSE = "TVSum's official labels (.mat or -anno.tsv), without features"
RATES = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0)
FILE = "ydata-tvsum50.mat"
MAX_TEXT = 1 << 12  # characters of a cell
WHAT = f"TVSum's labels, {FILE} (MATLAB 7.3, which is HDF5)"
add_options = add_fps


def import_corpus(source: Path, out: Path, *, fps: Path | None = None, report: Say = say) -> None:
    """Import TVSum's labels: a corpus without features, with the category (VT, VU, ...) as tag.

    Args:
        source: The `.mat` or the `.tsv` file.
        out: Where the corpus goes; new or empty.
        fps: Frame rates for the `.tsv`: a csv with columns `id,fps`. Rates of other videos are those that fit their
            scores; if there are any, the manifest's `clock` says `estimated`.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: The file cannot be read, or a video's fields are missing or do not fit together.
    """
    as_text = source.suffix == ".tsv"
    if fps is not None and not as_text:
        raise InputError(f"--fps {fps}: {source} has the lengths of its videos; expected it with the .tsv alone")
    rates = {} if fps is None else frame_rates(fps)
    oddities = FirstOf(report, "videos have frames that differ from the middle of their shot")
    videos = list(_videos_of_text(source, rates, oddities) if as_text else _videos(source, oddities))
    oddities.close()
    report_unmatched(rates, (video.id for video in videos), fps, report)
    estimated = [video.id for video in videos if video.id not in rates] if as_text else []
    if estimated:
        report(f"{source}: frame rates of {len(estimated)} videos are those that fit their scores")
    clock = "estimated" if estimated else "exact"
    write_and_report(out, videos, {}, report, source="tvsum", benchmark="tvsum", clip_seconds=SHOT_SECONDS, clock=clock)


def frame_rate(frames: int, seconds: float) -> float:
    """Frames a second of a video whose length is that of its container, up to some hundredths of a second more.

    >>> round(frame_rate(3896, 130.01), 4)  # 29.967 as it stands, which would make 65 shots of 64
    29.97
    """
    measured = frames / seconds
    nearest = min(RATES, key=lambda rate: abs(rate - measured))
    return nearest if abs(nearest / measured - 1) < 3e-4 else measured


def to_shots(score: NDArray[np.float64], fps: float) -> tuple[NDArray[np.float64], int]:
    """Scores of 2-second shots from scores of frames, each read at the shot's middle.

    Args:
        score: (frames, A).
        fps: Frames a second.

    Returns:
        (S, A) scores of the whole shots, and how many frames, two beside each border apart, differ from their shot's.
    """
    length = SHOT_SECONDS * fps
    shots = int(len(score) // length)
    middle = ((np.arange(shots) + 0.5) * length).astype(int)
    shot, within = np.divmod(np.arange(int(shots * length)), length)
    inside = (within > 2) & (within < length - 2)
    differing = (score[: len(shot)] != score[middle][shot.astype(int)]).any(axis=1)
    return score[middle], int((differing & inside).sum())


def _videos_of_text(source: Path, rates: Mapping[str, float], report: Say) -> Iterator[Video]:
    for name, category, score in read_tsv(source):
        where = f"{source}: video {name!r}"
        if (rate := rates.get(name) or rate_of_scores(score)) is None:
            raise InputError(f"{where}: scores that change within shots of 2 s at any frame rate; expected --fps FILE")
        yield _labelled(where, name, category, "", len(score) / rate, score, rate, report)


def _videos(source: Path, report: Say) -> Iterator[Video]:
    with foreign_hdf5(source, WHAT) as file:
        table = inside(file, "tvsum50")
        if not isinstance(table, h5py.Group):
            raise InputError(f"{source}: not what was expected, {WHAT}: no table tvsum50")
        columns = {name: _column(source, table, name) for name in COLUMNS}
        for row in range(len(columns["video"])):
            yield _video(source, file, columns, row, report)


def _video(source: Path, file: h5py.File, columns: Mapping[str, h5py.Dataset], row: int, report: Say) -> Video:
    name = safe_id(_text(source, file, columns, "video", row), f"{source}: row {row}")
    where = f"{source}: video {name!r}"
    duration = number(_cell(source, file, columns, "length", row).item(), f"{where}: length")
    score = _cell(source, file, columns, "user_anno", row, MAX_SCORES).astype(np.float64).T
    frames = number(_cell(source, file, columns, "nframes", row).item(), f"{where}: nframes")
    if score.ndim != 2 or len(score) != frames or score.shape[1] == 0:
        raise InputError(f"{where}: user_anno: shape {score.T.shape}, expected (annotators, {frames:.0f} frames)")
    title, category = (_text(source, file, columns, field, row) for field in ("title", "category"))
    return _labelled(where, name, category, title, duration, score, frame_rate(len(score), duration), report)


def _labelled(
    where: str, name: str, category: str, title: str, duration: float, score: NDArray[Any], fps: float, report: Say
) -> Video:
    """A video with the labels of its shots, from (frames, A) scores."""
    scores, differing = to_shots(score, fps)
    if not len(scores):
        raise InputError(f"{where}: {len(score)} frames at {fps:.2f} a second: no whole shot of 2 s")
    if differing:
        report(f"{where}: user_anno: {differing} frames differ from the middle of their shot, which counts")
    start = SHOT_SECONDS * np.arange(len(scores))
    labels = Labels(np.stack([start, start + SHOT_SECONDS], axis=1), scores)
    return Video(name, duration, (category,) if category else (), np.empty((0, 2)), title=title, labels=labels)


def _cell(
    source: Path, file: h5py.File, columns: Mapping[str, h5py.Dataset], name: str, row: int, most: int = MAX_TEXT
) -> NDArray[Any]:
    """A cell of the table: a dataset that lies in the file itself, of so many numbers at most."""
    where = f"{source}: {name}: row {row}"
    return numbers(stored(file, columns[name][row, 0], where), where, most)


def _column(source: Path, table: h5py.Group, name: str) -> h5py.Dataset:
    """A column of the table: references to its cells."""
    column = inside(table, name)
    if not isinstance(column, h5py.Dataset) or h5py.check_ref_dtype(column.dtype) is not h5py.Reference:
        raise InputError(f"{source}: {name}: expected a column of the table tvsum50")
    if column.shape[1:] != (1,) or column.nbytes > MAX_BYTES:
        raise InputError(f"{source}: {name}: expected a column of references, of at most {MAX_BYTES >> 20} MiB")
    check_storage(column, f"{source}: {name}")
    return column


def _text(source: Path, file: h5py.File, columns: Mapping[str, h5py.Dataset], name: str, row: int) -> str:
    """A cell of MATLAB's characters, which are UTF-16."""
    characters = _cell(source, file, columns, name, row)
    if characters.dtype == np.uint64 and 0 in characters:
        return ""  # of an empty text MATLAB stores the shape
    if characters.dtype != np.uint16:
        raise InputError(f"{source}: {name}: row {row}: {characters.dtype}; expected text, MATLAB's uint16")
    return text(characters.astype("<u2").tobytes().decode("utf-16-le", "replace"))
