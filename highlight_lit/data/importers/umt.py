"""Features and labels in the layout of UMT (Liu et al., CVPR 2022): YouTube Highlights and TVSum.

    SOURCE/*anno*.json                   by video id: fps, frames, domain, and clip and match, or anno
    SOURCE/video_features/ID_rgb.npy     (T_n, 1024) I3D on frames, and ID_opt.npy on optical flow; or ID.npy alone
    SOURCE/audio_features/ID.npy         (T_n, 2048) PANN; absent for a video without audio

Clips of YouTube Highlights are about 100 frames long and start every 50: they overlap and stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.common.pca import Projection, fit
from highlight_lit.data.importers.common.report import FirstOf, Say
from highlight_lit.data.importers.common.values import TOLERATED_ROWS
from highlight_lit.data.importers.common.writing import add_dtype, checked, stored_dtype, write_and_report
from highlight_lit.data.importers.formats.arrays import NpyRows, files_of
from highlight_lit.data.importers.formats.umt_annotations import read_annotations, read_splits
from highlight_lit.data.video import MEND_FEATURES, STREAMS, Labels, Stream, Video, median_length
from highlight_lit.errors import InputError
from highlight_lit.text import NoNumber, a_few, say, whole_number

PURPOSE = "features and labels in the layout of UMT (YouTube Highlights, TVSum)"
EXTRACTORS = {"_rgb": "i3d-rgb+flow", "": "i3d", "audio": "pann"}


@dataclass(frozen=True)
class _Entry:
    """An annotated video and the feature files found for it: by stream, those whose columns stand side by side."""

    video: Video
    files: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    dtypes: Mapping[str, tuple[np.dtype[Any], ...]] = field(default_factory=dict)
    widths: Mapping[str, int] = field(default_factory=dict)

    def rows(self, name: str) -> NDArray[Any] | None:
        """(T_n, D) of a stream, None where the video lacks it."""
        clips, where = len(self.video.span), f"video {self.video.id!r}: {name}"
        parts = [NpyRows(path, f"{path.parent}: {where}")[:clips] for path in self.files.get(name, ())]
        return np.concatenate(parts, axis=1) if parts else None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `import umt`."""
    add_dtype(parser)
    parser.add_argument("--splits", type=Path, metavar="JSON", help="training and validation lists by topic")
    parser.add_argument("--pca", type=_widths, metavar="DV,DA", help="reduce the streams; fitted on training videos")


def _widths(text: str) -> tuple[int, int]:
    Dv, comma, Da = text.partition(",")
    if not comma:
        raise NoNumber(f"{text!r}: expected two whole numbers, as in 64,32")
    return whole_number(Dv), whole_number(Da)


def import_corpus(
    source: Path,
    out: Path,
    *,
    splits: Path | None = None,
    pca: tuple[int, int] | None = None,
    dtype: str | None = None,
    report: Say = say,
) -> None:
    """Import features and labels in the layout of UMT.

    Streams of a video that differ from each other or from the annotations by one or two rows are cut to the
    shortest. Videos on no list keep an empty split.

    Args:
        source: The folder.
        out: Where the corpus goes; new or empty.
        splits: Training and validation lists, `{topic: {"train": [...], "val": [...]}}`, or several such tables by
            name, of which the one that shares topics with the source is taken.
        pca: Components to keep of the visual and of the audio features, fitted on the training videos alone (on all
            videos without `splits`).
        dtype: `float16` or `float32`; None keeps float16 and turns anything else into float32.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: Anything that cannot be used: the line names file, video and field.
    """
    kind, annotated = read_annotations(source)
    lists = {} if splits is None else read_splits(splits, {tag for video in annotated for tag in video.tags})
    annotated = [replace(video, split=lists.get(video.id, "")) for video in annotated]
    entries = _with_features(source, annotated, report)
    if splits is not None:
        _report_lists(splits, lists, entries, report)
    streams = _streams(source, entries, dtype)
    projections: dict[str, Projection] = {}
    if pca is not None:
        fitted_on = [entry for entry in entries if splits is None or entry.video.split == "train"]
        digest = hashlib.sha256("\n".join(sorted(entry.video.id for entry in fitted_on)).encode()).hexdigest()[:8]
        for name, width in zip(STREAMS, pca, strict=True):
            if name in streams:
                projections[name] = fit(_finite_rows(fitted_on, name), width, f"{source}: {name}")
                version = f"umt, pca {width} of {digest}"
                streams[name] = replace(streams[name], width=width, version=version)
    videos, name = _videos(source, entries, projections, streams), f"umt-{kind}"
    length = median_length(entry.video.span for entry in entries)
    write_and_report(
        out, videos, streams, report, source="umt", name=name, benchmark=kind, clip_seconds=length, clock="exact"
    )


def _report_lists(path: Path, listed: Iterable[str], entries: Sequence[_Entry], report: Say) -> None:
    if absent := sorted(set(listed) - {entry.video.id for entry in entries}):
        report(f"{path}: {len(absent)} listed videos are not among the features: {a_few(absent)}")
    if unlisted := [entry.video.id for entry in entries if not entry.video.split]:
        report(f"{path}: {len(unlisted)} videos are on no list and stay out of training: {a_few(unlisted)}")


def _with_features(source: Path, videos: Sequence[Video], report: Say) -> list[_Entry]:
    """The videos that have features, cut to their shortest stream."""
    visual, audio = (files_of(source / f"{name}_features") for name in ("video", "audio"))
    entries = []
    cuts = FirstOf(report, "videos were cut to their shortest stream")
    for video in videos:
        files = {"visual": _visual_files(source, visual, video.id)}
        if video.id in audio:
            files["audio"] = (audio[video.id],)
        if files["visual"]:
            entries.append(_cut(source, video, files, cuts))
    cuts.close()
    if not entries:
        raise InputError(f"{source / 'video_features'}: no features of any annotated video")
    if missing := sorted({video.id for video in videos} - {entry.video.id for entry in entries}):
        report(f"{source}: {len(missing)} annotated videos have no visual features and are left out: {a_few(missing)}")
    used = {path for entry in entries for files in entry.files.values() for path in files}
    if unused := sorted({*visual.values(), *audio.values()} - used):
        report(f"{source}: {len(unused)} feature files of no annotated video: {a_few(path.name for path in unused)}")
    return entries


def _visual_files(source: Path, files: Mapping[str, Path], name: str) -> tuple[Path, ...]:
    pair = (f"{name}_rgb", f"{name}_opt")
    there = [stem in files for stem in pair]
    if any(there) and not all(there):
        missing = pair[there.index(False)]
        raise InputError(f"{source / 'video_features'}: video {name!r}: {missing}.npy: no such file beside its pair")
    return tuple(files[stem] for stem in pair) if all(there) else (files[name],) if name in files else ()


def _cut(source: Path, video: Video, files: Mapping[str, tuple[Path, ...]], report: Say) -> _Entry:
    """Open a video's files, and cut it to the shortest of them and its annotations."""
    opened = {
        name: [NpyRows(path, f"{path.parent}: video {video.id!r}: {name}") for path in paths]
        for name, paths in files.items()
    }
    lengths = {"labels": len(video.span)}
    for name, paths in files.items():
        for path, rows in zip(paths, opened[name], strict=True):
            lengths[f"{path.parent.name}/{path.name}"] = len(rows)
    shortest, longest = min(lengths.values()), max(lengths.values())
    if shortest != longest:
        counts = ", ".join(f"{name} {count}" for name, count in lengths.items())
        if longest - shortest > TOLERATED_ROWS:
            raise InputError(f"{source}: video {video.id!r}: rows disagree by more than {TOLERATED_ROWS}: {counts}")
        report(f"{source}: video {video.id!r}: cut to {shortest} clips: {counts}")
    labels = None if video.labels is None else Labels(video.labels.span[:shortest], video.labels.score[:shortest])
    return _Entry(
        replace(video, span=video.span[:shortest], labels=labels),
        files,
        {name: tuple(rows.dtype for rows in arrays) for name, arrays in opened.items()},
        {name: sum(rows.shape[1] for rows in arrays) for name, arrays in opened.items()},
    )


def _streams(source: Path, entries: Sequence[_Entry], dtype: str | None) -> dict[str, Stream]:
    """The streams of the corpus; every video's features must be as wide as the first one's."""
    streams: dict[str, Stream] = {}
    for name in STREAMS:
        having = [entry for entry in entries if name in entry.files]
        for entry in having:
            actual, expected = ((len(e.files[name]), e.widths[name]) for e in (entry, having[0]))
            if actual != expected:
                raise InputError(
                    f"{source}: video {entry.video.id!r}: {name}: {actual[0]} files, {actual[1]} wide, expected "
                    f"{expected[0]} and {expected[1]} as of video {having[0].video.id!r}"
                )
        if having:
            extractor = EXTRACTORS["audio" if name == "audio" else "_rgb" if len(having[0].files[name]) > 1 else ""]
            stored = stored_dtype([kind for entry in having for kind in entry.dtypes[name]], dtype)
            streams[name] = Stream(having[0].widths[name], extractor, "umt", stored)
    return streams


def _finite_rows(entries: Iterable[_Entry], name: str) -> Iterator[NDArray[Any]]:
    for entry in entries:
        if (rows := entry.rows(name)) is not None:
            if len(bad := np.flatnonzero(~np.isfinite(rows).all(axis=1))):
                where = f"{entry.files[name][0].parent}: video {entry.video.id!r}"
                raise InputError(f"{where}: {name}: NaN or infinite in clip {bad[0]}; {MEND_FEATURES}")
            yield rows


def _videos(
    source: Path, entries: Iterable[_Entry], projections: Mapping[str, Projection], streams: Mapping[str, Stream]
) -> Iterator[Video]:
    for entry in entries:
        rows = {name: entry.rows(name) for name in STREAMS}
        for name, projection in projections.items():
            if (raw := rows[name]) is not None:
                rows[name] = projection(raw)
        yield checked(replace(entry.video, visual=rows["visual"], audio=rows["audio"]), streams, source)
