"""Blocks of shared memory that batches are read into, used again and again."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor

from highlight_lit.data.shared import Shared


class Block:
    """Memory for a batch, held by one thing at a time.

    Args:
        memory: Arrays of which the first dimension is the bags.
        pinned: Whether a GPU is to copy from it: its pages are locked.
    """

    def __init__(self, memory: Shared, pinned: bool = False) -> None:
        self.memory = memory
        self.copied: torch.cuda.Event | None = None  # when a GPU has what was lent last
        self._holders: list[weakref.ref[Any]] = []
        if pinned:
            runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
            torch.cuda.check_error(runtime.cudaHostRegister(memory.address, memory.size, 0))
            weakref.finalize(self, _unpin, memory.address).atexit = False

    def free(self, bags: int, tau: int) -> bool:
        """Whether bags of a length find room, and nothing holds it."""
        room = next(iter(self.memory.arrays.values())).shape
        fits = bags <= room[0] and tau == room[1]
        unheld = all(holder() is None for holder in self._holders)
        return fits and unheld and (self.copied is None or bool(self.copied.query()))  # type: ignore[no-untyped-call]

    def hold(self, holder: object) -> None:
        """Have it held for as long as something is there."""
        self._holders, self.copied = [weakref.ref(holder)], None

    def lend(self, bags: int) -> dict[str, Tensor]:
        """The room of some bags, held while a tensor is there that shares it: each keeps a view of its array alive."""
        views = {name: array[:bags] for name, array in self.memory.arrays.items()}
        self._holders = [weakref.ref(view) for view in views.values()]
        return {name: torch.from_numpy(view) for name, view in views.items()}


def _unpin(address: int) -> None:
    torch.cuda.synchronize()  # a copy may be on its way
    torch.cuda.cudart().cudaHostUnregister(address)  # type: ignore[no-untyped-call]
