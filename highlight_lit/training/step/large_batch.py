"""A batch of pairs too large for a CPU's caches, through a network some pairs at a time.

It is trained on as one call would be, whatever the loss, which may couple bags and so is computed of the whole batch.
What the network itself does with a bag must not depend on the bags beside it (but for its pair).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from highlight_lit.data.batch import Bags
from highlight_lit.models.highlight_net import Detection

LARGE = 512  # bags above which a CPU works part by part
PART = 64  # pairs in a part: its arrays fit the caches, where one call goes through main memory at each operation


def detect(network: Callable[[Bags], Detection], bags: Bags) -> Detection:
    """What the network says of bags, on a CPU some pairs at a time where they are many."""
    if bags.mask.device.type != "cpu" or len(bags.label) <= LARGE:
        return network(bags)
    parts = []
    for start in range(0, len(bags.label) // 2, PART):
        at = slice(start, start + PART)
        part = Bags._make(None if x is None else torch.cat([half[at] for half in x.chunk(2)]) for x in bags)
        parts.append(network(part))
    return Detection(*(join_pairs(outputs) for outputs in zip(*parts, strict=True)))


def join_pairs(parts: Sequence[Tensor]) -> Tensor:
    """Parts of a batch, positives before negatives in each, as one with all positives before all negatives."""
    return torch.cat([half for side in zip(*(part.chunk(2) for part in parts), strict=True) for half in side])
