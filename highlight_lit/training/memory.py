"""The memory that a batch and a network take, told before it is asked for."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from highlight_lit.config.build import build
from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError

# Of the machine's memory: a batch is there a few times over, weights with gradient and two moments four times.
_BATCH_SHARE, _WEIGHT_COPIES = 4, 4


def memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_batch(config: Mapping[str, Any], corpus: Corpus) -> None:
    """Refuse a batch that the machine cannot hold, before memory is asked for.

    Raises:
        InputError: `data.pairs` bags of `tau` clips twice over are too many.
    """
    pairs, tau = config["data"]["pairs"], config["tau"]
    takes, most = 2 * pairs * tau * sum(4 * corpus.streams[name].width for name in config["streams"]), memory()
    if takes > most // _BATCH_SHARE:
        raise InputError(
            f"data.pairs={pairs}, tau={tau}: a batch takes {takes / 1e9:.1f} GB; "
            f"expected at most {most / _BATCH_SHARE / 1e9:.1f} GB, a quarter of this machine's memory"
        )


def check_network(
    model: Mapping[str, Any], streams: Mapping[str, Mapping[str, Any]], pairs: int = 1, tau: int = 1
) -> None:
    """Refuse a network that the machine cannot hold, or cannot train on a batch, before memory is asked for.

    Args:
        model: Its node.
        streams: Those that it reads, each with its `width`.
        pairs: Half the bags of a batch.
        tau: Clips of a bag.

    Raises:
        InputError: Its weights, or what a batch leaves in it for the gradient, are too many.
    """
    try:
        weights, batch = needs(model, streams, pairs, tau)
    except InputError:
        return  # the same is said when it is made, unless its class cannot be made without memory
    if 4 * _WEIGHT_COPIES * weights > memory():
        raise InputError(
            f"model: {weights:,} weights take {4 * _WEIGHT_COPIES * weights / 1e9:.0f} GB to train; expected at most "
            f"{memory() / 1e9:.0f} GB, this machine's memory (rank, model.d and fusion decide how many they are)"
        )
    most = max(memory(), torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else 0)
    if batch > most:
        raise InputError(
            f"model: a batch takes {batch / 1e9:.0f} GB in it to train; expected at most {most / 1e9:.0f} GB, this "
            "machine's memory (data.pairs, tau, rank, model.d and fusion decide how much it is)"
        )


def needs(model: Mapping[str, Any], streams: Mapping[str, Mapping[str, Any]], pairs: int, tau: int) -> tuple[int, int]:
    """What a network needs to train, told without asking for memory: its weights, and the bytes that a batch leaves in it.

    Raises:
        InputError: Its class cannot be made, or not without memory.
    """
    widths = {name: stream["width"] for name, stream in streams.items()}
    return _needs(json.dumps(model), widths.get("visual"), widths.get("audio"), pairs, tau)


@functools.lru_cache(maxsize=64)  # the cells of a sweep are mostly alike
def _needs(model: str, Dv: int | None, Da: int | None, pairs: int, tau: int) -> tuple[int, int]:
    asked = _Asked()  # type: ignore[no-untyped-call]
    with FakeTensorMode():  # tensors that are shapes alone
        network = build(json.loads(model), "model", Dv=Dv, Da=Da)
        weights = sum(parameter.numel() for parameter in network.parameters())
        if 4 * _WEIGHT_COPIES * weights > memory():
            return weights, 0
        visual, audio = (None if width is None else torch.empty(2 * pairs, tau, width) for width in (Dv, Da))
        clips = torch.ones(2 * pairs, tau, dtype=torch.bool)
        with contextlib.suppress(Exception), asked:  # a class of the user's may look at numbers, which are not there
            network(visual, audio, clips, clips)
    return weights, asked.bytes


class _Asked(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of every tensor that is made; nearly all are kept for the gradient."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.bytes += sum(each.nbytes for each in tree_leaves(made) if isinstance(each, torch.Tensor))
        return made
