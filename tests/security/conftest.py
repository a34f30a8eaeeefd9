"""Checkpoints as a stranger may make them: a sound one, changed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from highlight_lit.config import plain
from highlight_lit.data.corpus import Corpus
from highlight_lit.launch import composed
from highlight_lit.training.module import HighlightModule

Checkpoint = dict[str, Any]


def checkpoint_for(corpus: Path, *words: str) -> Checkpoint:
    """What a detector is read from, of an untrained network."""
    config = plain(composed("config", ["topic=topic01", "data.root=.", "model.d=8", *words]))
    streams = {name: asdict(stream) for name, stream in Corpus(corpus).streams.items() if name in config["streams"]}
    torch.manual_seed(0)
    module = HighlightModule(config["model"], config["loss"], config["optimizer"], streams, "topic01")
    return {"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}


@pytest.fixture(scope="session")
def sound(small_corpus: Path) -> Checkpoint:
    """A sound checkpoint; not to be changed."""
    return checkpoint_for(small_corpus)


@pytest.fixture
def saved(sound: Checkpoint, tmp_path: Path) -> Callable[..., Path]:
    """Save a copy of the sound checkpoint that a function has changed, or another in its place."""

    def save(change: Callable[[Checkpoint], object] = lambda checkpoint: None, name: str = "a.ckpt") -> Path:
        checkpoint = copy.deepcopy(sound)
        other = change(checkpoint)
        torch.save(other if isinstance(other, dict) and "hyper_parameters" in other else checkpoint, tmp_path / name)
        return tmp_path / name

    return save
