"""Videos of several topics and lists, and a corpus of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from highlight_lit.data.corpus import write_corpus
from highlight_lit.data.video import Stream, Video


@pytest.fixture
def several(make_video: Callable[..., Video]) -> list[Video]:
    return [
        make_video("short dog", 30, tags=("dog", "pet"), split="train"),
        make_video("long dog", 90, split="train"),
        make_video("long cat", 80, tags=("cat",), split="train"),
        make_video("short cat", 20, tags=("cat",), split="val"),
        make_video("val dog", 40, split="val"),
    ]


@pytest.fixture
def sound(tmp_path: Path, several: list[Video]) -> Path:
    """The folder of a corpus of them."""
    write_corpus(tmp_path / "c", several, {"visual": Stream(4), "audio": Stream(3)}, name="test", clip_seconds=1.0)
    return tmp_path / "c"
