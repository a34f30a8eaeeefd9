"""A folder of arrays and a csv table of videos: one's own features.

SOURCE/visual/ID.npy    (T, Dv) clip features
SOURCE/audio/ID.npy     (T, Da); absent for a video without audio
SOURCE/span/ID.npy      (T, 2) start and end of each clip in seconds; the folder is optional
table                   columns id, duration (seconds), tags (separated by ';'), and perhaps title and split

Tags are kept in the form that `extract` keeps them in: lower case, NFC (`highlight_lit.data.topics.tags`).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.csv_tables import read_table
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.importers.common.source import (
    FirstOf,
    Report,
    Tally,
    checked,
    files_of,
    number,
    open_rows,
    safe_id,
    stored_dtype,
)
from highlight_lit.data.topics.tags import plain_tags
from highlight_lit.data.video import SPLITS, STREAMS, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.text import a_few, say, shown

FOLDERS = (*STREAMS, "span")
TOLERATED_ROWS = 2  # by which extractors' ideas of the last clip may differ
_FROM_NPZ = "python -c \"import sys, numpy as np; [np.save(p[:-4], np.load(p)['features']) for p in sys.argv[1:]]\""


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
    allow_unmatched: bool = False,
    report: Report = say,
) -> None:
    """Import features from a folder of arrays; nothing in them is unpickled.

    Streams of a video that differ from each other or from its duration by one or two clips are cut to the shortest.

    Args:
        source: The folder.
        out: Where the corpus goes; new or empty.
        videos: The csv table. Each row has its arrays, each array its row; ids are compared in one Unicode form.
        labels: A corpus of labels, whose benchmark this one then names; videos whose id it holds get its labels.
        topics: Tags that are topics; None: every tag.
        clip_seconds: Length of a clip: clip i lasts from `i * clip_seconds` to the next or to the video's end.
            A clip or two may lack at the end. With the folder `span`, a nominal length.
        dtype: `float16` or `float32`; None keeps float16 and turns anything else into float32.
        name: The corpus' name in tables; the folder's if None.
        allow_unmatched: Whether rows without arrays and arrays without a row are reported and left out, not refused.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: Anything that cannot be used: the line names file, video and field.
    """
    clip_seconds = number(clip_seconds, "clip_seconds")
    rows = _table(videos)
    if topics is not None:
        topics = plain_tags(topics, "--topics")
        for topic in sorted({*topics} - {tag for row in rows for tag in row.tags}):
            raise InputError(f"{videos}: tags: no video is tagged {topic!r}, though it is to be a topic")
    arrays = _Arrays(source, _folders(source), clip_seconds)
    rows = _matched(arrays, videos, rows, allow_unmatched, report)
    streams = arrays.streams(rows, dtype)
    arrays.report_cuts(rows, report)
    labelled = None if labels is None else _labels(labels, rows, report)
    tally = Tally()
    write_corpus(
        out,
        tally.watch(_videos(rows, arrays, streams, labelled)),
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
        tags = plain_tags(row["tags"].split(";"), where)
        duration = number(row["duration"], f"{where}: duration (in seconds)")
        rows[name] = Video(name, duration, tags, np.empty((0, 2)), title=row.get("title", ""), split=split)
    if not rows:
        raise InputError(f"{path}: no video; expected a row for each")
    return list(rows.values())


def _folders(source: Path) -> dict[str, dict[str, Path]]:
    """The arrays of each folder that is there, by id."""
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; expected one with visual/ID.npy or audio/ID.npy, or both")
    folders = {folder: files_of(source / folder) for folder in FOLDERS if (source / folder).is_dir()}
    if not folders and files_of(source):
        above = f", so name the folder above: {source.parent}" if source.name in FOLDERS else ""
        raise InputError(f"{source}: arrays lie in it; expected them in its folders visual and audio{above}")
    return folders


def _matched(arrays: _Arrays, table: Path, rows: Sequence[Video], allow_unmatched: bool, report: Report) -> list[Video]:
    """The rows of the table that have their arrays.

    Raises:
        InputError: There are others, or arrays without a row, and they are not allowed to be left out.
    """
    found: list[Video] = []
    lacking: list[Video] = []
    for row in rows:
        (found if arrays.has(row.id) else lacking).append(row)
    ids = {row.id for row in rows}
    stray = [path for files in arrays.folders.values() for name, path in files.items() if name not in ids]
    names = [f"{path.parent.name}/{path.name}" for path in stray]
    lines = []
    if lacking:
        of = f"{len(lacking)} of {len(rows)} videos of {table}: no array in {arrays.missing(lacking)}"
        lines.append(f"{of}: {a_few(row.id for row in lacking)}")
    if stray:
        lines.append(f"{len(stray)} arrays of {arrays.source}: no row in {table}: {a_few(names)}")
    if lines and not allow_unmatched:
        case = _in_other_case([*(row.id for row in lacking), *(path.stem for path in stray)], ids)
        named = "expected one for each: an id is its arrays' name without .npy"
        advice = arrays.advice(lacking) or f"{named}{'; --allow-unmatched leaves these out' * bool(found)}"
        raise InputError(f"{'; '.join(lines)}{case}; {advice}")
    for line in lines:
        report(f"{line}; left out")
    if not found:
        raise InputError(f"{arrays.source}: no array of any video of {table}")
    return found


def _in_other_case(names: Sequence[str], ids: Iterable[str]) -> str:
    """What to say where names without a partner are there in another case."""
    there = {name.casefold(): name for name in (*names, *ids)}
    pairs = ((name, there[name.casefold()]) for name in names)
    return next((f" ({shown(name)} and {shown(other)} differ in case)" for name, other in pairs if name != other), "")


@dataclass(frozen=True)
class _Arrays:
    """The arrays that are there, by folder and id, and how a video's clips lie in time where there is no `span`."""

    source: Path
    folders: dict[str, dict[str, Path]]
    clip_seconds: float

    @property
    def needed(self) -> list[str]:
        """Folders in which every video has an array: audio may be missing beside visual."""
        return [folder for folder in self.folders if folder != "audio" or "visual" not in self.folders]

    def has(self, name: str) -> bool:
        """Whether a video has all arrays that it needs."""
        return all(name in self.folders[folder] for folder in self.needed)

    def missing(self, rows: Sequence[Video]) -> str:
        """The folder in which the first of the videos has no array."""
        folder = next((f for f in self.needed if rows and rows[0].id not in self.folders[f]), "visual")
        return str(self.source / folder)

    def advice(self, rows: Sequence[Video]) -> str:
        """What to do where the features are there, but as `.npz`."""
        for folder in self.folders:
            path = self.source / folder
            if files_of(path, ".npz").keys() & {row.id for row in rows}:
                return f"there are .npz files, which are not read; convert them: {_FROM_NPZ} {shlex.quote(str(path))}/*.npz"
        return ""

    def open(self, folder: str, video: Video) -> NDArray[Any] | None:
        """(T, D), None without that folder or for a video without audio beside its visual stream."""
        path = self.folders.get(folder, {}).get(video.id)
        return None if path is None else open_rows(path, f"{path.parent}: video {video.id!r}: {folder}")

    def clips(self, video: Video) -> tuple[int, dict[str, int]]:
        """How many clips a video is cut to, and the lengths that this comes from.

        Raises:
            InputError: They differ by more than `TOLERATED_ROWS`.
        """
        lengths = {
            f"{name}/{video.id}.npy": len(rows) for name in STREAMS if (rows := self.open(name, video)) is not None
        }
        whole = int(np.ceil(video.duration / self.clip_seconds))
        given = self.open("span", video)
        if given is None:
            lengths[f"{video.duration:.2f} s in clips of {self.clip_seconds:g} s"] = whole
        elif len(given) != max(lengths.values()):
            lengths[f"span/{video.id}.npy"] = len(given)
        shortest, longest = min(lengths.values()), max(lengths.values())
        if longest - shortest > TOLERATED_ROWS:
            counts = ", ".join(f"{name}: {count}" for name, count in lengths.items())
            raise InputError(
                f"{self.source}: video {video.id!r}: rows disagree by more than {TOLERATED_ROWS}: {counts}; expected a row a "
                "clip: set --clip-seconds, write span/ID.npy with each clip's start and end, or resample a stream"
            )
        return shortest, lengths

    def report_cuts(self, rows: Sequence[Video], report: Report) -> None:
        """Report the videos that have rows too many."""
        cuts = FirstOf(report, "videos were cut to their shortest stream")
        for video in rows:
            clips, lengths = self.clips(video)
            if any(count > clips for name, count in lengths.items() if name.endswith(".npy")):
                counts = ", ".join(f"{name}: {count}" for name, count in lengths.items())
                cuts(f"{self.source}: video {video.id!r}: cut to {clips} clips: {counts}")
        cuts.close()

    def streams(self, rows: Sequence[Video], dtype: str | None) -> dict[str, Stream]:
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
                where = f"{self.source / name}: video {video_id!r}: {name}"
                raise InputError(f"{where}: {other} wide, expected {width} as of video {first!r}")
            if widths:
                streams[name] = Stream(next(iter(widths)), dtype=stored_dtype(dtypes, dtype))
        if not streams:
            raise InputError(f"{self.source}: no visual/ID.npy and no audio/ID.npy")
        return streams

    def span(self, video: Video, clips: int) -> NDArray[np.float64]:
        """(T, 2) start and end of each clip in seconds."""
        if (given := self.open("span", video)) is not None:
            where = f"{self.source / 'span'}: video {video.id!r}: span"
            if given.shape[1] != 2:
                raise InputError(f"{where}: shape {given.shape}, expected ({clips}, 2)")
            if not given.max() <= video.duration + 1:
                raise InputError(f"{where}: ends at {given.max():.2f} s, past the video's {video.duration:.2f} s")
            return np.asarray(given[:clips], np.float64)
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
    rows: Sequence[Video], arrays: _Arrays, streams: dict[str, Stream], labelled: Corpus | None
) -> Iterator[Video]:
    for row in rows:
        clips, _ = arrays.clips(row)
        visual, audio = (None if (found := arrays.open(name, row)) is None else found[:clips] for name in STREAMS)
        index = None if labelled is None else labelled.index(row.id)
        labels = None if labelled is None or index is None else labelled.labels(index)
        video = replace(row, visual=visual, audio=audio, span=arrays.span(row, clips), labels=labels)
        yield checked(video, streams, arrays.source)
