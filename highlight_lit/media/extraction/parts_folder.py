"""The folder `parts` of a corpus that is being extracted, in which each video that is done has a shard of its own.

Any number of processes may extract into one corpus, on machines that share a disk; packing is done by one alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from highlight_lit.data.corpus.manifest import MANIFEST, read_manifest
from highlight_lit.errors import InputError
from highlight_lit.files import remove_tree
from highlight_lit.media.extraction.sources import SOURCES
from highlight_lit.processes.locks import is_at, open_lock
from highlight_lit.text import say

PARTS = "parts"
SCRATCH = ".run-"  # begins the name of a folder of unfinished parts
_LOCK = ".lock"


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
            with suppress(OSError):
                path.parent.rmdir()
                if new:
                    root.rmdir()
            raise InputError(f"{root}: cannot be written ({error.strerror})") from error
        with file:
            _lock(file.fileno(), fcntl.LOCK_EX if alone else fcntl.LOCK_SH, root)
            # Else whoever had it before removed it, and what is locked is no longer the lock.
            if is_at(file.fileno(), path):
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
        name: The end of the folder's name, for a process that has to find it again; None for any.
    """
    folder = root / PARTS / f"{SCRATCH}{name or secrets.token_hex(8)}"
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
