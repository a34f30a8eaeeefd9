"""What training asks of torch.compile, each for a reason that `make bench-gpu` measured."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

WISHES: dict[str, Any] = {
    # A step of so small a network is over before Python has started its kernels one by one; a graph starts them at once.
    "triton.cudagraphs": True,
    # Softmax over four gates and sums over the fusion's R products are spelled out, and then fused with what is around
    # them; left as reductions each would be a pass over memory of its own.
    "online_softmax": False,
    "unroll_reductions_threshold": 33,
}


def compile_parts(*parts: nn.Module, graphs: bool = True) -> None:
    """Have modules compiled when they are first called; gradients and all.

    Args:
        parts: The modules, which go on as before in every other way.
        graphs: Whether what runs on a GPU may be run as CUDA graphs.
    """
    known = torch._inductor.list_options()
    options = {name: value for name, value in WISHES.items() if name in known}
    for part in parts:
        part.compile(options={**options, "triton.cudagraphs": graphs})
