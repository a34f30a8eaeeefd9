"""Fixtures of the tests of the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from highlight_lit.cli import main


@pytest.fixture(scope="package")
def runs(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "runs"
    small = ["data.pairs=4", "tau=8", "model.d=8", "trainer.max_epochs=1", "logger=none", "evaluate.draws=10"]
    assert main(["train", f"data.root={small_corpus}", f"out={out}", "topic=topic01", *small]) == 0
    return out
