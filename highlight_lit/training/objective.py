"""What a step makes less of, in one piece, and what is asked of torch.compile for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from highlight_lit.data.batches import Bags
from highlight_lit.models.highlight_net import Detection

Objective = Callable[[nn.Module, nn.Module, Bags], dict[str, Tensor]]

# What they brought stands in experiments/results/gpu.md; what a version of torch does not know is left out.
OPTIONS: dict[str, Any] = {
    # A step of so small a network is over before Python has started its kernels one by one; a graph starts them at once.
    "triton.cudagraphs": True,
    # Sums over the fusion's R products and softmax over four gates are spelled out and fused with what is around them.
    "online_softmax": False,
    "unroll_reductions_threshold": 33,
}
MOST_VERSIONS = 64  # of the compiled step: two for each network of a sweep, for the last batch of an epoch is smaller


def objective(network: nn.Module, loss: nn.Module, bags: Bags) -> dict[str, Tensor]:
    """The loss of some bags, its parts, and the share of bags told right."""
    detection = network(bags.visual, bags.audio, bags.mask, bags.audio_mask)
    return judged(loss, detection, bags.label, bags.mask, bags.target)


def judged(
    loss: nn.Module, detection: Detection, label: Tensor, mask: Tensor, target: Tensor | None = None
) -> dict[str, Tensor]:
    """The same of what a network has said of them; a loss with `reads_target` gets a teacher's targets, and no labels."""
    if getattr(loss, "reads_target", False):
        found: dict[str, Tensor] = loss(detection, label, mask, target)
        return found
    right = ((detection.z_hat > 0) == (label > 0)).float().mean()
    return {**loss(detection, label, mask), "bag_accuracy": right}


def compiled() -> Objective:
    """`objective`, compiled when it is first called, and once for all networks of a kind."""
    torch._dynamo.config.cache_size_limit = MOST_VERSIONS  # torch 2.7 calls it recompile_limit too
    known = torch._inductor.list_options()
    options = {name: value for name, value in OPTIONS.items() if name in known}
    made: Objective = torch.compile(objective, options=options)
    return made
