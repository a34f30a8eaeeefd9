"""Where the rows of bags come from: on the device, once (`resident`), or from the shards as they are needed (`stream`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from highlight_lit.data.batch import Bags
from highlight_lit.data.sampling import Draw


class Store(Protocol):
    """Where the rows of bags come from. Two stores over the same videos give the same bags, to the same bit."""

    def to(self, device: torch.device) -> Store:
        """Deliver bags to a device from now on."""

    def batches(self, draws: Iterator[Draw], tau: int) -> Iterator[Bags]:
        """The bags of each draw, in order; the draws may go on for ever. Closing the iterator ends what it started."""
