"""A corpus' manifest: its name, its topics, and the size and digest of each of its shards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from highlight_lit.data.shards import Shard
from highlight_lit.errors import InputError
from highlight_lit.files import MAX_NAME_BYTES, plain_name, read_json, write_json
from highlight_lit.untrusted.plain_values import MAX_TEXT

MANIFEST = "manifest.json"
FORMAT = "highlight-lit corpus"
_TEXT = f"a text of at most {MAX_TEXT} characters"
VERSION = 2  # version 1 had the SHA-256 of each shard's file in place of its digest


def read_manifest(root: Path, name: Path | str = MANIFEST) -> dict[str, Any]:
    """Read and check a corpus' manifest, or the one of another name in its folder.

    Raises:
        InputError: It is missing or not one of this format.
    """
    path = root / name
    manifest = read_json(path, "the manifest of a corpus (made by 'highlight-lit import', 'extract' or 'synthesize')")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"{path}: expected {FORMAT!r} version {VERSION}")
    if type(manifest.get("version")) is not int or not 1 <= manifest["version"] <= VERSION:
        raise InputError(f"{path}: version: expected 1 or {VERSION}")
    if not _is_text(manifest.get("name")):
        raise InputError(f"{path}: name: expected {_TEXT}")
    topics = manifest.get("topics")
    if not isinstance(topics, list) or not all(map(_is_text, topics)) or len(set(topics)) < len(topics):
        raise InputError(f"{path}: topics: expected a list of names, none twice, each {_TEXT}")
    for key in ("benchmark", "clock", "source"):
        if manifest.get(key) is not None and not _is_text(manifest[key]):
            raise InputError(f"{path}: {key}: expected {_TEXT}")
    shards = manifest.get("shards")
    if not isinstance(shards, list) or not shards:
        raise InputError(f"{path}: shards: expected a list of objects with file, bytes and digest, at least one")
    for number, entry in enumerate(shards):
        _check_entry(f"{path}: shards[{number}]", entry)
    if len({entry["file"] for entry in shards}) < len(shards):
        raise InputError(f"{path}: shards: a file is listed twice")
    if (labels := manifest.get("labels")) is not None:  # in place of those in the shards: `data.corpus.labels_file`
        _check_entry(f"{path}: labels", labels)
    return manifest


def _is_text(value: object) -> bool:
    """Whether it is a text, of bounded length, that UTF-8 can hold: JSON may have half of a surrogate pair."""
    return isinstance(value, str) and len(value) <= MAX_TEXT and value.encode("utf-8", "ignore").decode() == value


def _check_entry(where: str, entry: object) -> None:
    if not isinstance(entry, dict) or not {"file", "bytes"} <= entry.keys():
        raise InputError(f"{where}: expected an object with file, bytes and digest")
    if len(plain_name(entry["file"], f"{where}.file")) > MAX_NAME_BYTES:
        raise InputError(f"{where}.file: over {MAX_NAME_BYTES} characters")
    for key in ("bytes", "videos", "clips"):
        if type(entry.get(key, 0)) is not int or entry.get(key, 0) < 0:
            raise InputError(f"{where}.{key}: expected a whole number of at least 0")
    if not isinstance(entry.get("digest", ""), str):
        raise InputError(f"{where}.digest: expected hexadecimal digits")


def whole_shards(folder: Path) -> list[Path]:
    """The shards in a folder, sorted by name; the names of unfinished files start with a dot."""
    return sorted(folder.glob("[!.]*.h5"))


def write_manifest(root: Path, name: str, topics: Iterable[str] | None = None, **facts: Any) -> None:
    """Index the shards in a folder, in the order of their names: counts, bytes and digest of each.

    Args:
        root: The folder.
        name: The corpus' name in tables, perhaps a folder's: what UTF-8 cannot hold of it becomes `?`.
        topics: Tags that are topics; None: every tag.
        facts: Further facts to keep, such as `benchmark` or `source`.
    """
    tags: set[str] = set()
    entries = []
    for path in whole_shards(root):
        shard = Shard(path)
        tags.update(tag.decode() for tag in shard.column("tag_name"))
        counts = {"videos": shard.videos, "clips": int(shard.offsets[-1]), "bytes": path.stat().st_size}
        entries.append({"file": path.name, **counts, "digest": shard.digest()})
        shard.close()
    name = name.encode("utf-8", "replace").decode()
    header = {"format": FORMAT, "version": VERSION, "name": name, **facts}
    write_json(root / MANIFEST, {**header, "topics": sorted(tags if topics is None else topics), "shards": entries})
