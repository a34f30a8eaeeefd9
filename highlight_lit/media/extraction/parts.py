"""The shards of a corpus that is being extracted: what they know of its videos, and how parts are packed into them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.labels_file import LOCK
from highlight_lit.data.corpus.manifest import MANIFEST, read_manifest, whole_shards, write_manifest
from highlight_lit.data.shards import SHARD_BYTES, Shard, ShardWriter
from highlight_lit.data.video import SPLITS, Stream
from highlight_lit.errors import InputError
from highlight_lit.files import remove_tree
from highlight_lit.media.extraction.parts_folder import PARTS, SCRATCH, scratch
from highlight_lit.media.extraction.sidecar import Sidecar
from highlight_lit.media.extraction.sources import SOURCES, SourceFile, read_sources, write_sources
from highlight_lit.processes.locks import locked

CLIP_SECONDS = 1.0
_BEFORE = Path(PARTS, ".manifest.json")  # of the corpus, while its shards are replaced


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
    shards = [*whole_shards(root), *whole_shards(root / PARTS)]
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
    for left in (root / PARTS).glob(f"{SCRATCH}*"):
        remove_tree(left)
    shards = whole_shards(root)
    packed = {name for path in shards for name in _ids(Shard(path))}
    parts = whole_shards(root / PARTS)
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
                # From here until it is written anew, it is not that of the shards.
                if stale and (root / MANIFEST).exists():
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
