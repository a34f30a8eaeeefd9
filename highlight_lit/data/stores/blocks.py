"""Blocks of memory that batches are read into, used again and again: new memory costs as much as reading into it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Shapes = Mapping[str, tuple[tuple[int, ...], str]]  # shape and type of each array; the first dimension is the bags


class Block:
    """Memory for a batch, held by one thing at a time.

    Args:
        shapes: Of its arrays.
        pinned: Whether a GPU is to copy from it: its pages are locked.
    """

    def __init__(self, shapes: Shapes, pinned: bool = False) -> None:
        self.arrays: dict[str, NDArray[Any]] = {
            name: torch.empty(shape, dtype=getattr(torch, dtype), pin_memory=True).numpy()
            if pinned
            else np.empty(shape, dtype)  # numpy asks for huge pages, which are quicker to read into
            for name, (shape, dtype) in shapes.items()
        }
        self.copied: torch.cuda.Event | None = None  # when a GPU has what was lent last
        self._holders: list[weakref.ref[Any]] = []

    def free(self, bags: int, tau: int) -> bool:
        """Whether nothing holds it, and it has room for so many bags of tau clips."""
        room = next(iter(self.arrays.values())).shape
        fits = bags <= room[0] and tau == room[1]
        unheld = all(holder() is None for holder in self._holders)
        return fits and unheld and (self.copied is None or bool(self.copied.query()))  # type: ignore[no-untyped-call]

    def hold(self, holders: Iterable[object]) -> None:
        """Keep it from being used again for as long as one of the holders is alive."""
        self._holders, self.copied = [weakref.ref(holder) for holder in holders], None

    def lend(self, bags: int) -> dict[str, Tensor]:
        """The first `bags` bags as tensors that share the block's memory, and hold it until the last of them is gone."""
        views = {name: array[:bags] for name, array in self.arrays.items()}
        self._holders = [weakref.ref(view) for view in views.values()]
        return {name: torch.from_numpy(view) for name, view in views.items()}
