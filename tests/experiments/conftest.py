"""A reproduction small enough to run in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from highlight_lit.data.synthetic import Plan, synthesize

PROFILE = """
about: As little as there can be
seeds: 2
topics: 2
overrides: [model.d=4, tau=8, data.pairs=4, trainer.max_epochs=2, evaluate.draws=10, logger=none]
synthetic: {videos: 10}
only: {table2: {tau: "4,8"}, table1: {modality: "visual,av"}}
"""

Command = Callable[..., list[str]]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus in YouTube Highlights' shape and a profile for it."""
    folder = tmp_path_factory.mktemp("tiny")
    synthesize(folder / "corpus", Plan(topics=2, videos=20, rank=2, Dv=12, Da=8))
    (folder / "tiny.yaml").write_text(PROFILE)
    return folder


@pytest.fixture
def command(tiny: Path, tmp_path: Path) -> Command:
    """What Python is told for a small reproduction of table 2."""

    def words(*more: str, study: str = "table2", out: Path = tmp_path / "out") -> list[str]:
        return ["-m", "experiments.reproduce", "--profile", str(tiny / "tiny.yaml"), "--corpus",
                str(tiny / "corpus"), "--study", study, "--out", str(out), "--workers", "2", *more]  # fmt: skip

    return words
