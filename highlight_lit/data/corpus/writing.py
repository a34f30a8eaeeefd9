"""Writing a corpus, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from highlight_lit.data.corpus.corpus import Corpus
from highlight_lit.data.corpus.manifest import write_manifest
from highlight_lit.data.shards import SHARD_BYTES, write_shards
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.files import remove_tree


def write_corpus(
    root: Path,
    videos: Iterable[Video],
    streams: Mapping[str, Stream],
    *,
    name: str,
    clip_seconds: float,
    topics: Sequence[str] | None = None,
    shard_bytes: int = SHARD_BYTES,
    **facts: Any,
) -> None:
    """Write a whole corpus: all of it appears under `root`, or nothing does.

    Args:
        root: A folder that does not exist yet (or is empty).
        videos: In the order they are to have; read one at a time.
        streams: The streams every video has.
        name: Of the corpus, in tables.
        clip_seconds: Nominal length of a clip.
        topics: Tags that are topics; None: every tag.
        shard_bytes: A shard is closed when its features reach this size.
        facts: Further ones for the manifest, such as `benchmark` or `source`.

    Raises:
        InputError: `root` is not empty or cannot be written, or a video does not fit.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root}: exists already; expected a new or empty folder")
    partial = root.with_name(f".{root.name}.partial")
    try:
        remove_tree(partial)
        partial.mkdir(parents=True)
        write_shards(partial, videos, streams, clip_seconds, shard_bytes)
        write_manifest(partial, name, topics, **facts)
        Corpus(partial)
        partial.replace(root)
    except OSError as error:
        raise InputError(f"{root}: cannot be written ({error.strerror or error})") from error
    finally:
        remove_tree(partial)
