"""Weights that the user names: read without running anything in them, and checked key by key."""

from __future__ import annotations

import codecs
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from highlight_lit.errors import InputError
from highlight_lit.files import sha256

# Written by later versions of PyTorch, absent from older files, and read by nothing.
_COUNTER = "num_batches_tracked"


def _array_parts() -> list[Any]:
    """What a pickled array of floats is made of, also under the names of NumPy 1; all it can build is an array."""
    rebuild = np.zeros(1).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in (np.float32, np.float64)]
    named = [(rebuild, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    return [*named, np.ndarray, np.dtype, *kinds, (codecs.encode, "_codecs.encode")]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, found under `state_dict` if there is one, without `module.` before them.

    Raises:
        InputError: No such file, or not a checkpoint of tensors.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a PyTorch checkpoint")
    try:
        with torch.serialization.safe_globals(_array_parts()):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InputError(f"{path}: not a PyTorch checkpoint of tensors alone ({reason})") from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    tensors = {
        str(key).removeprefix("module."): torch.as_tensor(value)
        for key, value in (state or {}).items()
        if isinstance(value, Tensor | np.ndarray)
    }
    if not tensors:
        raise InputError(f"{path}: no tensors in it; expected a state_dict")
    return {key: value for key, value in tensors.items() if not key.endswith(_COUNTER)}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, ignored: str) -> None:
    """Put tensors into a network, all of them and of the right shapes.

    Args:
        network: To be filled.
        tensors: By the network's own names.
        path: Where they come from, for the errors.
        ignored: Names that start with this are left out: a classifier that is not used.

    Raises:
        InputError: A tensor is missing, too many or of another shape.
    """
    own = {key: value for key, value in network.state_dict().items() if not key.endswith(_COUNTER)}
    given = {key: value for key, value in tensors.items() if not key.startswith(ignored)}
    for key in own:
        if key not in given:
            raise InputError(f"{path}: {key}: missing; expected weights of {type(network).__name__}")
        if given[key].shape != own[key].shape:
            raise InputError(f"{path}: {key}: shape {tuple(given[key].shape)}, expected {tuple(own[key].shape)}")
    if extra := next((key for key in given if key not in own), None):
        raise InputError(f"{path}: {extra}: not a tensor of {type(network).__name__}")
    network.load_state_dict(given, strict=False)


def fingerprint(path: Path) -> str:
    """Twelve digits that name the weights: features of other weights are other features."""
    return sha256(path)[:12]


def device() -> torch.device:
    """Where networks run: the first GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
