"""Look over the videos before any is extracted: their ids, their tags now, and what found no partner.

What is wrong with tags is said here, in seconds, and not after hours of extraction.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from highlight_lit.errors import InputError
from highlight_lit.media.extraction.find_videos import SIDECAR, Listing
from highlight_lit.media.extraction.matching import Matches, match
from highlight_lit.media.extraction.parts import Known
from highlight_lit.media.extraction.sidecar import Sidecar, TagRow, plain_id, read_info_json
from highlight_lit.media.extraction.sources import SourceFile, source_of
from highlight_lit.text import a_few


@dataclass
class Survey:
    """The ids of the videos to extract, what is known of videos, and what people should know.

    Attributes:
        ids: Of each video that can be extracted, in order.
        now: What is known of videos now, by id; of some that are in the corpus alone, too.
        untagged: Ids of those with neither a row nor a sidecar.
        faults: Why a video cannot be extracted.
        notes: What people should know, a line each.
    """

    ids: dict[Path, str] = field(default_factory=dict)
    now: dict[str, Sidecar] = field(default_factory=dict)
    untagged: set[str] = field(default_factory=set)
    faults: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


_AGAIN = "Give their table (--tags CSV, tags=CSV with -m) or sidecars again"


def survey(
    listing: Listing, rows: Sequence[TagRow], known: Mapping[str, Known], allow_untagged: bool = False
) -> Survey:
    """Look at all videos, rows and sidecars.

    Args:
        listing: Videos and sidecars.
        rows: Of a table of tags.
        known: The videos in the corpus, by id.
        allow_untagged: Only note what found no partner.

    Raises:
        InputError: A row, a sidecar or a video found no partner, or videos would lose the tags that they have; where
            no video has a row or a sidecar, having no tags is a choice. Or a row that names several videos.
    """
    matches = match(listing, rows)
    result = Survey(faults=dict(matches.faults), notes=listing.notes())
    first: dict[str, Path] = {}
    for path, name in _ids(listing, matches, known):
        if (fault := _fault(path, name, known.get(name))) is not None:
            result.faults[path] = fault
        elif first.setdefault(name, path) != path:
            result.faults[path] = (
                f"{path}: id {name!r}: also that of {first[name]}; give one of them another name, or an id in its sidecar"
            )
        else:
            result.ids[path] = name
            result.now[name] = matches.sidecars.get(path, Sidecar())
    result.untagged = {result.ids[path] for path in matches.untagged if path in result.ids}
    _add_known(matches, known, result)
    alone = _alone(matches, known, result)
    if alone and not allow_untagged:
        mend = "Mend the names" if rows or matches.sidecars or matches.orphans else _AGAIN
        raise InputError(
            f"{'; '.join(alone)}. {mend}, or go on as it is with --allow-untagged (allow_untagged=true with -m):"
            " a video without tags is a negative for every topic"
        )
    result.notes += alone
    if result.untagged and not alone:
        result.notes.append(
            f"{len(result.untagged)} videos without a sidecar or a table have no tags: negatives for every topic"
        )
    return result


def _ids(listing: Listing, matches: Matches, known: Mapping[str, Known]) -> Iterator[tuple[Path, str]]:
    """The id of each video: its sidecar's, else its name; one that is in the corpus keeps the id it has there.

    Several without a sidecar's id that have one name are told apart by their folders.
    """
    by_source: dict[SourceFile, list[str]] = {}
    for name, video in known.items():
        if video.source is not None:
            by_source.setdefault(video.source, []).append(name)
    paths = [path for path in listing.videos if path not in matches.faults]
    stated = {path: plain_id(matches.sidecars.get(path, Sidecar()).id) for path in paths}
    by_folder = _told_apart([path for path in paths if not stated[path]], {*filter(None, stated.values())})
    apart_ids = {*by_folder.values()}
    for path in paths:
        name, apart = plain_id(path.stem), by_folder.get(path, "")
        source = _source(path) if by_source else None
        ids = [] if source is None else by_source.get(source, [])
        if len(ids) > 1:  # of one name and size, told apart by their folders
            ids = [video_id for video_id in ids if video_id in _ids_by_folder(path)]
        ids = [video_id for video_id in ids if video_id == apart or video_id not in apart_ids]
        if apart and name in known and known[name].source not in (None, source):
            name = apart  # what has the name in the corpus is another of them
        new = stated[path] or apart or name
        yield path, next((video_id for video_id in (stated[path], apart, *ids, name) if video_id in known), new)


def _told_apart(paths: Sequence[Path], taken: set[str]) -> dict[Path, str]:
    """Ids of the videos that share their name with one of another folder: as few folders before it as tell them apart.

    Args:
        paths: Videos that have no other id.
        taken: Ids of others.
    """
    named: dict[str, list[Path]] = {}
    for path in paths:
        named.setdefault(plain_id(path.stem), []).append(path)
    taken = taken | named.keys()
    ids_of: dict[Path, str] = {}
    for same in named.values():
        folders = len({path.parent for path in same})
        by_depth = [_ids_by_folder(path) or [plain_id(path.stem)] for path in same]
        for depth in range(max(map(len, by_depth)) if folders > 1 else 0):
            ids = [names[min(depth, len(names) - 1)] for names in by_depth]
            if len(set(ids)) == folders and not taken & set(ids):
                ids_of |= zip(same, ids, strict=True)
                taken |= set(ids)
                break
    return ids_of


def _ids_by_folder(path: Path) -> list[str]:
    """Ids of a video that name its folder, its folder and the one above, and so on.

    >>> _ids_by_folder(Path("/surf/day 1/x.mp4"))
    ['day 1_x', 'surf_day 1_x']
    """
    folders = path.absolute().parent.parts[1:]
    return [plain_id("/".join((*folders[at:], path.stem))) for at in reversed(range(len(folders)))]


def _source(path: Path) -> SourceFile | None:
    try:
        return source_of(path)
    except InputError:  # the decoder says what is wrong with it
        return None


def _fault(path: Path, name: str, known: Known | None) -> str | None:
    """Why a video cannot have an id; None if it can."""
    if not name:
        return f"{path}: no printable character in its name; expected one, for its id"
    before = None if known is None else known.source
    source = None if before is None else _source(path)
    if before is None or source is None or before.size == source.size:  # of another name it was moved
        return None
    return (
        f"{path}: id {name!r}: in the corpus for another file ({before}, this one: {source});"
        " give it another name, or an id in its sidecar, or name the folders of both in one command"
    )


def _add_known(matches: Matches, known: Mapping[str, object], result: Survey) -> None:
    """Rows and sidecars of videos that are in the corpus, though their files are gone, count for these."""

    def take(names: Sequence[str], sidecar: Sidecar) -> bool:
        name = next((name for name in names if name in known and name not in result.now), None)
        if name is not None:
            result.now[name] = sidecar
        return name is not None

    rows = []
    for row in matches.rows:
        a_path = "/" in row.name or "\\" in row.name  # of which the corpus knows no more than the name
        if a_path or not take([plain_id(row.name), plain_id(posixpath.splitext(row.name)[0])], row.sidecar):
            rows.append(row)
    orphans = []
    for path in matches.orphans:
        try:
            sidecar = read_info_json(path)
        except InputError:
            sidecar = None
        if sidecar is None or not take([plain_id(sidecar.id), plain_id(path.name[: -len(SIDECAR)])], sidecar):
            orphans.append(path)
    matches.rows, matches.orphans = rows, orphans


def _alone(matches: Matches, known: Mapping[str, Known], result: Survey) -> list[str]:
    """A line on each kind of row, sidecar or video without a partner."""
    lines = []
    if matches.rows:
        names = a_few(f"{row.where.rpartition(': ')[2]}: {row.name!r}" for row in matches.rows)
        lines.append(f"{matches.rows[0].where.rpartition(': ')[0]}: {len(matches.rows)} rows name no video ({names})")
    if matches.orphans:
        lines.append(f"{len(matches.orphans)} sidecars belong to no video ({a_few(map(str, matches.orphans))})")
    partly = matches.by_table or bool(matches.sidecars)
    if partly and matches.untagged:
        lack = "neither a row of the table nor a sidecar" if matches.by_table else "no sidecar, as others have"
        lines.append(f"{len(matches.untagged)} videos have {lack} ({a_few(map(str, matches.untagged))})")
    lost = [path for path, name in result.ids.items() if name in result.untagged and name in known and known[name].tags]
    if lost:
        lines.append(f"{len(lost)} videos would lose the tags they have in the corpus ({a_few(map(str, lost))})")
    return lines
