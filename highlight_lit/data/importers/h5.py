"""Features and labels of video summarization: one HDF5 file, a group a video.

    eccv16_dataset_*.h5 (TVSum, SumMe, OVP, YouTube)  features (T_n, D), gtscore (T_n,), user_summary (A, frames), picks (T_n,), n_frames
    mr_hisum.h5 (Mr. HiSum)                           features (T_n, D), gtscore (T_n,)

Clips: features that are sampled every k frames become clips of k frames. Clip i lasts from frame `picks[i]` to `picks[i + 1]`, the
last to `n_frames`, each divided by the video's frame rate. That is `n_frames` over the duration which the table of videos
gives, else `fps`, else a nominal 30: then spans are frames, and the manifest's `clock` says `nominal`. Without `picks`, as in
Mr. HiSum's file, clip i lasts from `i * clip_seconds` to the next: a second each.

Labels: `gtscore` is the importance of each clip, by one annotator. `user_summary` makes highlights: a clip is one of an annotator
where at least half of its frames are in that annotator's summary. `gtsummary` and `change_points` are made from these, and
are not taken.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from highlight_lit.data.importers.common.label_table import MEASURES
from highlight_lit.data.importers.common.report import FirstOf, Say
from highlight_lit.data.importers.common.values import number, safe_id
from highlight_lit.data.importers.common.video_table import (
    add_choices,
    add_tags,
    chosen_topics,
    given_rows,
    in_other_case,
)
from highlight_lit.data.importers.common.writing import add_dtype, checked, stored_dtype, write_and_report
from highlight_lit.data.importers.formats.foreign_hdf5 import foreign_hdf5, has, names, stored
from highlight_lit.data.importers.formats.summary_group import clip_length, read_video
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.text import a_few, say
from highlight_lit.untrusted.hdf5_files import inside

PURPOSE = "video summarization's .h5 files (eccv16_dataset_*.h5, mr_hisum.h5): features, scores, summaries"
WHAT = "features and labels of video summarization (eccv16_dataset_*.h5, mr_hisum.h5)"
NOMINAL_FPS = 30.0
KINDS = {"gtscore": "importance", "user_summary": "highlights"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `import h5`."""
    add_dtype(parser)
    add_tags(parser)
    parser.add_argument("--fps", type=float, help="frames a second of all videos, where the table gives no duration")
    parser.add_argument("--clip-seconds", type=float, default=1.0, help="where there are no picks; default: 1")
    parser.add_argument("--labels", choices=(*KINDS, "none"), help="default: the first of them that is there")
    add_choices(parser)


def import_corpus(
    source: Path,
    out: Path,
    *,
    tag: str | None = None,
    videos: Path | None = None,
    fps: float | None = None,
    clip_seconds: float = 1.0,
    labels: str | None = None,
    topics: Sequence[str] | None = None,
    dtype: str | None = None,
    name: str | None = None,
    allow_unmatched: bool = False,
    report: Say = say,
) -> None:
    """Import features and labels of video summarization.

    Args:
        source: The file.
        out: Where the corpus goes; new or empty.
        tag: The tag of all videos; None: no tag, unless `videos` gives some.
        videos: A csv with the columns id (the group's name), tags, and perhaps duration (seconds), title and split.
        fps: Frames a second of videos whose duration is not given.
        clip_seconds: From a row of features to the next where there are no picks.
        labels: `gtscore`, `user_summary` or `none`; None: the first that a video has.
        topics: Tags that are topics; None: every tag.
        dtype: `float16` or `float32`; None keeps float16 and turns anything else into float32.
        name: The corpus' name in tables; the file's if None.
        allow_unmatched: Whether rows without a group and groups without a row are reported and left out, not refused.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: Anything that cannot be used: the line names file, video and field.
    """
    rate = None if fps is None else number(fps, "--fps")
    clip_seconds = number(clip_seconds, "--clip-seconds")
    with foreign_hdf5(source, WHAT) as file:
        groups = _groups(file, source)
        rows = given_rows(videos, tag, groups)
        topics = chosen_topics(topics, rows, videos or source)
        if videos is not None:
            rows = _matched(rows, groups, videos, source, allow_unmatched, report)
        streams = {"visual": _stream(groups, rows, source, dtype)}
        kind = _kind(groups, rows, labels, source, report)
        counted = any(has(groups[row.id], "picks") for row in rows)
        nominal = counted and rate is None and any(np.isnan(row.duration) for row in rows)
        if nominal:
            report(
                f"{source}: no frame rates given: spans are frames at a nominal {NOMINAL_FPS:.0f} a second, not seconds (--fps, or "
                "durations in --videos)"
            )
        first = rows[0]
        where, fps = f"{source}: video {first.id!r}", rate or NOMINAL_FPS
        step = clip_length(where, groups[first.id], first, fps, clip_seconds)
        about = {"benchmark": KINDS.get(kind), "clip_seconds": step, "clock": "nominal" if nominal else "exact"}
        made = _videos(source, groups, rows, streams, kind, fps, clip_seconds, report)
        write_and_report(out, made, streams, report, source="h5", name=name or source.stem, topics=topics, **about)


def _groups(file: h5py.File, source: Path) -> dict[str, h5py.Group]:
    """The groups of the file by id."""
    groups: dict[str, h5py.Group] = {}
    by_place: dict[int, str] = {}
    for key in names(file, str(source)):
        group, name = inside(file, key), safe_id(key, str(source))
        if not isinstance(group, h5py.Group):
            raise InputError(f"{source}: {name}: expected a group of a video that lies in this file")
        if name in groups:
            raise InputError(f"{source}: video {name!r}: there twice, in two Unicode forms; expected one group")
        first = by_place.setdefault(h5py.h5o.get_info(group.id).addr, name)
        if first != name:  # a hard link: a small file could hold thousands of videos, each counted
            raise InputError(f"{source}: video {name!r}: the same group as video {first!r}; expected one name for each")
        groups[name] = group
    if not groups:
        raise InputError(f"{source}: no group in it; expected one for each video")
    return groups


def _matched(
    rows: Sequence[Video], groups: dict[str, h5py.Group], table: Path, source: Path, allow_unmatched: bool, report: Say
) -> list[Video]:
    ids = {row.id for row in rows}
    lacking, stray = [row.id for row in rows if row.id not in groups], [name for name in groups if name not in ids]
    matched = [row for row in rows if row.id in groups]
    lines = [f"{len(lacking)} videos of {table} are not in {source}: {a_few(lacking)}"] if lacking else []
    lines += [f"{len(stray)} videos of {source}: no row in {table}: {a_few(stray)}"] if stray else []
    if not matched or (lines and not allow_unmatched):
        case = in_other_case([*lacking, *stray], ids)
        leave = "; --allow-unmatched leaves these out" * bool(matched)
        raise InputError(f"{'; '.join(lines)}{case}; expected a row for each, whose id is the group's name{leave}")
    for line in lines:
        report(f"{line}; left out")
    return matched


def _stream(groups: dict[str, h5py.Group], rows: Sequence[Video], source: Path, dtype: str | None) -> Stream:
    """The stream, whose width must agree over all videos."""
    width, dtypes = 0, set()
    for row in rows:
        where = f"{source}: video {row.id!r}: features"
        features = stored(groups[row.id], "features", where)
        if features.ndim != 2 or 0 in features.shape:
            raise InputError(f"{where}: shape {features.shape}, expected (clips, width), at least one clip")
        width = width or features.shape[1]
        if features.shape[1] != width:
            raise InputError(f"{where}: {features.shape[1]} wide, expected {width} as of video {rows[0].id!r}")
        dtypes.add(features.dtype)
    return Stream(width, dtype=stored_dtype(dtypes, dtype))


def _kind(groups: dict[str, h5py.Group], rows: Sequence[Video], wanted: str | None, source: Path, report: Say) -> str:
    """Name of the dataset that labels are taken from, or `none`; reported in a line."""
    counts = {name: sum(has(groups[row.id], name) for row in rows) for name in KINDS}
    kind = wanted or next((name for name, count in counts.items() if count), "none")
    if kind == "none":
        report(f"{source}: no labels are taken")
        return kind
    if not counts[kind]:
        raise InputError(
            f"{source}: no video has {kind}; expected --labels none, or one of {', '.join(KINDS)} that is there"
        )
    others = [f"{name} ({count})" for name, count in counts.items() if count and name != kind]
    not_taken = f"; not taken: {', '.join(others)} (--labels)" * bool(others)
    taken = f"{kind} of {counts[kind]} of {len(rows)} videos: {KINDS[kind]}, judged by {MEASURES[KINDS[kind]]}"
    report(f"{source}: labels: {taken}{not_taken}")
    return kind


def _videos(
    source: Path,
    groups: dict[str, h5py.Group],
    rows: Sequence[Video],
    streams: dict[str, Stream],
    kind: str,
    rate: float,
    clip_seconds: float,
    report: Say,
) -> Iterator[Video]:
    """The videos; the arrays of one are in memory at a time."""
    cuts, annotators = FirstOf(report, "videos were cut to their shortest array"), set()
    for row in rows:
        where = f"{source}: video {row.id!r}"
        video = checked(read_video(where, groups[row.id], row, kind, rate, clip_seconds, cuts), streams, source)
        if video.labels is not None:
            annotators.add(video.labels.score.shape[1])
        yield video
    cuts.close()
    if len(annotators) > 1:
        report(f"{source}: {kind}: {min(annotators)} to {max(annotators)} annotators a video; each counts by its own")
