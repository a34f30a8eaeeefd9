"""Which file each video of an extracted corpus came from, so that another file of the same name is noticed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from highlight_lit.errors import InputError
from highlight_lit.files import read_json, write_json
from highlight_lit.unicode_forms import same_form

SOURCES = "sources.json"  # in the corpus' folder; one of the name of each part lies beside it


class SourceFile(NamedTuple):
    """A file as it is told from others: its name and its size."""

    name: str
    size: int

    def __str__(self) -> str:
        return f"{self.name}, {self.size} bytes"


def source_of(video: Path) -> SourceFile:
    """A video's file.

    Raises:
        InputError: It is not there any more.
    """
    try:
        return SourceFile(same_form(video.name).encode("utf-8", "replace").decode(), video.stat().st_size)
    except OSError as error:
        raise InputError(f"{video}: cannot be read ({error.strerror}); expected a video") from error


def write_sources(path: Path, sources: Mapping[str, SourceFile]) -> None:
    """Write the files of some videos, by id."""
    write_json(path, dict(sources))


def read_sources(path: Path) -> dict[str, SourceFile]:
    """The files of some videos, by id; empty where nothing is written of them.

    Raises:
        InputError: Something else is written there.
    """
    if not path.exists():
        return {}
    written = read_json(path, "the files of a corpus' videos")
    try:
        sources = {name: SourceFile(*source) for name, source in written.items()}
        if all(isinstance(name, str) and type(size) is int for name, size in sources.values()):
            return sources
    except (AttributeError, TypeError):
        pass
    raise InputError(f"{path}: expected a name and a size for each id; without it, files are not told apart")
