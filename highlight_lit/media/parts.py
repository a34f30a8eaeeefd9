"""The shards of a corpus that is being extracted: a part for each video that is done, packed together at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from highlight_lit.data.corpus import MANIFEST, SHARD_BYTES, Corpus, read_manifest, write_manifest
from highlight_lit.data.shard import Shard
from highlight_lit.data.shard_writer import ShardWriter
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError

CLIP_SECONDS = 1.0
PARTS = "parts"


def part_of(parts: Path, video_id: str) -> Path:
    """The file of a video's part; its name is plain whatever the id is."""
    return parts / f"{hashlib.sha256(video_id.encode()).hexdigest()[:24]}.h5"


def known_ids(root: Path, streams: dict[str, Stream]) -> set[str]:
    """Ids already in the corpus or its parts.

    Raises:
        InputError: `root` is something else, or has features of other extractors.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: not a folder; expected a corpus or a new name")
    if root.exists() and not (root / MANIFEST).exists() and not (root / PARTS).exists() and any(root.iterdir()):
        raise InputError(f"{root}: not empty and not a corpus; expected a corpus made by 'extract' or a new name")
    if (root / MANIFEST).exists():
        if not read_manifest(root).get("extracted"):
            raise InputError(f"{root}: a corpus that was not made by 'extract'; expected another folder for --out")
        Corpus(root)
    known: set[str] = set()
    for path in _shards(root):
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
    """Put the parts into shards of the corpus and write its manifest; cut off anywhere, a later run goes on.

    Raises:
        InputError: There is not one video.
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
    if number and not any((root / PARTS).iterdir()):
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
