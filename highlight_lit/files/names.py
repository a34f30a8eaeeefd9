"""Names of files: those that fit, and those that lead nowhere else."""

from __future__ import annotations

import hashlib
import os
import re

from highlight_lit.errors import InputError

MAX_NAME_BYTES = 255  # of a file's name, on every file system in use
# A name that a manifest may give: one plain file of its own folder, never a path out of it.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def cut_name(name: str, most: int = MAX_NAME_BYTES) -> str:
    """The start of a file's name in at most so many bytes of UTF-8, no character cut in two.

    >>> cut_name("Übung.mp4", 3)
    'Üb'
    """
    return os.fsencode(name)[:most].decode("utf-8", "ignore")


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


def plain_name(name: object, where: str) -> str:
    """Return `name` if it is one plain file name, which cannot leave the folder it is looked up in.

    Raises:
        InputError: It is not.
    """
    if isinstance(name, str) and _PLAIN_NAME.fullmatch(name):
        return name
    raise InputError(f"{where}: {name!r} is not a plain file name (letters, digits, '_', '-', '.')")
