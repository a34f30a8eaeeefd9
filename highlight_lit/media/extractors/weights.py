"""Weights that the user names: read without running anything in them, and checked key by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from highlight_lit.errors import InputError
from highlight_lit.files import sha256
from highlight_lit.text import shown
from highlight_lit.untrusted.torch_files import read_tensors

# The public files have 250 to 290 MB, and three times that where they hold an optimizer's state as well.
MAX_WEIGHTS_BYTES = 2 << 30
# Written by later versions of PyTorch, absent from older files, and read by nothing.
_COUNTER = "num_batches_tracked"


class _Kind:
    """What a pickle calls `numpy.dtype`: 4 or 8 bytes of floating point, in either byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("f4", "f8"):
            raise ValueError(f"an array of {code}; expected f4 or f8")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """What a pickle calls `numpy.ndarray`. NumPy's own takes a forged state at its word, and then reads anywhere."""

    def __init__(self, *_: object) -> None:
        self.tensor = torch.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        values = np.frombuffer(content, kind.dtype).reshape(shape, order="F" if fortran else "C")
        self.tensor = torch.from_numpy(np.array(values, kind.dtype.newbyteorder("="), order="C"))


def _latin1(text: str, encoding: str) -> bytes:
    """Bytes, which a pickle of protocol 2 holds as text."""
    return text.encode("latin1")


# What a pickled array of floats calls, also under the names of NumPy 1, and what it gets in its place.
_ARRAY_PARTS: list[tuple[Callable[..., Any], str]] = [
    (_Array, "numpy.core.multiarray._reconstruct"),
    (_Array, "numpy._core.multiarray._reconstruct"),
    (_Array, "numpy.ndarray"),
    (_Kind, "numpy.dtype"),
    (_latin1, "_codecs.encode"),
]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, found under `state_dict` if there is one, without `module.` before them.

    Raises:
        InputError: No such file, over `MAX_WEIGHTS_BYTES`, not a checkpoint of tensors alone, or a tensor of it is not
            of finite floating-point numbers.
    """
    loaded = read_tensors(path, "a PyTorch checkpoint", most=MAX_WEIGHTS_BYTES, legacy=True, builders=_ARRAY_PARTS)
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    tensors = {
        str(key).removeprefix("module."): value.tensor if isinstance(value, _Array) else value
        for key, value in (state.items() if isinstance(state, Mapping) else ())
        if isinstance(value, Tensor | _Array) and not str(key).endswith(_COUNTER)
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
