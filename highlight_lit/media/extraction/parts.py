"""The shards of a corpus that is being extracted: a part for each video that is done, packed together at the end.

Any number of processes may extract into one corpus, on machines that share a disk; packing is done by one alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from highlight_lit.data.corpus import SHARD_BYTES, Corpus
from highlight_lit.data.labels_file import LOCK
from highlight_lit.data.manifest import MANIFEST, read_manifest, write_manifest
from highlight_lit.data.shards import Shard, ShardWriter
from highlight_lit.data.video import SPLITS, Stream
from highlight_lit.errors import InputError
from highlight_lit.files import remove_tree
from highlight_lit.locks import locked, open_lock
from highlight_lit.media.extraction.sidecar import Sidecar
from highlight_lit.media.extraction.sources import SOURCES, SourceFile, read_sources, write_sources
from highlight_lit.text import say

CLIP_SECONDS = 1.0
PARTS = "parts"
_LOCK = ".lock"
_SCRATCH = ".run-"
_BEFORE = Path(PARTS, ".manifest.json")  # of the corpus, while its shards are replaced


@contextmanager
def held(root: Path, alone: bool = False) -> Iterator[None]:
    """Hold the parts of a corpus: together with others that extract into it or, to pack them, alone.

    Nothing is taken away from under a process that holds them. The hold ends with the process, however that ends. The
    last to let go takes the lock away and, where nothing came into being, the folders.

    Raises:
        InputError: `root` cannot be written, or its file system has no locks.
    """
    path = root / PARTS / _LOCK
    if path.parent.is_symlink():  # what is not finished is removed from it
        raise InputError(f"{path.parent}: a link; expected a folder of this corpus, or none: remove it")
    new = not root.exists()
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.fdopen(open_lock(path), "r+b", buffering=0)
        except FileNotFoundError:
            continue  # another packed and removed the folder in between
        except OSError as error:
            raise InputError(f"{root}: cannot be written ({error.strerror})") from error
        with file:
            _lock(file.fileno(), fcntl.LOCK_EX if alone else fcntl.LOCK_SH, root)
            try:
                ours = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except FileNotFoundError:
                ours = False
            if ours:  # else whoever had it before removed it: what is locked is no longer the lock
                try:
                    yield
                finally:
                    _let_go(file.fileno(), path, new)
                return


def _lock(file: int, kind: int, root: Path) -> None:
    """Lock an open file, and say so if that takes waiting."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"{root}: waits for others that extract into it", file=sys.stderr)
        fcntl.flock(file, kind)
    except OSError as error:
        raise InputError(
            f"{root}: its file system has no locks (flock: {error.strerror}); extract to another disk and copy the corpus"
        ) from error


def remove_lock(root: Path) -> None:
    """Take away what processes left that were killed as they held the parts, unless others hold them."""
    path = root / PARTS / _LOCK
    with suppress(OSError):
        with suppress(FileNotFoundError), os.fdopen(open_lock(path, make=0), "r+b", buffering=0) as file:
            _let_go(file.fileno(), path, new=False)
        path.parent.rmdir()


def _let_go(file: int, path: Path, new: bool) -> None:
    """Remove the lock if no one else has it, and its folders if they are empty; `root` if it is `new`."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another holds it, or waits for it and has just been given it
        return
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()
        if new:
            path.parent.parent.rmdir()


@contextmanager
def scratch(root: Path, name: str | None = None) -> Iterator[Path]:
    """A folder beside the parts for what is not finished; removed at the end, with all that is in it.

    Args:
        root: The corpus' folder, `held`.
        name: Its name, for one who is to find it again; None for any.
    """
    folder = root / PARTS / f"{_SCRATCH}{name or secrets.token_hex(8)}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        remove_tree(folder)


def part_of(parts: Path, video_id: str) -> Path:
    """The file of a video's part; its name is plain whatever the id is."""
    return parts / f"{hashlib.sha256(video_id.encode()).hexdigest()[:24]}.h5"


def check_root(root: Path) -> None:
    """Refuse a folder that nothing may be extracted into.

    Raises:
        InputError: It is something else than a corpus made by extraction, or an empty or new folder.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: not a folder; expected a corpus or a new name")
    ours = any((root / name).exists() for name in (MANIFEST, PARTS, SOURCES))
    if root.exists() and not ours and any(not path.name.startswith(".") for path in root.iterdir()):
        raise InputError(f"{root}: not empty and not a corpus; expected a corpus made by 'extract' or a new name")
    if (root / MANIFEST).exists() and not read_manifest(root).get("extracted"):
        raise InputError(f"{root}: a corpus that was not made by 'extract'; expected another folder for --out")


class Known(NamedTuple):
    """What a corpus says of a video: its tags, its duration in seconds, and the file it came from."""

    tags: tuple[str, ...]
    duration: float
    source: SourceFile | None = None


def known_videos(root: Path, streams: dict[str, Stream]) -> dict[str, Known]:
    """The videos already in the corpus or its parts, which are `held`, by id.

    Raises:
        InputError: It is damaged, or has features of other extractors.
    """
    shards = _shards(root)
    if (root / MANIFEST).exists():
        Corpus(root)
    sources = _sources(root)
    known: dict[str, Known] = {}
    for path in shards:
        shard = Shard(path)
        if shard.streams != streams:
            raise InputError(f"{path}: features of {_names(shard.streams)}; asked for {_names(streams)}")
        for name, tags, duration in zip(_ids(shard), _tags(shard), shard.column("duration"), strict=True):
            known[name] = Known(tags, float(duration), sources.get(name))
        shard.close()
    return known


def _sources(root: Path) -> dict[str, SourceFile]:
    sources = read_sources(root / SOURCES)
    for path in (root / PARTS).glob("[!.]*.json"):
        sources.update(read_sources(path))
    return sources


def _ids(shard: Shard) -> list[str]:
    return [name.decode() for name in shard.column("id")]


def _tags(shard: Shard) -> list[tuple[str, ...]]:
    """The tags of each video."""
    names = [name.decode() for name in shard.column("tag_name")]
    index, offsets = shard.column("tag_index"), shard.column("tag_offsets")
    return [tuple(names[tag] for tag in index[start:stop]) for start, stop in pairwise(offsets)]


def _names(streams: dict[str, Stream]) -> str:
    return ", ".join(f"{name} {stream.extractor} {stream.version}" for name, stream in streams.items())


def _packed(root: Path) -> list[Path]:
    """Whole shards; unfinished files have names that start with a dot."""
    return sorted(root.glob("[!.]*.h5"))


def _shards(root: Path) -> list[Path]:
    return [*_packed(root), *sorted((root / PARTS).glob("[!.]*.h5"))]


def pack(root: Path, streams: dict[str, Stream], now: Mapping[str, Sidecar]) -> set[str]:
    """Put the parts, `held` alone, into shards of the corpus, bring what is known of videos up to date, write the manifest.

    Cut off anywhere, a later run goes on. Without a single video nothing is written.

    Args:
        root: The corpus' folder.
        streams: Its streams.
        now: What is known of videos now, by id; what differs in the corpus is replaced.

    Returns:
        Ids of the videos that were brought up to date.
    """
    with locked(root / LOCK, f"{root}: packing"):  # or the manifest that labels are being written to would go
        for left in [*root.glob(".shard-*.tmp"), *root.glob(".*.json.*.tmp"), *(root / PARTS).glob(".*.tmp")]:
            left.unlink(missing_ok=True)
    for left in (root / PARTS).glob(f"{_SCRATCH}*"):
        remove_tree(left)
    shards = _packed(root)
    packed = {name for path in shards for name in _ids(Shard(path))}
    parts = sorted((root / PARTS).glob("[!.]*.h5"))
    fresh = [path for path in parts if not packed & set(_ids(Shard(path)))]
    changed = {path: _changed(path, now) for path in [*shards, *fresh]}
    stale = [path for path in shards if changed[path]]
    for number, group in enumerate(_groups(fresh), start=len(shards)):
        _write_shard(root / f"shard-{number:05d}.h5", group, streams, now)
    if fresh or stale or (shards and not (root / MANIFEST).exists()):
        with scratch(root) as folder:
            for path in stale:
                _write_shard(folder / path.name, [path], streams, now)
            with locked(root / LOCK, f"{root}: packing"):
                if (
                    stale and (root / MANIFEST).exists()
                ):  # from here until it is written anew, it is not that of the shards
                    os.replace(root / MANIFEST, root / _BEFORE)
                for path in stale:
                    os.replace(folder / path.name, path)
                write_sources(root / SOURCES, _sources(root))
                write_manifest(root, root.name, **_judged(root), extracted=True)
    for path in [*parts, *(root / PARTS).glob("[!.]*.json"), root / _BEFORE]:
        path.unlink(missing_ok=True)
    return set().union(*changed.values())


def _judged(root: Path) -> dict[str, Any]:
    """What the manifest, or the one before it, says of own labels."""
    path = next((path for path in (root / MANIFEST, root / _BEFORE) if path.exists()), None)
    manifest = read_manifest(root, path.relative_to(root)) if path is not None else {}
    return {key: manifest[key] for key in ("benchmark", "clock", "labels") if manifest.get(key) is not None}


def _changed(path: Path, now: Mapping[str, Sidecar]) -> set[str]:
    """Ids of the videos of a shard of which something else is known now."""
    shard = Shard(path)
    changed = set()
    for row, (name, tags, split) in enumerate(zip(_ids(shard), _tags(shard), shard.column("split"), strict=True)):
        if (known := now.get(name)) is not None:
            same = (known.tags, known.split) == (tags, SPLITS[split])
            if not same or known.title != shard.title(row):
                changed.add(name)
    shard.close()
    return changed


def _write_shard(path: Path, sources: list[Path], streams: dict[str, Stream], now: Mapping[str, Sidecar]) -> None:
    """Write the videos of some shards into one, with what is known of them now."""
    with ShardWriter(path, streams, CLIP_SECONDS) as writer:
        for source in sources:
            shard = Shard(source)
            for video in shard:
                if (known := now.get(video.id)) is not None:
                    video = replace(video, tags=known.tags, title=known.title, split=known.split)
                writer.add(video)
            shard.close()


def _groups(parts: list[Path]) -> Iterator[list[Path]]:
    """Parts that fit into a shard together."""
    group: list[Path] = []
    size = 0
    for path in parts:
        group.append(path)
        size += path.stat().st_size
        if size >= SHARD_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
