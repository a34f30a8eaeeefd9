"""A batch that is not one call of the network: shared out over ranks, or too large for a CPU's caches.

It is trained on as one call would be, whatever the loss. Losses may couple bags (LIM weighs pairs in groups of 8,
`HingesL1` adds up margins over the batch), so none is taken for a mean: every rank computes the loss of the whole batch
from all ranks' outputs, of which its own carry gradients; the sum of the ranks' gradients is then the gradient of the
whole. What the network itself does with a bag must not depend on the bags beside it (but for its pair).

Dropout on a rank drops what it would drop there in the whole batch on one rank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from highlight_lit.data.batches import Bags
from highlight_lit.data.sampling import own_pairs
from highlight_lit.models.highlight_net import Detection

LARGE = 512  # bags of a batch, all ranks together, above which a CPU works part by part
PART = 64  # pairs in a part: its arrays fit the caches, where one call goes through main memory at each operation


class Share(NamedTuple):
    """A rank's part of a batch: pairs in the whole batch, the rank, how many ranks, and what seeds the step's masks."""

    pairs: int
    rank: int
    ranks: int
    key: tuple[int, int]


class _Dropout(TorchFunctionMode):
    """Within it, `torch.nn.functional.dropout` is `drop`, in whatever network."""

    def __torch_function__(
        self, call: Callable[..., Any], types: Sequence[Any], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return (self._dropout if call is F.dropout else call)(*args, **(kwargs or {}))

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        mask = self.mask(input, p) if training and p > 0.0 and input.numel() else None
        if mask is None:
            return F.dropout(input, p, training, inplace)
        return input.mul_(mask) if inplace else input * mask

    def mask(self, input: Tensor, p: float) -> Tensor | None:
        """What to multiply an input by, 0 or 1 / (1 - p); None where its first axis does not count bags."""
        raise NotImplementedError


class WholeBatchDropout(_Dropout):
    """Each rank draws the mask of the whole batch, from the same seed, and takes the rows of its own bags.

    The one part of a step that more ranks do not make faster; the generator is torch's, so one rank needs none of it.
    """

    def __init__(self, share: Share) -> None:
        super().__init__()
        own = own_pairs(*share[:3])
        self.own, self.bags = torch.from_numpy(np.concatenate([own, own + share.pairs])), 2 * share.pairs

    def mask(self, input: Tensor, p: float) -> Tensor | None:
        """Rows of the whole batch's mask."""
        if not input.ndim or len(input) % len(self.own):
            return None
        rows = len(input) // len(self.own)
        ones = torch.ones((self.bags * rows, *input.shape[1:]), dtype=input.dtype, device=input.device)
        return F.dropout(ones, p).view(self.bags, -1)[self.own.to(input.device)].view(input.shape)


class CountedDropout(_Dropout):
    """A mask is a pure function of (seed, step), the number of the layer and the bag's place in the whole batch.

    So neither ranks nor parts change it, and each draws its own alone. The generator is numpy's Philox, which gives 64
    bits where torch's on a CPU gives one decision: 8 of them make one where p is a multiple of 1/256, otherwise 16,
    and p is then rounded to a multiple of 1/65536.

    Args:
        share: Which part of the batch this rank holds.
        first: Place of the first pair of the inputs in the whole batch; a negative bag's is its pair's, plus `pairs`.
        pairs: Pairs in the inputs.
    """

    def __init__(self, share: Share, first: int, pairs: int) -> None:
        super().__init__()
        self.starts, self.pairs, self.key, self.layer = (first, first + share.pairs), pairs, share.key, 0

    def mask(self, input: Tensor, p: float) -> Tensor | None:
        """Drawn for the bags of the input: positives, then negatives."""
        if not input.ndim or len(input) % (2 * self.pairs):
            return None
        self.layer += 1  # from 1: the counters from 0 on are those of the epochs' draws
        kind = np.int8 if (256 * p).is_integer() else np.int16
        levels, numbers = 1 << (8 * kind().itemsize), input.numel() // (2 * self.pairs)
        blocks = -(-numbers * kind().itemsize // 32)  # of four words, a count of the generator's
        drawn = [
            np.random.Philox(key=self.key, counter=[start * blocks, self.layer, 0, 0])
            .random_raw(self.pairs * blocks * 4)
            .view(kind)
            .reshape(self.pairs, -1)[:, :numbers]
            for start in self.starts
        ]
        kept = torch.from_numpy(np.concatenate(drawn)) >= round(p * levels) - levels // 2
        return torch.where(kept, 1.0 / (1.0 - p), 0.0).to(input.dtype).view(input.shape)


def detect(
    network: Callable[[Bags], Detection], bags: Bags, share: Share, compiled: bool
) -> tuple[Detection, Tensor, Tensor]:
    """What the network says of all bags of a batch, their labels and masks; gradients flow into this rank's part.

    Args:
        network: Called with bags.
        bags: This rank's.
        share: Which part of the batch they are.
        compiled: Whether the network is; it then draws its masks itself, others on each number of ranks.
    """
    if compiled:
        detection = network(bags)
    elif bags.mask.device.type == "cpu" and 2 * share.pairs > LARGE:
        detection = _in_parts(network, bags, share)
    else:
        with WholeBatchDropout(share) if share.ranks > 1 else nullcontext():
            detection = network(bags)
    if share.ranks == 1:
        return detection, bags.label, bags.mask
    return whole_batch(detection, bags, share, gather)


def _in_parts(network: Callable[[Bags], Detection], bags: Bags, share: Share) -> Detection:
    """The network on some pairs at a time."""
    pairs = len(bags.label) // 2
    first = int(own_pairs(*share[:3])[0])
    found = []
    for start in range(0, pairs, PART):
        at = slice(start, start + PART)
        part = Bags._make(None if x is None else torch.cat([half[at] for half in x.chunk(2)]) for x in bags)
        with CountedDropout(share, first + start, len(part.label) // 2):
            found.append(network(part))
    return Detection(*(_joined(parts) for parts in zip(*found, strict=True)))


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts of a batch, positives before negatives in each, as one with all positives before all negatives."""
    return torch.cat([half for side in zip(*(part.chunk(2) for part in parts), strict=True) for half in side])


def whole_batch(
    detection: Detection, bags: Bags, share: Share, gather: Callable[[Tensor], list[Tensor]]
) -> tuple[Detection, Tensor, Tensor]:
    """What the network says of all ranks' bags, their labels and masks.

    Args:
        detection: Of this rank's bags.
        bags: These bags.
        share: Which part of the batch they are.
        gather: Gives every rank's tensor, of one that has the same shape on each.
    """
    z, z_hat, alpha = detection
    tau = z.shape[1]
    parts = (z, alpha, bags.mask, z_hat[:, None], bags.label[:, None])
    wide = torch.promote_types(torch.promote_types(z.dtype, alpha.dtype), torch.float32)
    packed = torch.cat([part.to(wide) for part in parts], 1)  # (own bags, 3 tau + 2): one message
    blocks = gather(packed.detach())
    blocks[share.rank] = packed
    positive, negative = _joined(blocks).chunk(2)
    whole = torch.cat([positive[: share.pairs], negative[: share.pairs]])  # what lies beyond the last pair is a repeat
    of = [part.contiguous() for part in torch.split(whole, [tau, tau, tau, 1, 1], 1)]
    found = Detection(of[0].to(z.dtype), of[3].squeeze(1).to(z_hat.dtype), of[1].to(alpha.dtype))
    return found, of[4].squeeze(1).to(bags.label.dtype), of[2].bool()


def gather(part: Tensor) -> list[Tensor]:
    """Every rank's tensor, in the order of ranks."""
    parts = [torch.empty_like(part) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, part)
    return parts
