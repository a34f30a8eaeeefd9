"""Fixtures of the tests with files from strangers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from highlight_lit.config.run_identity import as_plain
from highlight_lit.launch import composed
from tests.security.made import Checkpoint, checkpoint_for


@pytest.fixture(scope="session")
def valid(small_corpus: Path) -> Checkpoint:
    """A valid checkpoint; not to be changed."""
    return checkpoint_for(small_corpus)


@pytest.fixture
def saved(valid: Checkpoint, tmp_path: Path) -> Callable[..., Path]:
    """Save a copy of the valid checkpoint that a function has changed, or another in its place."""

    def save(change: Callable[[Checkpoint], object] = lambda checkpoint: None, name: str = "a.ckpt") -> Path:
        checkpoint = copy.deepcopy(valid)
        other = change(checkpoint)
        torch.save(other if isinstance(other, dict) and "hyper_parameters" in other else checkpoint, tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def quick_plain() -> Callable[..., dict[str, Any]]:
    """A plain configuration of a run that is quick, some of its keys replaced."""

    def make(**replaced: Any) -> dict[str, Any]:
        words = ["topic=t", "data.root=.", "data.pairs=4", "tau=8", "model.d=8", "trainer.max_epochs=1", "logger=none"]
        return {**as_plain(composed("config", words)), **replaced}

    return make
