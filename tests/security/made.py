"""Checkpoints and records as a stranger may make them: valid ones, to be changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from highlight_lit.config.run_identity import as_plain
from highlight_lit.data.corpus import Corpus
from highlight_lit.launch import composed
from highlight_lit.training.module import HighlightModule

Checkpoint = dict[str, Any]


def checkpoint_for(corpus: Path, *words: str) -> Checkpoint:
    """What a detector is read from, of an untrained network."""
    config = as_plain(composed("config", ["topic=topic01", "data.root=.", "model.d=8", *words]))
    streams = {name: asdict(stream) for name, stream in Corpus(corpus).streams.items() if name in config["streams"]}
    torch.manual_seed(0)
    module = HighlightModule(config["model"], config["loss"], config["optimizer"], streams, "topic01")
    return {"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}


def places(value: object) -> Iterator[tuple[Any, Any]]:
    """Every place in mappings and lists, as what holds it and its key there."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield value, key
        yield from places(each)
