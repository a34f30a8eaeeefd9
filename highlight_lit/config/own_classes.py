"""Classes of the user's own, from a package on Python's path or in the working folder."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def make_findable(name: str) -> None:
    """Let Python find a package of the working folder that the user has named, after all others.

    Nothing else of that folder is ever imported: a name that is installed wins, and the folder is not on the path
    before it is asked for.

    Args:
        name: Of a package, a module or a class.
    """
    top = name.partition(".")[0]
    here = Path.cwd()
    if not top.isidentifier() or not ((here / top).is_dir() or (here / f"{top}.py").is_file()):
        return
    if importlib.util.find_spec(top) is None and os.fspath(here) not in sys.path:
        sys.path.append(os.fspath(here))
        importlib.invalidate_caches()


def class_names(part: Any) -> Iterator[str]:
    """Every `_target_` of a node and of the nodes in it."""
    if isinstance(part, Mapping):
        if isinstance(part.get("_target_"), str):
            yield part["_target_"]
        for value in part.values():
            yield from class_names(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from class_names(value)
