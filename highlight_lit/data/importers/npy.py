"""A folder of arrays and a csv table of videos: one's own features.

SOURCE/visual/ID.npy    (T, Dv) clip features
SOURCE/audio/ID.npy     (T, Da); absent for a video without sound
SOURCE/span/ID.npy      (T, 2) start and end of each clip in seconds; the folder is optional
table                   columns id, duration (seconds), tags (separated by ';'), and perhaps title and split
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.importers.source import (
    Report,
    Tally,
    checked,
    number,
    open_rows,
    safe_id,
    stored_dtype,
)
from highlight_lit.data.video import SPLITS, STREAMS, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.files import read_table
from highlight_lit.text import a_few

FOLDERS = (*STREAMS, "span")


def import_corpus(
    source: Path,
    out: Path,
    *,
    videos: Path,
    labels: Path | None = None,
    topics: Sequence[str] | None = None,
    clip_seconds: float = 1.0,
    dtype: str | None = None,
    name: str | None = None,
    report: Report = print,
) -> None:
    """Import features from a folder of arrays; nothing in them is unpickled.

    Args:
        source: The folder.
        out: Where the corpus goes; new or empty.
        videos: The csv table. Each row has its arrays, each array its row.
        labels: A corpus of labels, whose benchmark this one then names; videos whose id it holds get its labels.
        topics: Tags that are topics; None: every tag.
        clip_seconds: Length of a clip: clip i lasts from `i * clip_seconds` to the next or to the video's end.
            A clip or two may lack at the end. With the folder `span`, a nominal length.
        dtype: `float16` or `float32`; None keeps float16 and turns anything else into float32.
        name: The corpus' name in tables; the folder's if None.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: Anything that cannot be used: the line names file, video and field.
    """
    clip_seconds = number(clip_seconds, "clip_seconds")
    rows = _table(videos)
    if topics is not None:
        for topic in sorted({*topics} - {tag for row in rows for tag in row.tags}):
            raise InputError(f"{videos}: tags: no video is tagged {topic!r}, though it is to be a topic")
    folders = {folder: source / folder for folder in FOLDERS if (source / folder).is_dir()}
    _every_array_has_its_row(folders, videos, {row.id for row in rows})
    arrays = _Arrays(folders, clip_seconds)
    streams = arrays.streams(source, rows, dtype)
    labelled = None if labels is None else _labels(labels, rows, report)
    tally = Tally()
    write_corpus(
        out,
        tally.watch(_videos(source, rows, arrays, streams, labelled)),
        streams,
        name=name or source.resolve().name,
        clip_seconds=clip_seconds,
        topics=topics,
        benchmark=None if labelled is None else labelled.manifest.get("benchmark"),
        source="npy",
        clock="exact" if labelled is None else labelled.manifest.get("clock", "exact"),
    )
    report(tally.line(out, topics))


def _table(path: Path) -> list[Video]:
    """The rows of the table, without clips."""
    rows: dict[str, Video] = {}
    for line, row in read_table(path, ("id", "duration", "tags"), ("title", "split")):
        name = safe_id(row["id"], f"{path}: line {line}")
        where = f"{path}: line {line}: video {name!r}"
        if name in rows:
            raise InputError(f"{where}: id: occurs twice")
        if (split := row.get("split", "")) not in SPLITS:
            raise InputError(f"{where}: split: {split!r}, expected one of {', '.join(map(repr, SPLITS))}")
        tags = tuple(tag.strip() for tag in row["tags"].split(";") if tag.strip())
        duration = number(row["duration"], f"{where}: duration")
        rows[name] = Video(name, duration, tags, np.empty((0, 2)), title=row.get("title", ""), split=split)
    if not rows:
        raise InputError(f"{path}: no video; expected a row for each")
    return list(rows.values())


def _every_array_has_its_row(folders: dict[str, Path], table: Path, ids: set[str]) -> None:
    for folder in folders.values():
        for path in sorted(folder.glob("*.npy")):
            if path.stem not in ids:
                raise InputError(f"{path}: video {path.stem!r}: no row with this id in {table}")


@dataclass(frozen=True)
class _Arrays:
    """The folders of arrays that are there, and how a video's clips lie in time where there is no `span`."""

    folders: dict[str, Path]
    clip_seconds: float

    def open(self, folder: str, video: Video) -> NDArray[Any] | None:
        """(T, D), None without that folder or for a video without sound beside its picture."""
        if folder not in self.folders:
            return None
        path = self.folders[folder] / f"{video.id}.npy"
        if folder == "audio" and "visual" in self.folders and not path.exists():
            return None
        return open_rows(path, f"{self.folders[folder]}: video {video.id!r}: {folder}")

    def streams(self, source: Path, rows: Sequence[Video], dtype: str | None) -> dict[str, Stream]:
        """The streams, whose widths must agree over all videos."""
        streams = {}
        for name in STREAMS:
            widths: dict[int, str] = {}
            dtypes: set[np.dtype[Any]] = set()
            for video in rows:
                if (found := self.open(name, video)) is not None:
                    widths.setdefault(found.shape[1], video.id)
                    dtypes.add(found.dtype)
            if len(widths) > 1:
                (width, first), (other, video_id) = list(widths.items())[:2]
                where = f"{self.folders[name]}: video {video_id!r}: {name}"
                raise InputError(f"{where}: {other} wide, expected {width} as of video {first!r}")
            if widths:
                streams[name] = Stream(next(iter(widths)), dtype=stored_dtype(dtypes, dtype))
        if not streams:
            raise InputError(f"{source}: no visual/ID.npy and no audio/ID.npy")
        return streams

    def span(self, video: Video, clips: int) -> NDArray[np.float64]:
        """(T, 2) start and end of each clip in seconds."""
        if (given := self.open("span", video)) is not None:
            where = f"{self.folders['span']}: video {video.id!r}: span"
            if given.shape != (clips, 2):
                raise InputError(f"{where}: shape {given.shape}, expected ({clips}, 2)")
            if not given.max() <= video.duration + 1:
                raise InputError(f"{where}: ends at {given.max():.2f} s, past the video's {video.duration:.2f} s")
            return np.asarray(given, np.float64)
        whole = int(np.ceil(video.duration / self.clip_seconds))
        if not whole - 2 <= clips <= whole:
            where = f"{next(iter(self.folders.values()))}: video {video.id!r}"
            raise InputError(
                f"{where}: duration: {video.duration:.2f} s make {whole} clips of {self.clip_seconds:g} s, but "
                f"{clips} rows are there"
            )
        start = self.clip_seconds * np.arange(clips)
        return np.stack([start, np.minimum(start + self.clip_seconds, video.duration)], axis=1)


def _labels(path: Path, rows: Sequence[Video], report: Report) -> Corpus:
    """The corpus of labels, checked to be in seconds and of some of these videos."""
    corpus = Corpus(path)
    clock = corpus.manifest.get("clock", "exact")
    if clock == "nominal":
        raise InputError(
            f"{path}: clock: its spans are frames, not seconds; expected a corpus imported with frame rates"
        )
    found = [(row, index) for row in rows if (index := corpus.index(row.id)) is not None]
    if not found:
        raise InputError(f"{path}: id: it holds none of the videos, the first of which is {rows[0].id!r}")
    report(f"{path}: labels of {len(found)} of {len(rows)} videos" + f", at {clock} frame rates" * (clock != "exact"))
    longer = [row.id for row, index in found if abs(corpus.duration[index] - row.duration) > 2]
    if longer:
        report(f"{path}: {len(longer)} videos differ in duration from the table by more than 2 s: {a_few(longer)}")
    return corpus


def _videos(
    source: Path, rows: Sequence[Video], arrays: _Arrays, streams: dict[str, Stream], labelled: Corpus | None
) -> Iterator[Video]:
    for row in rows:
        visual, audio = (arrays.open(name, row) for name in STREAMS)
        clips = [len(stream) for stream in (visual, audio) if stream is not None]
        if min(clips) != max(clips):
            raise InputError(
                f"{arrays.folders['audio']}: video {row.id!r}: audio: {clips[1]} rows, visual has {clips[0]}"
            )
        index = None if labelled is None else labelled.index(row.id)
        labels = None if labelled is None or index is None else labelled.labels(index)
        video = replace(row, visual=visual, audio=audio, span=arrays.span(row, clips[0]), labels=labels)
        yield checked(video, streams, source)
