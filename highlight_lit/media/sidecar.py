"""What is known of a video beside its file: tags, title, id. From `NAME.info.json` as yt-dlp writes it, or a csv.

Both are untrusted: values are text and nothing else, and a file of another form is an error, since a video that loses
its tags would be taken for a negative of every topic.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from highlight_lit.data.video import SPLITS
from highlight_lit.errors import InputError
from highlight_lit.files import read_json

COLUMNS = ("video", "tags", "title", "duration", "split")
_LONGEST_TITLE = 500


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar says.

    Attributes:
        id: The video's id, "" if it gives none.
        tags: In lower case, without blanks around them, each once.
        title: One line.
        duration: Seconds it claims, None if it claims none. Only ever compared: the video's own time counts.
        split: The list the video is on, see `Video`.
    """

    id: str = ""
    tags: tuple[str, ...] = ()
    title: str = ""
    duration: float | None = None
    split: str = ""


def info_json(video: Path) -> Path:
    """Where yt-dlp writes what it knows of a video."""
    return video.with_suffix(".info.json")


def read_info_json(path: Path) -> Sidecar:
    """Read what yt-dlp wrote: `id`, `title`, `tags` and `duration`, each of which may be missing or null.

    Raises:
        InputError: Not JSON, or a field of another type.
    """
    info = read_json(path, "what yt-dlp writes about a video")
    if not isinstance(info, dict):
        raise InputError(f"{path}: expected a JSON object")
    tags = _field(info, "tags", list, path) or []
    if not all(isinstance(tag, str) for tag in tags):
        raise InputError(f"{path}: tags: expected a list of texts")
    duration = _field(info, "duration", (int, float), path)
    name, title = _field(info, "id", str, path), _field(info, "title", str, path)
    return Sidecar(_line(name or ""), _tags(tags), _line(title or ""), duration)


def _field(info: dict[str, Any], key: str, kind: type | tuple[type, ...], path: Path) -> Any:
    value = info.get(key)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        expected = "text" if kind is str else "a list of texts" if kind is list else "a number"
        raise InputError(f"{path}: {key}: {value!r:.40} is not {expected}")
    return value


def read_csv(path: Path) -> dict[str, Sidecar]:
    """Read a table of videos: a header line with `video` and `tags`, and if wanted `title`, `duration`, `split`.

    `video` is the file's name, with or without its ending; tags are separated by semicolons.

    Returns:
        Sidecars by the name in `video`.

    Raises:
        InputError: No such file, another header, a line that does not fit, a video named twice.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a csv with columns {', '.join(COLUMNS)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as csv ({error})") from error
    header = set(rows[0]) - {None} if rows else set()
    if not rows or not {"video", "tags"} <= header <= set(COLUMNS):
        raise InputError(
            f"{path}: expected a header with video and tags (and if wanted title, duration, split) and rows"
        )
    sidecars: dict[str, Sidecar] = {}
    for number, row in enumerate(rows, start=2):
        name = (row["video"] or "").strip()
        if not name or None in row or name in sidecars:
            raise InputError(f"{path}: line {number}: video {name!r}: empty, named twice, or too many cells")
        sidecars[name] = _csv_row(row, f"{path}: line {number}")
    return sidecars


def _csv_row(row: dict[str, str | None], where: str) -> Sidecar:
    split = (row.get("split") or "").strip()
    if split not in SPLITS:
        raise InputError(f"{where}: split: {split!r} is none of {', '.join(filter(None, SPLITS))}")
    try:
        duration = float(row["duration"]) if row.get("duration") else None  # type: ignore[arg-type]
    except ValueError:
        raise InputError(f"{where}: duration: {row['duration']!r} is not a number of seconds") from None
    return Sidecar("", _tags((row["tags"] or "").split(";")), _line(row.get("title") or ""), duration, split)


def sidecar_of(video: Path, table: dict[str, Sidecar]) -> Sidecar | None:
    """The sidecar of a video: its line of the table, else its `NAME.info.json`, else None.

    Raises:
        InputError: There is one, but it cannot be read.
    """
    for name in (video.name, video.stem):
        if name in table:
            return table[name]
    path = info_json(video)
    return read_info_json(path) if path.exists() else None


def _line(text: str) -> str:
    """Text in one line that can be written as UTF-8: no control characters, no half of a surrogate pair."""
    encodable = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in encodable).split())[:_LONGEST_TITLE]


def _tags(tags: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag for tag in (_line(tag).casefold() for tag in tags) if tag))
