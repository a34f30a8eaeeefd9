"""What extractors of torchvision, timm and transformers share: names, fetching of weights, versions, errors in a line."""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from highlight_lit.errors import InputError, first_line
from highlight_lit.installation import need
from highlight_lit.media.extractors.weights import fill, read_weights
from highlight_lit.text import a_few, shown

EXTRA = "extractors"
PREFIXES = {"visual": ("torchvision", "timm"), "audio": ("hf",)}
_NAME = re.compile(r"(torchvision|timm):[A-Za-z0-9_.]{1,100}|hf:[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")


def is_plain(name: str) -> bool:
    """Whether a name that a file gives is no more than a name: no path, no address."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def imported(library: str, name: str) -> Any:
    """Import a library of the extra.

    Raises:
        InputError: It is missing, or does not go with the PyTorch that is here.
    """
    need(EXTRA, name, library)
    try:
        return importlib.import_module(library)
    except Exception as error:  # operators of another PyTorch are missing then, which raises nearly anything
        raise InputError(
            f"{name}: {library} cannot be imported beside PyTorch {torch.__version__} ({shown(first_line(error)[:160])}):"
            f" pip install --upgrade torch {library}"
        ) from error


def unknown(name: str, known: list[str], what: str) -> InputError:
    """The error for a name that a library does not have."""
    near = get_close_matches(name.partition(":")[2], known, 3, 0.5)
    return InputError(f"{name}: {what}; expected {'such as ' if near else 'one of '}{a_few(near or known, 10)}")


@contextmanager
def fetching(name: str, option: str) -> Iterator[None]:
    """Turn what a library raises while it fetches and reads weights into one line that says what to do.

    Raises:
        InputError: In place of it.
    """
    clients = logging.getLogger("huggingface_hub")
    level = clients.level
    clients.setLevel(logging.ERROR)  # it says each of its five retries
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Exception as error:  # of the library, and of the clients that it fetches with
        raise InputError(
            f"{name}: its weights cannot be had ({shown(first_line(error)[:160])}): check the name and the connection (once fetched, they"
            f" are kept, and no connection is needed), or name a copy with {option}"
        ) from error
    finally:
        clients.setLevel(level)


def fill_from(network: nn.Module, path: Path) -> None:
    """Put the weights of a file into a network, but for a classifier that it has not.

    Raises:
        InputError: As `read_weights` and `fill`.
    """
    tensors = read_weights(path)
    own = {key.partition(".")[0] for key in network.state_dict()}
    fill(network, {key: value for key, value in tensors.items() if key.partition(".")[0] in own}, path, ignored=" ")


def version_of(weights: str, network: nn.Module, preprocessing: object) -> str:
    """Name the features: by their weights, and by twelve digits of all their numbers and of what is done before them."""
    digest = hashlib.sha256(repr(preprocessing).encode())
    state: Mapping[str, Tensor] = network.state_dict()
    for key, value in sorted(state.items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return f"{weights[:100]}-{digest.hexdigest()[:12]}"
