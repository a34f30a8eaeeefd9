"""The name of a run for people: its topic, modality and seed, and its other overrides; in a sweep, those that differ."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_SHARED = "HIGHLIGHT_LIT_SHARED"  # words that all cells of a sweep share, for the processes that run them
# Overrides that say where a run is and how it is shown, and those that a name has anyway.
_LEFT_OUT = ("data.root", "out", "topic", "modality", "seed", "study", "logger", "compile", "optimized_metric")
_LEFT_OUT_GROUPS = ("hydra", "logger.", "checkpoint.", "trainer.accelerator", "trainer.enable_progress_bar")
_words: ContextVar[tuple[str, ...]] = ContextVar("words", default=())


@contextmanager
def known_overrides(words: Sequence[str]) -> Iterator[None]:
    """Let `cell_name` know a run's overrides."""
    token = _words.set(tuple(words))
    try:
        yield
    finally:
        _words.reset(token)


def share_words(words: Sequence[str]) -> None:
    """Note the words of a sweep. Those that a cell has unchanged are every cell's, and no part of its name."""
    os.environ[_SHARED] = json.dumps(list(words))


def forget_words() -> None:
    """Forget the words of a sweep that is over."""
    os.environ.pop(_SHARED, None)


def cell_name(run: Mapping[str, Any], words: Sequence[str] | None = None) -> str:
    """A run's name.

    Args:
        run: Its record or configuration.
        words: Its overrides; None: those of the run under way.
    """
    shared = set(json.loads(os.environ.get(_SHARED, "[]")))
    further = [
        word for word in (_words.get() if words is None else words) if word not in shared and not _is_left_out(word)
    ]
    return " ".join([f"{run['topic']} {run['modality']} seed {run['seed']}", *further])


def _is_left_out(word: str) -> bool:
    key = word.partition("=")[0].lstrip("+~")
    return key in _LEFT_OUT or key.startswith(_LEFT_OUT_GROUPS)


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts text by the numbers in it.

    >>> sorted(["topic10", "topic9", "topic"], key=natural)
    ['topic', 'topic9', 'topic10']
    """
    parts = re.split(r"([0-9]{1,18})", text)
    return [(0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts if part]
