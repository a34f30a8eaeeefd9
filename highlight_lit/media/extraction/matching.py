"""Which row of a table, or which sidecar, belongs to which video: by path and by name, in one Unicode form.

A name is compared as it is before it is compared without regard to case, with its ending before without. What finds no
partner is kept, to be said: a video without its tags would be a negative for every topic.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from highlight_lit.errors import InputError
from highlight_lit.media.extraction.find_videos import SIDECAR, UNFINISHED, Listing, whole_name
from highlight_lit.media.extraction.sidecar import Sidecar, TagRow, is_playlist, read_info_json
from highlight_lit.text import a_few
from highlight_lit.unicode_forms import same_form

Parts = tuple[str, ...]
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


@dataclass
class Matches:
    """Each video's row or sidecar, and the rows, sidecars and videos without a partner.

    Attributes:
        sidecars: Of each video that has a row or a sidecar that can be read.
        faults: Why the sidecar of a video cannot be read.
        untagged: Videos with neither a row nor a sidecar.
        rows: Rows that name no video.
        orphans: Sidecars that belong to no video.
        by_table: Whether there is a table.
    """

    sidecars: dict[Path, Sidecar] = field(default_factory=dict)
    faults: dict[Path, str] = field(default_factory=dict)
    untagged: list[Path] = field(default_factory=list)
    rows: list[TagRow] = field(default_factory=list)
    orphans: list[Path] = field(default_factory=list)
    by_table: bool = False


def match(listing: Listing, rows: Sequence[TagRow]) -> Matches:
    """Give each video its row or its sidecar; a row counts where there are both.

    Raises:
        InputError: A row that names several videos, or a video that several rows name.
    """
    matches = Matches(by_table=bool(rows))
    of_rows = _match_rows(listing.videos, rows, matches)
    beside = _Beside(listing)
    for path in listing.videos:
        sidecar = beside.sidecar(path)
        try:
            if path in of_rows:
                matches.sidecars[path] = _with_id(of_rows[path].sidecar, sidecar)
            elif sidecar is not None:
                matches.sidecars[path] = read_info_json(sidecar)
            else:
                matches.untagged.append(path)
        except InputError as error:
            matches.faults[path] = str(error)
    matches.orphans = list(beside.orphans())
    return matches


def _with_id(row: Sidecar, path: Path | None) -> Sidecar:
    """What a row says, with the id of the video's sidecar: it is the same video with a table and without."""
    try:
        return row if path is None else replace(row, id=read_info_json(path).id)
    except InputError:
        return row


def sidecar_of(video: Path) -> Sidecar | None:
    """What `NAME.info.json` beside a video says; None if there is none.

    Raises:
        InputError: There is one, but it cannot be read.
    """
    path = _Beside(Listing()).sidecar(video)
    return None if path is None else read_info_json(path)


class _Beside:
    """The sidecars of folders, by the names of their videos."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._folders: dict[Path, dict[str, list[Path]]] = {}
        self._taken: set[Path] = set()
        self._videos = {(path.parent, same_form(path.stem)) for path in listing.videos}

    def sidecar(self, video: Path) -> Path | None:
        """The sidecar beside a video or, if the video is a link, beside what it leads to."""
        path = self._in(video.parent, video.stem)
        if path is None and video.is_symlink():
            real = Path(os.path.realpath(video))
            path = self._in(real.parent, real.stem)
        if path is not None:
            self._taken.add(path)
        return path

    def _in(self, folder: Path, stem: str) -> Path | None:
        if folder not in self._folders:
            names = self._listing.sidecars.get(folder)
            self._folders[folder] = _by_name(folder, _sidecars_in(folder) if names is None else names)
        same = self._folders[folder].get(same_form(stem).casefold(), [])
        exact = [path for path in same if _stem(path) == same_form(stem)]
        # One that differs in case is meant for this video unless another has its very name.
        chosen = exact or [path for path in same if (folder, _stem(path)) not in self._videos]
        return chosen[0] if len(chosen) == 1 else None

    def orphans(self) -> Iterator[Path]:
        """The sidecars of no video: neither of one that is taken, nor of one that is left out, nor of a playlist."""
        left_out = [path for paths in self._listing.left_out.values() for path in paths]
        known = {(path.parent, same_form(path.stem)) for path in left_out}
        unfinished = self._listing.left_out.get(UNFINISHED, [])
        known |= {(path.parent, same_form(whole_name(path.name))) for path in unfinished}
        for folder, names in self._listing.sidecars.items():
            for name in names:
                path = folder / name
                if path not in self._taken and (folder, _stem(path)) not in known and not is_playlist(path):
                    yield path


def _sidecars_in(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name.lower().endswith(SIDECAR))
    except OSError:
        return []


def _by_name(folder: Path, names: Iterable[str]) -> dict[str, list[Path]]:
    sidecars: dict[str, list[Path]] = {}
    for name in names:
        path = folder / name
        sidecars.setdefault(_stem(path).casefold(), []).append(path)
    return sidecars


def _stem(sidecar: Path) -> str:
    return same_form(sidecar.name[: -len(SIDECAR)])


def _match_rows(videos: Sequence[Path], rows: Sequence[TagRow], matches: Matches) -> dict[Path, TagRow]:
    """The row of each video that has one; rows of none go into `matches`."""
    index = _Index(videos)
    shared = _shared_folder([_parts(name) for row in rows if _ABSOLUTE.match(name := _slashes(row.name))])
    row_of: dict[Path, TagRow] = {}
    unsure: list[tuple[TagRow, list[Path]]] = []
    for row in rows:
        candidates = index.find(row.name, shared)
        if len(candidates) > 1:
            unsure.append((row, candidates))
        elif candidates:
            _give(row_of, candidates[0], row)
        else:
            matches.rows.append(row)
    for row, candidates in unsure:  # a row that says less than others may still be clear once these have theirs
        rest = [path for path in candidates if path not in row_of]
        if len(rest) != 1:
            raise InputError(
                f"{row.where}: {row.name!r} names {len(candidates)} videos ({a_few(map(str, candidates), 3)});"
                " expected one: write folders and ending, too"
            )
        _give(row_of, rest[0], row)
    return row_of


def _give(taken: dict[Path, TagRow], path: Path, row: TagRow) -> None:
    if path in taken:
        raise InputError(
            f"{row.where}: {row.name!r} names {path}, as does {taken[path].where}; expected one row a video"
        )
    taken[path] = row


class _Index:
    """Videos by their names and paths."""

    def __init__(self, videos: Sequence[Path]) -> None:
        self._videos = videos
        # By name, and by folder and name: there may be a `video.mp4` in each of many folders.
        self._by_name: dict[Parts, dict[Path, Parts]] = {}
        for path in videos:
            parts = tuple(same_form(part) for part in path.absolute().parts[1:])
            for name in {parts[-1], _without_ending(parts[-1])}:
                for key in {(name,), (*parts[-2:-1], name)}:
                    self._by_name.setdefault(_folded(key), {})[path] = parts

    @cached_property
    def _by_file(self) -> dict[str, list[Path]]:
        """Videos by where they are, links followed."""
        files: dict[str, list[Path]] = {}
        for path in self._videos:
            files.setdefault(os.path.realpath(path), []).append(path)
        return files

    def find(self, name: str, shared: int) -> list[Path]:
        """The videos that a table may mean by `name`.

        Args:
            name: A name or a path, with or without an ending; relative to any folder above the video.
            shared: Folders at the beginning of the table's absolute paths that may differ here: all the table's
                absolute paths begin with them.
        """
        for text in dict.fromkeys((name, _slashes(name))):  # a backslash may be part of a name
            parts = _parts(text)
            if videos := self._ending_with(parts):
                return videos
            if _ABSOLUTE.match(text):
                if videos := self._same_file(text, parts):
                    return videos
                if videos := self._ending_with(parts[shared:]):
                    return videos
        return []

    def _ending_with(self, wanted: Parts) -> list[Path]:
        """The videos whose path ends with these parts, by the strictest comparison that finds any."""
        if not wanted:
            return []
        known = self._by_name.get(_folded(wanted[-2:]), {})
        for fold in (str, str.casefold):
            folded = tuple(map(fold, wanted))
            for shorten in (str, _without_ending):
                ending = []
                for path, parts in known.items():
                    own = tuple(map(fold, (*parts[-len(wanted) : -1], shorten(parts[-1]))))
                    if own == folded:
                        ending.append(path)
                if ending:
                    return ending
        return []

    def _same_file(self, text: str, parts: Parts) -> list[Path]:
        """The videos that are the very file of an absolute path: a folder above may be a link."""
        known = self._by_name.get(_folded(parts[-1:]), {}) if parts and "\0" not in text else {}
        return [path for path in self._by_file.get(os.path.realpath(text), []) if path in known] if known else []


def _folded(parts: Parts) -> Parts:
    return tuple(part.casefold() for part in parts)


def _slashes(name: str) -> str:
    return name.replace("\\", "/")


def _parts(name: str) -> Parts:
    """A path's parts without `.`, `..` and what stands for the root.

    >>> _parts("./a/../b//c.mp4"), _parts("/b/c.mp4")
    (('b', 'c.mp4'), ('b', 'c.mp4'))
    """
    return tuple(part for part in posixpath.normpath(name).split("/") if part not in ("", ".", ".."))


def _without_ending(name: str) -> str:
    return os.path.splitext(name)[0]


def _shared_folder(paths: Sequence[Parts]) -> int:
    """How many parts all of some paths begin with, their own names left out."""
    count = 0
    for together in zip(*(parts[:-1] for parts in paths), strict=False):
        if len(set(together)) > 1:
            break
        count += 1
    return count
