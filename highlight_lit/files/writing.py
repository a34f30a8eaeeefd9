"""Files are written whole or not at all, and what was left is removed; no link is followed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from highlight_lit.errors import InputError
from highlight_lit.files.names import MAX_NAME_BYTES, cut_name
from highlight_lit.files.reading import kind_of


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, where an empty file is; on success sync it and rename it to `path`.

    On failure it is removed, and so are the folders that were made for it. Its name cannot be guessed and it is created
    exclusively, so a link that was laid there is never followed.

    Args:
        path: The final name. Its folder is created if missing.

    Raises:
        InputError: The folder cannot be written, or `path` is a folder, a pipe or a device.
    """
    for_a_file(path)
    ending = f".{secrets.token_hex(8)}.tmp"
    temporary = path.with_name("." + cut_name(path.name, MAX_NAME_BYTES - 1 - len(ending)) + ending)
    new = [folder for folder in path.parents if not os.path.lexists(folder)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise  # not about this file: an HDF5 reader's fault, say
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):  # its folder may be none
            temporary.unlink(missing_ok=True)
            for folder in new:  # those with anything in them stay
                folder.rmdir()


def for_a_file(path: Path) -> None:
    """Refuse a name that a file cannot be written to: before the first of several is.

    Raises:
        InputError: It is that of a folder, a pipe or a device, or of an open file as `/dev/stdout` is, or lies in what is no folder.
    """
    if path.is_symlink() and os.readlink(path).startswith("/proc/"):  # a rename would take the system's link away
        raise InputError(f"{path}: a name of an open file; expected a name for a file")
    fits, expected = stat.S_ISREG, "a name for a file"
    for place in (path, *path.absolute().parents):
        with suppress(OSError):
            mode = os.stat(place).st_mode
            if fits(mode):
                return
            raise InputError(f"{place}: {kind_of(mode)}; expected {expected}")
        fits, expected = stat.S_ISDIR, "a folder"


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically; bytes of a name that are no UTF-8 become escapes."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value to `path` atomically; NaN and infinity are refused, since JSON has neither.

    A name that is no UTF-8 is read back as it was: JSON writes half of a surrogate pair in the same escapes.
    """
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """What `write_json` writes."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def not_an_input(out: Path, *inputs: Path | None) -> None:
    """Refuse to write over what is read: by the same name, a link, a hard link or another spelling.

    A folder that is yet to be made counts as made: `new/../FILE` is FILE.

    Args:
        out: The file that is to be written.
        inputs: What the command reads; None for what was not given.

    Raises:
        InputError: `out` is one of them.
    """
    for path in inputs:
        try:
            meant = out.resolve()
            same = path is not None and (meant == path.resolve() or meant.samefile(path))
        except (OSError, RuntimeError):  # one of them is not there, or a link that leads to itself
            same = False
        if same:
            raise InputError(f"{out}: is {path}, which this command reads; expected another name to write to")


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as that can be; a link, a pipe or a file of its name is left.

    `shutil.rmtree` opens what it is given: a pipe would be waited for.
    """
    with suppress(OSError):
        if stat.S_ISDIR(folder.lstat().st_mode):
            shutil.rmtree(folder, ignore_errors=True)


def remove_other(path: Path) -> None:
    """Remove a link, a pipe or a device where a library is to write a file: it would follow it, or wait for it."""
    with suppress(OSError):
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            path.unlink()
