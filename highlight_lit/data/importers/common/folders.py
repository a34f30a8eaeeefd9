"""Features as folders of arrays, one file a video and stream: what `import npy` and `import npz` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.common.label_source import labels_for
from highlight_lit.data.importers.common.report import FirstOf, Say
from highlight_lit.data.importers.common.values import TOLERATED_ROWS
from highlight_lit.data.importers.common.video_table import chosen_topics, in_other_case
from highlight_lit.data.importers.common.writing import checked, stored_dtype, write_and_report
from highlight_lit.data.importers.formats.arrays import NpyRows
from highlight_lit.data.video import MAX_CLIPS, STREAMS, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.text import a_few, say


class RowSource(Protocol):
    """An array whose rows are read from disk when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Folder:
    """A folder of files, one a video.

    Attributes:
        path: The folder.
        files: By id.
        ending: Of a file's name.
        opened: Opens one: the file, and folder, video and field for errors.
    """

    path: Path
    files: Mapping[str, Path]
    ending: str = ".npy"
    opened: Callable[[Path, str], RowSource] = NpyRows

    def file(self, video: str) -> str:
        """A video's file as messages name it: its folder and its name."""
        return f"{self.path.name}/{video}{self.ending}"


@dataclass(frozen=True)
class Arrays:
    """The arrays that are there, and how a video's clips lie in time where there is no `span`.

    Attributes:
        source: The folder of the folders.
        folders: By `visual`, `audio` or `span`, those whose columns stand side by side.
        clip_seconds: Length of a clip: clip i lasts from `i * clip_seconds` to the next or to the video's end.
        advice: What to do where these videos have no array; empty: the usual.
    """

    source: Path
    folders: Mapping[str, Sequence[Folder]]
    clip_seconds: float
    advice: Callable[[Sequence[Video]], str] = lambda rows: ""

    @property
    def needed(self) -> list[Folder]:
        """Folders in which every video has an array: audio may be missing beside visual."""
        optional = ("audio",) if "visual" in self.folders else ()
        return [folder for name, folders in self.folders.items() if name not in optional for folder in folders]

    @property
    def all(self) -> list[Folder]:
        """Every folder."""
        return [folder for folders in self.folders.values() for folder in folders]

    def matched(self, table: object, rows: Sequence[Video], allow_unmatched: bool, report: Say) -> list[Video]:
        """The rows of the table that have their arrays.

        Raises:
            InputError: There are others, or arrays without a row, and they are not allowed to be left out.
        """
        matched: list[Video] = []
        lacking: list[Video] = []
        for row in rows:
            (matched if all(row.id in folder.files for folder in self.needed) else lacking).append(row)
        ids = {row.id for row in rows}
        stray = [path for folder in self.all for name, path in folder.files.items() if name not in ids]
        lines = []
        if lacking:
            folder = next(folder for folder in self.needed if lacking[0].id not in folder.files)
            without = f"{len(lacking)} of {len(rows)} videos of {table}: no array in {folder.path}"
            lines.append(f"{without}: {a_few(row.id for row in lacking)}")
        if stray:
            names = (f"{path.parent.name}/{path.name}" for path in stray)
            lines.append(f"{len(stray)} arrays of {self.source}: no row in {table}: {a_few(names)}")
        if lines and not allow_unmatched:
            case = in_other_case([*(row.id for row in lacking), *(path.stem for path in stray)], ids)
            named = f"expected one for each: an id is its arrays' name without {self.all[0].ending}"
            advice = self.advice(lacking) or f"{named}{'; --allow-unmatched leaves these out' * bool(matched)}"
            raise InputError(f"{'; '.join(lines)}{case}; {advice}")
        for line in lines:
            report(f"{line}; left out")
        if not matched:
            raise InputError(f"{self.source}: no array of any video of {table}")
        return matched

    def open(self, name: str, video: Video) -> list[RowSource]:
        """(T_n, D) of each folder; none of them without that stream, or for a video without audio beside its visual."""
        folders = self.folders.get(name, ())
        if not all(video.id in folder.files for folder in folders):
            return []
        return [
            folder.opened(folder.files[video.id], f"{folder.path}: video {video.id!r}: {name}") for folder in folders
        ]

    def clips(self, video: Video) -> tuple[int, dict[str, int]]:
        """How many clips a video is cut to, and the length of each of its arrays by its file.

        Raises:
            InputError: They differ by more than `TOLERATED_ROWS`, or its duration is that of more than `MAX_CLIPS` clips.
        """
        lengths = {
            folder.file(video.id): len(rows)
            for name in STREAMS
            for folder, rows in zip(self.folders.get(name, ()), self.open(name, video), strict=False)
        }
        if given := self.open("span", video):
            if len(given[0]) != max(lengths.values()):
                lengths[self.folders["span"][0].file(video.id)] = len(given[0])
        elif not np.isnan(video.duration):
            whole, cut = np.ceil(video.duration / self.clip_seconds), f"in clips of {self.clip_seconds:g} s"
            if whole > MAX_CLIPS:  # or infinitely many
                raise InputError(
                    f"{self.source}: video {video.id!r}: {video.duration:.2f} s {cut} are over {MAX_CLIPS} clips, a bound that "
                    "cannot be raised; expected longer ones: set --clip-seconds"
                )
            lengths[f"{video.duration:.2f} s {cut}"] = int(whole)
        shortest, longest = min(lengths.values()), max(lengths.values())
        if longest - shortest > TOLERATED_ROWS:
            counts = ", ".join(f"{name}: {count}" for name, count in lengths.items())
            spans = ", write span/ID.npy with each clip's start and end," * (self.all[0].ending == ".npy")
            raise InputError(
                f"{self.source}: video {video.id!r}: rows disagree by more than {TOLERATED_ROWS}: {counts}; expected a row a "
                f"clip: set --clip-seconds{spans} or resample a stream"
            )
        return shortest, lengths

    def report_cuts(self, rows: Sequence[Video], report: Say) -> None:
        """Report each video with an array that is longer than the clips it is cut to."""
        cuts = FirstOf(report, "videos were cut to their shortest stream")
        for video in rows:
            clips, lengths = self.clips(video)
            if any(count > clips for name, count in lengths.items() if name.endswith(self.all[0].ending)):
                counts = ", ".join(f"{name}: {count}" for name, count in lengths.items())
                cuts(f"{self.source}: video {video.id!r}: cut to {clips} clips: {counts}")
        cuts.close()

    def streams(self, rows: Sequence[Video], dtype: str | None) -> dict[str, Stream]:
        """The streams, whose widths must agree over all videos."""
        streams = {}
        for name in STREAMS:
            width, dtypes = 0, set()
            for place, folder in enumerate(self.folders.get(name, ())):
                widths: dict[int, str] = {}
                for video in rows:
                    if arrays := self.open(name, video):
                        widths.setdefault(arrays[place].shape[1], video.id)
                        dtypes.add(arrays[place].dtype)
                if len(widths) > 1:
                    (first_width, first), (other, video_id) = list(widths.items())[:2]
                    where = f"{folder.path}: video {video_id!r}: {name}"
                    raise InputError(f"{where}: {other} wide, expected {first_width} as of video {first!r}")
                width += sum(widths)
            if width:
                extractor = "+".join(folder.path.name for folder in self.folders[name])
                streams[name] = Stream(
                    width, "unknown" if extractor == name else extractor, dtype=stored_dtype(dtypes, dtype)
                )
        if not streams:
            raise InputError(f"{self.source}: no visual/ID.npy and no audio/ID.npy")
        return streams

    def lasting(self, row: Video) -> Video:
        """A row with a duration: that of its clips, where it has none."""
        return replace(row, duration=self.clips(row)[0] * self.clip_seconds) if np.isnan(row.duration) else row

    def video(self, row: Video) -> Video:
        """A row with its features and the spans of its clips."""
        clips, _ = self.clips(row)
        visual, audio = (
            np.concatenate([rows[:clips] for rows in arrays], axis=1) if (arrays := self.open(name, row)) else None
            for name in STREAMS
        )
        return replace(row, visual=visual, audio=audio, span=self._span(row, clips))

    def _span(self, video: Video, clips: int) -> NDArray[np.float64]:
        """(T_n, 2) start and end of each clip in seconds."""
        if arrays := self.open("span", video):
            given, where = arrays[0][:clips], f"{self.source / 'span'}: video {video.id!r}: span"
            if given.shape[1] != 2:
                raise InputError(f"{where}: shape {arrays[0].shape}, expected ({clips}, 2)")
            if not arrays[0][:].max() <= video.duration + 1:
                raise InputError(
                    f"{where}: ends at {arrays[0][:].max():.2f} s, past the video's {video.duration:.2f} s"
                )
            return np.asarray(given, np.float64)
        start = self.clip_seconds * np.arange(clips)
        return np.stack([start, np.minimum(start + self.clip_seconds, video.duration)], axis=1)


class ArrayOptions(TypedDict, total=False):
    """Options that `import npy` and `import npz` share; `import_arrays` tells what they are."""

    topics: Sequence[str] | None
    dtype: str | None
    name: str | None
    allow_unmatched: bool
    labels: Path | None


def import_arrays(
    arrays: Arrays,
    out: Path,
    table: object,
    rows: Sequence[Video],
    *,
    source: str,
    topics: Sequence[str] | None = None,
    dtype: str | None = None,
    name: str | None = None,
    allow_unmatched: bool = False,
    labels: Path | None = None,
    report: Say = say,
) -> None:
    """Write the corpus of arrays and rows.

    Args:
        arrays: Where the features are.
        out: Where the corpus goes; new or empty.
        table: What the rows came from, for lines.
        rows: The videos; those without arrays as `allow_unmatched` has it.
        source: The importer's name.
        topics: Tags that are topics; None: every tag.
        dtype: `float16` or `float32`; None keeps float16 and turns anything else into float32.
        name: The corpus' name in tables; the folder's if None.
        allow_unmatched: Whether rows without arrays, arrays without a row and labels without a video are reported and left
            out, not refused.
        labels: A csv of labels, as `common.label_table` tells; or a corpus of labels, whose benchmark this one then names
            and whose labels the videos with its ids get.
        report: Called with a line for each oddity and a closing line.
    """
    topics = chosen_topics(topics, rows, table)
    rows = arrays.matched(table, rows, allow_unmatched, report)
    streams = arrays.streams(rows, dtype)
    arrays.report_cuts(rows, report)
    rows = [arrays.lasting(row) for row in rows]
    labelled = labels_for(labels, rows, allow_unmatched, report)

    def videos() -> Iterator[Video]:
        for row in rows:
            video = replace(arrays.video(row), labels=labelled.labels(row.id))
            yield checked(video, streams, arrays.source)

    about = {"benchmark": labelled.benchmark, "clip_seconds": arrays.clip_seconds, "clock": labelled.clock}
    name = name or arrays.source.resolve().name
    write_and_report(out, videos(), streams, report, source=source, name=name, topics=topics, **about)
