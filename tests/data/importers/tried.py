"""An import as tests try it: a corpus without a fault and what was said, or the one line with which it is refused."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.faults import faults
from highlight_lit.errors import InputError


def load(importer: ModuleType, source: Path, **options: Any) -> tuple[Corpus, list[str]]:
    """Import a source into the folder `out` beside it."""
    out, lines = source.parent / "out", list[str]()
    importer.import_corpus(source, out, report=lines.append, **options)
    assert list(faults(out)) == []
    return Corpus(out), lines


def refused(importer: ModuleType, source: Path, **options: Any) -> str:
    """Have an import refused, having left nothing behind."""
    before = sorted(source.parent.iterdir())
    with pytest.raises(InputError) as caught:
        importer.import_corpus(source, source.parent / "out", **{"report": lambda line: None, **options})
    assert sorted(source.parent.iterdir()) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)
