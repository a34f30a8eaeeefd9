"""Files are opened in one way: regular ones alone, never waited for, and read whole up to a bound."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from highlight_lit.errors import InputError

MAX_TEXT_BYTES = 64 << 20  # of a file that is read whole: a character takes up to 4 in memory
MAX_JSON_BYTES = 32 << 20  # its texts are in memory twice
MAX_JSON_VALUES = 2 << 20  # an empty list takes two bytes of a file and 80 in memory
_KINDS = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFREG: "a file",
}  # fmt: skip


def kind_of(mode: int) -> str:
    """What a path leads to, by its mode, as an error says it."""
    return _KINDS.get(stat.S_IFMT(mode), "no regular file")


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
        raise InputError(f"{path}: {kind_of(mode)}; expected {what}")
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


def is_of_format(value: object, name: str, version: int) -> TypeGuard[dict[str, Any]]:
    """Whether what was read from JSON is an object of a format and version; `true` and `1.0`, equal to 1 in Python, are none."""
    return (
        isinstance(value, dict)
        and value.get("format") == name
        and type(value.get("version")) is int
        and value["version"] == version
    )


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for `json.loads`; ValueError where a key is there twice."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice!r} twice in one object")
    return mapping


def sha256(path: Path) -> str:
    """The file's SHA-256 as hexadecimal digits."""
    with open_regular(path, "a file") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a BufferedReader
