"""Weights that the user names: read without running anything in them, and checked key by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from highlight_lit.errors import InputError
from highlight_lit.files import sha256
from highlight_lit.text import shown
from highlight_lit.torch_files import read_tensors

# The public files have 250 to 290 MB, and three times that where they hold an optimizer's state as well.
MAX_WEIGHTS_BYTES = 2 << 30
# Written by later versions of PyTorch, absent from older files, and read by nothing.
_COUNTER = "num_batches_tracked"


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> NDArray[Any]:
    """An array that its pickle fills next."""
    if kind is not np.ndarray or shape != (0,):
        raise ValueError("an array of a size that its numbers do not give it")
    return np.empty(0, np.int8)


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes that a pickle of Python 2's protocol holds as text."""
    return text.encode("latin1")


def _array_parts() -> list[tuple[Callable[..., Any], str]]:
    """What a pickled array of floats is made of, also under the names of NumPy 1; all it can build is an array."""
    kinds = [type(np.dtype(kind)) for kind in (np.float32, np.float64)]
    return [
        *((_empty_array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
        (np.ndarray, "numpy.ndarray"),
        (np.dtype, "numpy.dtype"),
        *((kind, f"{kind.__module__}.{kind.__qualname__}") for kind in kinds),
        (_latin1, "_codecs.encode"),
    ]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, found under `state_dict` if there is one, without `module.` before them.

    Raises:
        InputError: No such file, over `MAX_WEIGHTS_BYTES`, not a checkpoint of tensors alone, or a tensor of it is not
            of finite floating-point numbers.
    """
    loaded = read_tensors(path, "a PyTorch checkpoint", most=MAX_WEIGHTS_BYTES, legacy=True, builders=_array_parts())
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    tensors = {
        str(key).removeprefix("module."): torch.as_tensor(value)
        for key, value in (state.items() if isinstance(state, Mapping) else ())
        if isinstance(value, Tensor | np.ndarray) and not str(key).endswith(_COUNTER)
    }
    if not tensors:
        raise InputError(f"{path}: no tensors in it; expected a state_dict")
    for key, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.float().isfinite().all():
            raise InputError(f"{path}: {_name(key)}: not of finite floating-point numbers; download the file again")
    return tensors


def _name(key: str) -> str:
    """A key of the file, for one line."""
    return shown(key[:100])


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
        raise InputError(f"{path}: {_name(extra)}: not a tensor of {type(network).__name__}")
    network.load_state_dict(given, strict=False)


def fingerprint(path: Path) -> str:
    """Twelve digits that name the weights: features of other weights are other features."""
    return sha256(path)[:12]


def device() -> torch.device:
    """Where networks run: the first GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
