"""What the importers share: reading files of unknown origin, and the closing line."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import tokenize
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import write_corpus
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError, first_line
from highlight_lit.files import MAX_NAME_BYTES, check_packed, open_regular, read_json, stored_bytes
from highlight_lit.text import a_few, shown
from highlight_lit.untrusted.csv_tables import read_table

Say = Callable[[str], None]
MAX_ARRAY_BYTES = 1 << 30  # of a video's features: twelve hours of 6,000 float32 a second
MAX_HEADER_BYTES = 1 << 16  # of an array: numpy reads all of it before it refuses more than 10,000
_PICKLE = b"\x80"  # the first byte of a pickle
_CONVERT = (
    'python -c "import sys, numpy as np; p = sys.argv[1]; x = np.load(p, allow_pickle=True); '
    "np.save(p, np.array(x.tolist() if hasattr(x, 'tolist') else x, 'float32'))\""
)
ARRAY_ERRORS = (
    OSError, ValueError, TypeError, EOFError, SyntaxError, OverflowError, MemoryError, RecursionError,
    tokenize.TokenError,
)  # fmt: skip


def add_dtype(parser: argparse.ArgumentParser) -> None:
    """Add `--dtype`, of importers of features."""
    parser.add_argument("--dtype", choices=("float16", "float32"), help="as stored; default: the source's")


def add_fps(parser: argparse.ArgumentParser) -> None:
    """Add `--fps`, of importers of labels that count frames."""
    parser.add_argument("--fps", type=Path, metavar="FILE", help="frame rates: a csv with the columns id, fps")


def safe_id(name: object, where: str) -> str:
    """Return a video's id, in Unicode's composed form, if it can be part of a file name without leaving its folder.

    Raises:
        InputError: It is empty or no text, holds a slash, a backslash, a control character or one that reorders what
            stands around it, is `.` or `..`, or is longer than a file's name.
    """
    if isinstance(name, str) and len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        raise InputError(f"{where}: video {name[:20]!r}...: id: expected at most {MAX_NAME_BYTES} bytes")
    if isinstance(name, str) and name.strip(" .") and shown(name) == name and not set(name) & {"/", "\\"}:
        return composed(name)
    raise InputError(f"{where}: video {name!r}: id: expected a plain name, without '/', '\\' or '..'")


def composed(name: str) -> str:
    """A name in the one form that names are compared in: file systems and editors differ in how they write `é`."""
    return unicodedata.normalize("NFC", name)


def text(value: object) -> str:
    """A title or topic as it can be stored: what UTF-8 cannot hold becomes `?`, what is no text at all becomes empty.

    >>> text("caf\\ud800"), text(None)
    ('caf?', '')
    """
    return composed(value.encode("utf-8", "replace").decode()) if isinstance(value, str) else ""


def number(value: object, where: str) -> float:
    """A finite number above 0, given as a number or as text.

    Raises:
        InputError: It is anything else.
    """
    try:
        parsed = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        parsed = math.nan
    if isinstance(value, bool) or not (math.isfinite(parsed) and parsed > 0):
        raise InputError(f"{where}: {value!r}, expected a number above 0")
    return parsed


def matrix(value: object, where: str, columns: int | None = None) -> NDArray[np.float64]:
    """A list of equally long lists of finite numbers as (rows, columns), at least one row.

    Raises:
        InputError: It is anything else.
    """
    try:
        rows = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        rows = np.empty(0)
    wide = rows.ndim == 2 and rows.shape[1] == (columns or rows.shape[1]) and rows.size > 0
    if not wide or not np.isfinite(rows).all():
        raise InputError(f"{where}: expected rows of {columns or 'equally many'} finite numbers, at least one row")
    return rows


def open_rows(path: Path, where: str) -> NDArray[Any]:
    """Map a `.npy` file of clip features into memory; nothing is unpickled and nothing is read yet.

    Args:
        path: The file.
        where: Folder, video and field, for the error.

    Returns:
        (T, D) floating point.

    Raises:
        InputError: The file is missing, truncated, no `.npy` file or of another type or shape.
    """
    with open_regular(path, f"an array of {where.rpartition(': ')[2]} features") as file:
        held, start = stored_bytes(file), os.pread(file.fileno(), 12, 0)
    try:
        check_header(start)
        with np.errstate(over="ignore"):  # of a shape beyond any file, which is refused for its size
            rows: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except ARRAY_ERRORS as error:
        if start[:1] == _PICKLE or "Python objects" in first_line(error):
            raise InputError(
                f"{where}: {path.name}: pickled, which could run anything and is never read; if you trust where it is from: "
                f"{_CONVERT} {shlex.quote(str(path))}"
            ) from error
        raise InputError(f"{where}: {path.name}: truncated or not a plain .npy array ({first_line(error)})") from error
    if rows.ndim != 2 or min(rows.shape) < 1 or rows.dtype.kind != "f":
        raise InputError(
            f"{where}: {path.name}: {rows.dtype} of shape {rows.shape}, expected floating point (clips, width), at least one clip"
        )
    if rows.nbytes > MAX_ARRAY_BYTES:
        raise InputError(
            f"{where}: {path.name}: {rows.nbytes >> 20} MiB; expected at most {MAX_ARRAY_BYTES >> 20} MiB a video, a bound that "
            "cannot be raised"
        )
    check_packed(rows.nbytes, held, f"{where}: {path.name}")
    return rows


def check_header(start: bytes) -> None:
    """Refuse an array whose header is large, by its first twelve bytes: version, and how long the header is.

    Raises:
        ValueError: It is over `MAX_HEADER_BYTES`.
    """
    if start[6:7] > b"\1" and int.from_bytes(start[8:12], "little") > MAX_HEADER_BYTES:
        raise ValueError(f"a header of over {MAX_HEADER_BYTES >> 10} KiB")


def stored_dtype(sources: Iterable[np.dtype[Any]], wanted: str | None) -> str:
    """The type to store a stream in: `wanted`, or float16 where all of the source is float16, else float32.

    >>> stored_dtype([np.dtype("float16"), np.dtype("float64")], None)
    'float32'
    """
    return wanted or ("float16" if all(dtype == np.float16 for dtype in sources) else "float32")


def frame_rates(path: Path) -> dict[str, float]:
    """Frames a second by video id, from csv with columns `id,fps` or from an annotation json of UMT's layout.

    Raises:
        InputError: The file is neither, an id occurs twice, or a rate is not a number above 0.
    """
    rates: dict[str, float] = {}
    if path.suffix != ".json":
        for line, row in read_table(path, ("id", "fps")):
            if (name := composed(row["id"])) in rates:
                raise InputError(f"{path}: line {line}: video {name!r}: id: occurs twice")
            rates[name] = number(row["fps"], f"{path}: line {line}: video {row['id']!r}: fps")
        return rates
    entries = read_json(path, "frame rates by video id")
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise InputError(f"{path}: expected an object with one object a video, each with its fps")
    return {composed(name): number(entry.get("fps"), f"{path}: video {name!r}: fps") for name, entry in entries.items()}


def report_unmatched(rates: Mapping[str, float], videos: Iterable[str], path: Path | None, report: Say) -> None:
    """Report the frame rates that are of none of the videos."""
    if strange := sorted(rates.keys() - set(videos)):
        report(f"{path}: {len(strange)} of {len(rates)} frame rates are of no video here: {a_few(strange)}")


def checked(video: Video, streams: Mapping[str, Stream], source: Path) -> Video:
    """The video, if it fits a corpus with these streams; the shard would refuse it too, but name itself.

    Raises:
        InputError: It does not.
    """
    if (fault := video.fault(streams)) is not None:
        raise InputError(f"{source}: video {video.id!r}: {fault}")
    return video


class FirstOf:
    """A report of oddities of one kind: the first ones line by line, the others counted.

    Args:
        report: Where lines go.
        what: What one is, for the count.
        most: Lines that are told.
    """

    def __init__(self, report: Say, what: str, most: int = 10) -> None:
        self._report, self._what, self._most, self._count = report, what, most, 0

    def __call__(self, line: str) -> None:
        """Report one."""
        self._count += 1
        if self._count <= self._most:
            self._report(line)

    def close(self) -> None:
        """Report how many more there were."""
        if self._count > self._most:
            self._report(f"and {self._count - self._most} more {self._what}")


def files_of(folder: Path, ending: str = ".npy") -> dict[str, Path]:
    """The files of a folder by the name before the ending, in one Unicode form, but for what macOS puts beside them (`._NAME`).

    Raises:
        InputError: Two names differ in their form alone.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*{ending}")):
        if path.name.startswith("._"):
            continue
        name = composed(path.name.removesuffix(ending))
        if name in files:
            raise InputError(f"{folder}: {name!r}: there twice, in two Unicode forms; expected one file")
        files[name] = path
    return files


class _Tally:
    """Counts what goes by, for the closing line."""

    def __init__(self) -> None:
        self.videos = self.clips = self.segments = self.silent = 0
        self.seconds = 0.0
        self.tags: set[str] = set()

    def watch(self, videos: Iterable[Video]) -> Iterator[Video]:
        """Yield the videos unchanged."""
        for video in videos:
            self.videos += 1
            self.clips += len(video.span)
            self.segments += 0 if video.labels is None else len(video.labels.span)
            self.silent += video.audio is None
            self.seconds += video.duration
            self.tags.update(video.tags)
            yield video

    def line(self, out: Path, topics: Iterable[str] | None = None) -> str:
        """What there is of each in one line; of topics every tag unless they are named, and videos without audio where others have it."""
        names = sorted(self.tags if topics is None else topics)
        topic = f"{len(names)} topics ({a_few(names, 12)})" if names else "no tags, so no topic to train"
        silent = f" ({self.silent} without audio)" if 0 < self.silent < self.videos else ""
        return (
            f"{out}: {self.videos} videos{silent}, {self.clips} clips, {self.segments} labelled segments, {topic}, "
            f"{self.seconds / 3600:.2f} hours"
        )


def write_and_report(
    out: Path, videos: Iterable[Video], streams: Mapping[str, Stream], report: Say, *, topics: Sequence[str] | None = None,
    **about: Any,
) -> None:  # fmt: skip
    """Write a corpus, as `write_corpus` does, and say what is in it in a closing line."""
    tally = _Tally()
    write_corpus(out, tally.watch(videos), streams, topics=topics, **about)
    report(tally.line(out, topics))
