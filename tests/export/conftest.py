"""Detectors with drawn weights, whose every part has a say, and the checkpoints they are read from."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from highlight_lit.inference.detector import Detector
from highlight_lit.inference.loading.load import load_detector
from tests.security.made import checkpoint_for


@pytest.fixture
def drawn(small_corpus: Path, tmp_path: Path) -> Callable[..., Detector]:
    """Save and load a checkpoint of a system, its weights drawn anew and statistics other than 0 and 1."""

    def make(*words: str) -> Detector:
        checkpoint = checkpoint_for(small_corpus, *words)
        generator = torch.Generator().manual_seed(1)
        for name, value in checkpoint["state_dict"].items():
            noise = torch.randn(value.shape, generator=generator)
            value.add_(noise.abs() if name.endswith("std") else 0.2 * noise)
        torch.save(checkpoint, tmp_path / "last.ckpt")
        return load_detector(tmp_path / "last.ckpt")

    return make


@pytest.fixture(autouse=True)
def _no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest listens to every logger, and torch then formats each step of its tracing for it."""
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)
