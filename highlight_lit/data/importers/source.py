"""What the importers share: reading files of unknown origin, and the closing line."""

from __future__ import annotations

import math
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.files import read_json, read_table
from highlight_lit.text import a_few

Report = Callable[[str], None]
_ARRAY_ERRORS = (
    OSError, ValueError, TypeError, EOFError, SyntaxError, OverflowError, MemoryError, RecursionError,
    tokenize.TokenError,
)  # fmt: skip


def safe_id(name: object, where: str) -> str:
    """Return a video's id if it can be part of a file name without leaving its folder.

    Raises:
        InputError: It is empty or no text, holds a slash, a backslash or a control character, or is `.` or `..`.
    """
    plain = isinstance(name, str) and name.strip(" .") and name.isprintable() and not set(name) & {"/", "\\"}
    if plain:
        return str(name)
    raise InputError(f"{where}: video {name!r}: id: expected a plain name, without '/', '\\' or '..'")


def text(value: object) -> str:
    """A title or topic as it can be stored: what UTF-8 cannot hold becomes `?`, what is no text at all becomes empty.

    >>> text("caf\\ud800"), text(None)
    ('caf?', '')
    """
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def number(value: object, where: str) -> float:
    """A finite number above 0, given as a number or as text.

    Raises:
        InputError: It is anything else.
    """
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not (math.isfinite(found) and found > 0):
        raise InputError(f"{where}: {value!r}, expected a number above 0")
    return found


def matrix(value: object, where: str, columns: int | None = None) -> NDArray[np.float64]:
    """A list of equally long lists of finite numbers as (rows, columns), at least one row.

    Raises:
        InputError: It is anything else.
    """
    try:
        found = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    wide = found.ndim == 2 and found.shape[1] == (columns or found.shape[1]) and found.size > 0
    if not wide or not np.isfinite(found).all():
        raise InputError(f"{where}: expected rows of {columns or 'equally many'} finite numbers, at least one row")
    return found


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
    try:
        rows: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(f"{where}: {path.name}: no such file") from None
    except _ARRAY_ERRORS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{where}: {path.name}: truncated or not a plain .npy array ({reason})") from error
    if rows.ndim != 2 or 0 in rows.shape or rows.dtype.kind != "f":
        raise InputError(
            f"{where}: {path.name}: {rows.dtype} of shape {rows.shape}, expected floating point (clips, width)"
        )
    return rows


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
            if row["id"] in rates:
                raise InputError(f"{path}: line {line}: video {row['id']!r}: id: occurs twice")
            rates[row["id"]] = number(row["fps"], f"{path}: line {line}: video {row['id']!r}: fps")
        return rates
    entries = read_json(path, "frame rates by video id")
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise InputError(f"{path}: expected an object with one object a video, each with its fps")
    return {name: number(entry.get("fps"), f"{path}: video {name!r}: fps") for name, entry in entries.items()}


def checked(video: Video, streams: Mapping[str, Stream], source: Path) -> Video:
    """The video, if it fits a corpus with these streams; the shard would refuse it too, but name itself.

    Raises:
        InputError: It does not.
    """
    if (fault := video.fault(streams)) is not None:
        raise InputError(f"{source}: video {video.id!r}: {fault}")
    return video


class Tally:
    """Counts what goes by, for the closing line."""

    def __init__(self) -> None:
        self.videos = self.clips = self.segments = 0
        self.seconds = 0.0
        self.tags: set[str] = set()

    def watch(self, videos: Iterable[Video]) -> Iterator[Video]:
        """Yield the videos unchanged."""
        for video in videos:
            self.videos += 1
            self.clips += len(video.span)
            self.segments += 0 if video.labels is None else len(video.labels.span)
            self.seconds += video.duration
            self.tags.update(video.tags)
            yield video

    def line(self, out: Path, topics: Iterable[str] | None = None) -> str:
        """Videos, clips, labelled segments, topics (every tag unless named) and hours in one line."""
        names = sorted(self.tags if topics is None else topics)
        return (
            f"{out}: {self.videos} videos, {self.clips} clips, {self.segments} labelled segments, "
            f"{len(names)} topics ({a_few(names, 12)}), {self.seconds / 3600:.2f} hours"
        )
