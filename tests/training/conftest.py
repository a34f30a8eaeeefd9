"""Fixtures for tests of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from highlight_lit.runs.ledger import records


@pytest.fixture
def trained(quick_train: Callable[..., int], tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Path]]:
    """Train in a folder of its own; its record and folder."""

    def run(name: str, *words: str) -> tuple[dict[str, Any], Path]:
        assert quick_train(*words, f"out={tmp_path / name}") == 0
        [record] = records(tmp_path / name)
        return record, tmp_path / name / record["id"]

    return run
