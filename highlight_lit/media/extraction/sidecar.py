"""Tags, title and id that are given beside a video: in `NAME.info.json` as yt-dlp writes it, or in a csv.

Both are untrusted: values are text and nothing else, and a file of another form is an error, since a video that loses
its tags would be taken for a negative of every topic.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from highlight_lit.data.topics.tags import MAX_TAG, comma_note, plain_tags
from highlight_lit.data.video import MAX_SECONDS, SPLITS
from highlight_lit.errors import InputError
from highlight_lit.files import MAX_NAME_BYTES, cut_name, open_regular, read_json
from highlight_lit.text import say
from highlight_lit.unicode_forms import plain_line, same_form
from highlight_lit.untrusted.csv_tables import cell_number, read_table

COLUMNS = ("video", "tags", "title", "duration", "split")
MAX_SIDECAR_BYTES = 16 << 20  # yt-dlp writes some 1 MB without a video's comments
_DIGEST = 16  # hexadecimal digits that tell names apart whose beginning is the same


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


class TagRow(NamedTuple):
    """A row of a table: where it stands, what it calls the video, and what it says of it."""

    where: str
    name: str
    sidecar: Sidecar


def read_info_json(path: Path) -> Sidecar:
    """Read what yt-dlp wrote: `id`, `title`, `tags` and `duration`, each of which may be missing or null.

    Raises:
        InputError: Not a file, not JSON, over `MAX_SIDECAR_BYTES`, or a field of another type or out of range.
    """
    info = _info(path)
    if not isinstance(info, dict):
        raise InputError(f"{path}: expected a JSON object")
    tags = _field(info, "tags", list, path) or []
    if not all(isinstance(tag, str) for tag in tags):
        raise InputError(f"{path}: tags: expected a list of texts")
    duration = _field(info, "duration", (int, float), path)
    if duration is not None and not 0 <= duration <= MAX_SECONDS:
        raise InputError(f"{path}: duration: expected seconds from 0 to {MAX_SECONDS:.0e}")
    name, title = _field(info, "id", str, path), _field(info, "title", str, path)
    seconds = None if duration is None else float(duration)
    return Sidecar(
        plain_line(name or "")[:MAX_TAG], plain_tags(tags, str(path)), plain_line(title or "")[:MAX_TAG], seconds
    )


def is_playlist(path: Path) -> bool:
    """Whether a sidecar is one that yt-dlp wrote about a playlist or channel, which no video belongs to."""
    try:
        info = _info(path)
    except InputError:
        return False
    return isinstance(info, dict) and info.get("_type") in ("playlist", "multi_video")


def _info(path: Path) -> Any:
    content = "what yt-dlp writes about a video"
    with open_regular(path, content) as file:
        size = file.seek(0, 2)
    if size > MAX_SIDECAR_BYTES:
        raise InputError(
            f"{path}: {size >> 20} MiB, over the {MAX_SIDECAR_BYTES >> 20} MiB that are read of a sidecar;"
            " leave out its comments, or give the tags with --tags"
        )
    return read_json(path, content)


def _field(info: dict[str, Any], key: str, kind: type | tuple[type, ...], path: Path) -> Any:
    value = info.get(key)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        expected = "text" if kind is str else "a list of texts" if kind is list else "a number"
        actual = "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else f"{value!r:.40}"
        raise InputError(f"{path}: {key}: {actual} is not {expected}")
    return value


def read_csv(path: Path) -> list[TagRow]:
    """Read a table of videos: a header line with `video` and `tags`, and if wanted `title`, `duration`, `split`.

    `video` is the file's name or path, with or without its ending; tags are separated by semicolons.

    Raises:
        InputError: No such file, another header, no row, a row that does not fit, a video named twice.
    """
    rows: dict[str, TagRow] = {}
    for number, cells in read_table(path, COLUMNS[:2], COLUMNS[2:]):
        where, name = f"{path}: line {number}", same_form(cells["video"])
        if not name or name in rows:
            raise InputError(f"{where}: video {name!r}: {'named twice' if name else 'empty; expected a name'}")
        rows[name] = TagRow(where, name, _csv_row(cells, where))
    if not rows:
        raise InputError(f"{path}: a header without rows; expected a row for each video")
    if (note := comma_note((row.sidecar.tags for row in rows.values()), path)) is not None:
        say(f"note: {note}", file=sys.stderr)
    return list(rows.values())


def _csv_row(cells: dict[str, str], where: str) -> Sidecar:
    split, duration = cells.get("split", ""), cells.get("duration") or None
    if split not in SPLITS:
        raise InputError(f"{where}: split: {split!r} is none of {', '.join(filter(None, SPLITS))}")
    seconds = None if duration is None else cell_number(duration)
    if seconds is not None and not 0 <= seconds <= MAX_SECONDS:
        raise InputError(f"{where}: duration: {duration!r:.40} is not a number of seconds from 0 to {MAX_SECONDS:.0e}")
    return Sidecar(
        "", plain_tags(cells["tags"].split(";"), where), plain_line(cells.get("title", ""))[:MAX_TAG], seconds, split
    )


def plain_id(name: str) -> str:
    r"""An id that is one plain line and can be a file's name: one Unicode form, no control characters, no path.

    >>> plain_id("a\nb"), plain_id("../x"), plain_id("..")
    ('a b', '.._x', '__')

    Returns:
        At most 255 bytes of UTF-8; of a longer name the beginning and a digest of all of it. "" for an empty name.
    """
    plain = same_form(plain_line(name)).replace("/", "_").replace("\\", "_")
    if set(plain) <= {"."}:
        plain = "_" * len(plain)
    if len(plain.encode()) <= MAX_NAME_BYTES:
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
    return f"{cut_name(plain, MAX_NAME_BYTES - 1 - _DIGEST)}-{digest}"
