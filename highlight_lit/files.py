"""One way to open a file that is there, and one to write a file that is whole or not there.

Reading takes regular files alone, never waits for a pipe or a device, and never takes more memory than a stated bound.
Writing goes to a temporary name that nobody can guess, is synced, and renamed.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from highlight_lit.errors import InputError

MAX_TEXT_BYTES = 64 << 20  # of a file that is read whole: a character takes up to 4 in memory
MAX_JSON_BYTES = 32 << 20  # its texts are in memory twice
MAX_JSON_VALUES = 2 << 20  # an empty list takes two bytes of a file and 80 in memory
MAX_PACKED = 100  # times that an array or tensors can be larger than what the disk or an archive holds of them
MIN_PACKED_BYTES = 32 << 20  # which any may have
MAX_NAME_BYTES = 255  # of a file's name, on every file system in use
# A name that a manifest may give: one plain file of its own folder, never a path out of it.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def open_regular(path: Path, what: str) -> BinaryIO:
    """Open a regular file for reading; anything else is refused at once and never waited for.

    Args:
        path: The file; links are followed.
        what: What it should be, for the error ("a corpus manifest").

    Raises:
        InputError: It is missing, cannot be opened, or is a folder, a pipe or a device.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected {what}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be opened ({reason}); expected {what}") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise InputError(f"{path}: {_KINDS.get(stat.S_IFMT(mode), 'no regular file')}; expected {what}")
    return os.fdopen(descriptor, "rb")


def same_file(file: BinaryIO) -> str:
    """A name under which a library opens the very file that is open here, whatever lies at its path by then."""
    return f"/dev/fd/{file.fileno()}"


def read_text(path: Path, what: str, most: int = MAX_TEXT_BYTES) -> str:
    """Read a text file whole: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Args:
        path: The file.
        what: What it should be, for the error.
        most: Bytes that are read at most.

    Raises:
        InputError: As `open_regular`; or it is over `most`, or not text.
    """
    with open_regular(path, what) as file:
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(data) > most:
        raise InputError(f"{path}: over {most >> 20} MiB, the most that is read of {what}")
    try:
        return data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); expected {what}") from error


def encoding_of(beginning: bytes) -> str:
    return "utf-16" if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, where an empty file is; on success sync it and rename it to `path`.

    On failure it is removed. Its name cannot be guessed and it is created exclusively, so a link that was laid there
    is never followed.

    Args:
        path: The final name. Its folder is created if missing.

    Raises:
        InputError: The folder cannot be written, or `path` is a folder, a pipe or a device.
    """
    with suppress(OSError):
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"{path}: {_KINDS.get(stat.S_IFMT(mode), 'no regular file')}; expected a name for a file")
    ending = f".{secrets.token_hex(8)}.tmp"
    temporary = path.with_name("." + cut_name(path.name, MAX_NAME_BYTES - 1 - len(ending)) + ending)
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
            temporary.unlink()


def cut_name(name: str, most: int = MAX_NAME_BYTES) -> str:
    """The start of a file's name in at most so many bytes of UTF-8, no character cut in two.

    >>> cut_name("Übung.mp4", 3)
    'Üb'
    """
    return os.fsencode(name)[:most].decode("utf-8", "ignore")


def stored_bytes(file: BinaryIO) -> int:
    """Bytes of an open file that are no hole: what a sender has sent. All of them where the file system does not tell.

    Not the blocks on the disk: some file systems count those of a new file late, and pack what they store.
    """
    size, stored, at = os.fstat(file.fileno()).st_size, 0, 0
    place = os.lseek(file.fileno(), 0, os.SEEK_CUR)
    try:
        while at < size:
            at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            stored, at = stored + end - at, end
    except OSError as error:
        return stored if error.errno == errno.ENXIO else size  # ENXIO: nothing but a hole follows
    finally:
        os.lseek(file.fileno(), place, os.SEEK_SET)  # where whoever reads the file takes it to be
    return stored


def check_packed(size: int, held: int, where: str) -> None:
    """Refuse what is large and next to nothing of it stored: a hole in a file, or zeros in an archive.

    Args:
        size: Bytes of it.
        held: Bytes that are stored of it.
        where: The file, for the error.

    Raises:
        InputError: It is large, and over `MAX_PACKED` times what is stored.
    """
    if size > max(MIN_PACKED_BYTES, MAX_PACKED * held):
        raise InputError(
            f"{where}: {size >> 20} MiB of {held >> 10} KiB that are stored; expected at most {MAX_PACKED} times as much as is stored"
        )


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


def output_name(stem: str, ending: str) -> str:
    """`STEM.ENDING`; a stem that leaves the ending no room is cut, and what was cut is told apart by eight hex digits.

    >>> output_name("walk", "scores.json")
    'walk.scores.json'
    """
    whole = f"{stem}.{ending}"
    if len(os.fsencode(whole)) <= MAX_NAME_BYTES:
        return whole
    ending = f"~{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}.{ending}"
    return cut_name(stem, MAX_NAME_BYTES - len(os.fsencode(ending))) + ending


def not_an_input(out: Path, *inputs: Path | None) -> None:
    """Refuse to write over what is read: by the same name, a link, a hard link or another spelling.

    Args:
        out: The file that is to be written.
        inputs: What the command reads; None for what was not given.

    Raises:
        InputError: `out` is one of them.
    """
    for path in inputs:
        try:
            same = path is not None and (out.samefile(path) or out.absolute() == path.absolute())
        except OSError:  # one of them is not there
            same = False
        if same:
            raise InputError(f"{out}: is {path}, which this command reads; expected another name to write to")


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value to `path` atomically; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str, most: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        what: What it should be, for the error ("a corpus manifest").
        most: Bytes that are read at most.

    Raises:
        InputError: As `read_text`; or it is not JSON, or holds a number of thousands of digits, over `MAX_JSON_VALUES`, or
            a key twice in one object: which of its values is meant cannot be told.
    """
    text = read_text(path, what, most)
    if sum(map(text.count, "[{,:")) > MAX_JSON_VALUES:
        raise InputError(f"{path}: over {MAX_JSON_VALUES} values, the most that are read of {what}")
    try:
        return json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as {what} ({error})") from error


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for `json.loads`; ValueError where a key is there twice."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice!r} twice in one object")
    return mapping


def plain_name(name: object, where: str) -> str:
    """Return `name` if it is one plain file name, which cannot leave the folder it is looked up in.

    Raises:
        InputError: It is not.
    """
    if isinstance(name, str) and _PLAIN_NAME.fullmatch(name):
        return name
    raise InputError(f"{where}: {name!r} is not a plain file name (letters, digits, '_', '-', '.')")


def sha256(path: Path) -> str:
    """The file's SHA-256 as hexadecimal digits."""
    with open_regular(path, "a file") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a BufferedReader
