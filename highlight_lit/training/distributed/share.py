"""A batch that is not one call of the network: shared out over ranks, or too large for a CPU's caches.

It is trained on as one call would be, whatever the loss. Losses may couple bags (LIM weighs pairs in groups of 8,
`HingesL1` adds up margins over the batch), so none is taken for a mean: every rank computes the loss of the whole batch
from all ranks' outputs. What the network itself does with a bag must not depend on the bags beside it (but for its
pair). Dropout draws other masks on another number of ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from highlight_lit.data.batches import Bags
from highlight_lit.models.highlight_net import Detection

LARGE = 512  # bags above which a CPU works part by part
PART = 64  # pairs in a part: its arrays fit the caches, where one call goes through main memory at each operation


def detect(network: Callable[[Bags], Detection], bags: Bags) -> Detection:
    """What the network says of bags, on a CPU some pairs at a time where they are many."""
    if bags.mask.device.type != "cpu" or len(bags.label) <= LARGE:
        return network(bags)
    found = []
    for start in range(0, len(bags.label) // 2, PART):
        at = slice(start, start + PART)
        part = Bags._make(None if x is None else torch.cat([half[at] for half in x.chunk(2)]) for x in bags)
        found.append(network(part))
    return Detection(*(_joined(parts) for parts in zip(*found, strict=True)))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts of a batch, positives before negatives in each, as one with all positives before all negatives."""
    return torch.cat([half for side in zip(*(part.chunk(2) for part in parts), strict=True) for half in side])


def whole_batch(
    gather: Callable[..., Any], pairs: int, detection: Detection, label: Tensor, mask: Tensor
) -> tuple[Detection, Tensor, Tensor]:
    """What the network says of all ranks' bags, their labels and masks; gradients flow to every rank's part.

    Args:
        gather: Lightning's `all_gather`.
        pairs: In the whole batch. Ranks may hold the last pair again; those copies are left out.
        detection, label, mask: Of this rank's bags.
    """

    def whole(part: Tensor) -> Tensor:
        positive, negative = _joined(gather(part, sync_grads=part.requires_grad).unbind()).chunk(2)
        return torch.cat([positive[:pairs], negative[:pairs]])

    return Detection(*map(whole, detection)), whole(label), whole(mask)
