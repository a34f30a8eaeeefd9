"""Check all of a corpus, byte by byte and row by row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from highlight_lit.data.corpus import MANIFEST, Corpus, read_manifest
from highlight_lit.data.probe import probe
from highlight_lit.data.shard import Shard
from highlight_lit.errors import InputError
from highlight_lit.files import plain_name, sha256


def faults(root: Path) -> Iterator[str]:
    """Yield a line for each fault: the file, the video and its row, the field, what was expected.

    Checks that the manifest is well formed, each shard's size and SHA-256, every row of every video (checksums, NaN and
    infinite values, spans, lengths), labels, and that no id occurs twice.
    """
    root = Path(root)
    try:
        manifest = read_manifest(root)
    except InputError as error:
        yield str(error)
        return
    sound = True
    for entry in manifest["shards"]:
        for fault in _shard_faults(root, entry):
            sound = False
            yield fault
    if sound:
        try:
            Corpus(root)
        except InputError as error:
            yield str(error)


def _shard_faults(root: Path, entry: dict[str, object]) -> Iterator[str]:
    try:
        path = root / plain_name(entry["file"], f"{root / MANIFEST}: shards.file")
        if path.is_file() and sha256(path) != entry["sha256"]:
            yield f"{path}: its SHA-256 is not the manifest's: truncated, damaged or replaced"
        probe([path])
        shard = Shard(path)
        ids = shard.column("id")
    except (InputError, OSError) as error:
        yield str(error)
        return
    for row in range(shard.videos):
        try:
            video = shard.video(row)
            fault = video.fault(shard.streams)
        except (InputError, ValueError, IndexError) as error:
            fault = str(error).removeprefix(f"{path}: ")
        if fault is not None:
            yield f"{path}: video {ids[row].decode(errors='replace')!r} (row {row}): {fault}"
