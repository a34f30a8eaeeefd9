"""Writing a corpus, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from highlight_lit.data.corpus.corpus import Corpus
from highlight_lit.data.corpus.manifest import write_manifest
from highlight_lit.data.shards import SHARD_BYTES, write_shards
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.files import remove_tree
from highlight_lit.processes.locks import is_at


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
        with _held(partial, root):
            write_shards(partial, videos, streams, clip_seconds, shard_bytes)
            write_manifest(partial, name, topics, **facts)
            Corpus(partial)
            partial.replace(root)
    except OSError as error:
        raise InputError(f"{root}: cannot be written ({error.strerror or error})") from error


@contextmanager
def _held(partial: Path, root: Path) -> Iterator[None]:
    """Make the folder in which a corpus is written, and hold it; what a process that was killed left there is removed.

    Raises:
        InputError: Another process holds it.
    """
    while True:
        partial.mkdir(parents=True, exist_ok=True)
        folder = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _hold(folder, root)
            if not is_at(folder, partial):
                continue  # whoever held it has just ended
            try:
                if any(partial.iterdir()):
                    shutil.rmtree(partial)
                    continue
                yield
                return
            finally:
                if is_at(folder, partial):  # once it is the corpus, another process may have made its own
                    remove_tree(partial)
        finally:
            os.close(folder)


def _hold(folder: int, root: Path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{root}: another process is writing it; expected one at a time") from None
    except OSError:
        pass  # a file system without locks
