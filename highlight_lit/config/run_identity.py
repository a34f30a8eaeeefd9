"""A configuration as plain values, and the name of the run that it is."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from highlight_lit.errors import InputError, first_line

# Keys that count through what reads them: model.fusion is ${fusion}, fusion.R is ${rank}.
READ_BY_OTHERS = ("fusion", "context", "pooling", "rank", "beta")

# Keys that change where or how fast a run happens, not what it computes: an accelerator or a number of devices moves
# the last bits of a sum, as another machine does. Where dropout draws other masks on each rank, `identity` counts ranks.
_NOT_SCIENCE = (
    "out", "study", "compile", "optimized_metric", "data.root", "data.store", "data.readers", "logger", "checkpoint",
    *READ_BY_OTHERS,
    *(f"callbacks.{name}" for name in ("last", "progress", "lr_monitor", "device_stats")),
    *(f"trainer.{name}" for name in ("_target_", "accelerator", "devices", "num_nodes", "strategy", "profiler",
      "log_every_n_steps", "enable_progress_bar", "enable_model_summary", "num_sanity_val_steps", "benchmark",
      "detect_anomaly", "deterministic", "default_root_dir", "barebones", "plugins", "enable_checkpointing",
      "use_distributed_sampler")),
)  # fmt: skip

# Keys that came later, with the value that runs had before: at that value a run has the name it always had.
_SINCE = {"data.scale": "dimension"}


def as_plain(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as plain dictionaries, every interpolation resolved; one that is plain already is copied.

    A plain one is never resolved: a topic's name, say, comes from a corpus, and is the text it is.

    Raises:
        InputError: An interpolation names a key that does not exist.
    """
    if not isinstance(config, DictConfig):
        return copy.deepcopy(dict(config))
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(first_line(error)) from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def identity(config: Mapping[str, Any], corpus: str, ranks: int = 1) -> str:
    """Hexadecimal name of a run: two runs that compute the same thing have the same one.

    It is the hash of the resolved configuration without what does not change the result (folders, logging, progress,
    device), of trainer and callbacks without what is null, without later keys that say what was always done, and of the
    corpus' contents in place of its path.

    Args:
        config: A checked configuration, plain.
        corpus: `Corpus.fingerprint`.
        ranks: How many processes it is trained on, if what is dropped out depends on that; else 1.
    """
    text = json.dumps(
        {**science(config), "corpus": corpus, **({"ranks": ranks} if ranks > 1 else {})},
        sort_keys=True,
        allow_nan=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def science(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration, or of a record's, changes the result."""
    kept = copy.deepcopy(dict(config))
    for key in _NOT_SCIENCE:
        parent, _, last = key.rpartition(".")
        if isinstance(node := kept.get(parent) if parent else kept, dict):
            node.pop(last, None)
    for key, before in _SINCE.items():
        parent, _, last = key.rpartition(".")
        if isinstance(node := kept.get(parent), dict) and node.get(last) == before:
            del node[last]
    for parent in ("trainer", "callbacks"):  # an argument that is left to Lightning is no other run
        if isinstance(node := kept.get(parent), dict):
            kept[parent] = {key: value for key, value in node.items() if value is not None}
    return kept


def completed(config: dict[str, Any]) -> dict[str, Any]:
    """A recorded configuration with the keys that came after it, at the value that runs had before; changed in place."""
    for key, before in _SINCE.items():
        part, _, last = key.rpartition(".")
        if isinstance(node := config.get(part), dict):
            node.setdefault(last, before)
    return config


def folded(seed: int) -> int:
    """A seed of at most 32 bits, which is what most generators take; one that has no more is left as it is."""
    return seed if seed < 1 << 32 else int(np.random.SeedSequence(seed).generate_state(1)[0])
