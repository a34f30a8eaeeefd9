"""The batch that is shared out over ranks, whole again for its loss.

Losses may couple bags (LIM weighs pairs in groups of 8, `HingesL1` adds up margins over the batch), so none is taken for a
mean: every rank computes the loss of the whole batch from all ranks' outputs. Dropout draws other masks on another number
of ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from highlight_lit.models.highlight_net import Detection
from highlight_lit.training.step.large_batch import join_pairs


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
        positive, negative = join_pairs(gather(part, sync_grads=part.requires_grad).unbind()).chunk(2)
        return torch.cat([positive[:pairs], negative[:pairs]])

    return Detection(*map(whole, detection)), whole(label), whole(mask)
