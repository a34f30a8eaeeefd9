"""One batch on several ranks, trained on as one rank would: the loss sees all its bags, dropout all its masks.

Losses may couple bags (LIM weighs pairs in groups of 8, `HingesL1` adds up margins over the batch), so none is assumed
to be a mean. Every rank computes the loss of the whole batch from all ranks' outputs, of which its own carry gradients;
the sum of the ranks' gradients is then the gradient of the whole, for any loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from highlight_lit.data.batches import Bags, own_pairs
from highlight_lit.models.highlight_net import Detection


class WholeBatchDropout(TorchFunctionMode):
    """Within it, `dropout` drops on a rank what it would drop there in the whole batch on one rank.

    Ranks draw from the same seed. Each draws the mask of the whole batch and applies the rows of its own bags, so
    dropout is the one part of a step that more ranks do not make faster. It is exact for inputs whose first axis counts
    bags, or bags times something; others are dropped as they are.

    Args:
        pairs: Pairs in the whole batch.
        rank, ranks: Which of how many this is.
    """

    def __init__(self, pairs: int, rank: int, ranks: int) -> None:
        super().__init__()
        own = own_pairs(pairs, rank, ranks)
        self.own, self.bags = torch.from_numpy(np.concatenate([own, own + pairs])), 2 * pairs

    def __torch_function__(
        self, call: Callable[..., Any], types: Sequence[Any], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        return (self._dropout if call is F.dropout else call)(*args, **kwargs)

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        held, shape = len(self.own), input.shape
        if not training or p == 0.0 or not shape or shape[0] % held:
            return F.dropout(input, p, training, inplace)
        rows = shape[0] // held
        ones = torch.ones((self.bags * rows, *shape[1:]), dtype=input.dtype, device=input.device)
        mask = F.dropout(ones, p).view(self.bags, -1)[self.own.to(input.device)].view(shape)
        return input.mul_(mask) if inplace else input * mask


def whole_batch(
    detection: Detection, bags: Bags, pairs: int, rank: int, gather: Callable[[Tensor], list[Tensor]]
) -> tuple[Detection, Tensor, Tensor]:
    """What a network says of all bags of a batch, their labels and masks; gradients flow into this rank's part.

    Args:
        detection: Of this rank's bags.
        bags: These bags.
        pairs: Pairs in the whole batch.
        rank: This rank.
        gather: Gives every rank's tensor, of one that has the same shape on each.
    """
    z, z_hat, alpha = detection
    tau = z.shape[1]
    parts = (z, alpha, bags.mask, z_hat[:, None], bags.label[:, None])
    wide = torch.promote_types(torch.promote_types(z.dtype, alpha.dtype), torch.float32)
    packed = torch.cat([part.to(wide) for part in parts], 1)  # (own bags, 3 tau + 2): one message
    blocks = gather(packed.detach())
    blocks[rank] = packed
    halves = zip(*(block.chunk(2) for block in blocks), strict=True)
    whole = torch.cat([torch.cat(half)[:pairs] for half in halves])  # (2 pairs, 3 tau + 2)
    of = [part.contiguous() for part in torch.split(whole, [tau, tau, tau, 1, 1], 1)]
    found = Detection(of[0].to(z.dtype), of[3].squeeze(1).to(z_hat.dtype), of[1].to(alpha.dtype))
    return found, of[4].squeeze(1).to(bags.label.dtype), of[2].bool()


def gather(part: Tensor) -> list[Tensor]:
    """Every rank's tensor, in the order of ranks."""
    parts = [torch.empty_like(part) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, part)
    return parts
