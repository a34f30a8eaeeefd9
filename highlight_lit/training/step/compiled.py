"""What is asked of torch.compile for a training step."""

from __future__ import annotations

from typing import Any

import torch

from highlight_lit.training.step.objective import Objective, objective

# What they brought stands in experiments/results/gpu.md; what a version of torch does not know is left out.
OPTIONS: dict[str, Any] = {
    # A step of so small a network is over before Python has started its kernels one by one; a graph starts them at once.
    "triton.cudagraphs": True,
    # Sums over the fusion's R products and softmax over four gates are spelled out and fused with what is around them.
    "online_softmax": False,
    "unroll_reductions_threshold": 33,
}
MOST_VERSIONS = 64  # of the compiled step: two for each network of a sweep, for the last batch of an epoch is smaller


def compiled() -> Objective:
    """`objective`, compiled when it is first called, and once for all networks of a kind."""
    torch._dynamo.config.cache_size_limit = MOST_VERSIONS  # torch 2.7 calls it recompile_limit too
    known = torch._inductor.list_options()
    options = {name: value for name, value in OPTIONS.items() if name in known}
    made: Objective = torch.compile(objective, options=options)
    return made
