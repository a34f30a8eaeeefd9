"""The shards of a corpus that is being extracted: a part for each video that is done, packed together at the end.

Any number of processes may extract into one corpus, on machines that share a disk; packing is done by one alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from highlight_lit.data.corpus import SHARD_BYTES, Corpus
from highlight_lit.data.manifest import MANIFEST, read_manifest, write_manifest
from highlight_lit.data.shards import Shard, ShardWriter
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError

CLIP_SECONDS = 1.0
PARTS = "parts"
_LOCK = ".lock"


@contextmanager
def held(root: Path, alone: bool = False) -> Iterator[None]:
    """Hold the parts of a corpus: together with others that extract into it or, to pack them, alone.

    Nothing is taken away from under a process that holds them. The hold ends with the process, however that ends.

    Raises:
        InputError: `root` cannot be written.
    """
    path = root / PARTS / _LOCK
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+")  # noqa: SIM115  held open: closing it lets go
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
                yield
                return


def _lock(file: int, kind: int, root: Path) -> None:
    """Lock an open file, and say so if that takes waiting."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{root}: waits for others that extract into it", file=sys.stderr, flush=True)
        fcntl.flock(file, kind)


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
    ours = (root / MANIFEST).exists() or (root / PARTS).exists()
    if root.exists() and not ours and any(not path.name.startswith(".") for path in root.iterdir()):
        raise InputError(f"{root}: not empty and not a corpus; expected a corpus made by 'extract' or a new name")
    if (root / MANIFEST).exists() and not read_manifest(root).get("extracted"):
        raise InputError(f"{root}: a corpus that was not made by 'extract'; expected another folder for --out")


def known_ids(root: Path, streams: dict[str, Stream]) -> set[str]:
    """Ids already in the corpus or its parts, which are `held`.

    Raises:
        InputError: It is damaged, or has features of other extractors.
    """
    shards = _shards(root)
    if (root / MANIFEST).exists():
        Corpus(root)
    known: set[str] = set()
    for path in shards:
        shard = Shard(path)
        if shard.streams != streams:
            raise InputError(f"{path}: features of {_names(shard.streams)}; asked for {_names(streams)}")
        known.update(name.decode() for name in shard.column("id"))
        shard.close()
    return known


def _names(streams: dict[str, Stream]) -> str:
    return ", ".join(f"{name} {stream.extractor} {stream.version}" for name, stream in streams.items())


def _shards(root: Path) -> list[Path]:
    """Whole shards and parts; unfinished files have names that start with a dot."""
    return [*sorted(root.glob("[!.]*.h5")), *sorted((root / PARTS).glob("[!.]*.h5"))]


def pack(root: Path, streams: dict[str, Stream]) -> None:
    """Put the parts, `held` alone, into shards of the corpus and write its manifest.

    Cut off anywhere, a later run goes on. Without a single video nothing is written.
    """
    packed = {name for path in sorted(root.glob("[!.]*.h5")) for name in Shard(path).column("id")}
    parts = [path for path in _shards(root) if path.parent != root]
    fresh = [path for path in parts if not packed & set(Shard(path).column("id"))]
    number = len(list(root.glob("[!.]*.h5")))
    for group in _groups(fresh):
        with ShardWriter(root / f"shard-{number:05d}.h5", streams, CLIP_SECONDS) as writer:
            for path in group:
                shard = Shard(path)
                writer.add(shard.video(0))
                shard.close()
        number += 1
    if number:
        write_manifest(root, root.name, extracted=True)
    for path in [*parts, *(root / PARTS).glob(".*.tmp")]:
        path.unlink(missing_ok=True)
    (root / PARTS / _LOCK).unlink(missing_ok=True)
    with suppress(OSError):  # another has come to extract
        (root / PARTS).rmdir()


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
