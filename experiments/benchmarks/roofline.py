"""What a training step must at least do: operations and bytes counted as it runs, and the two ceilings of a device.

A step's floor is the larger of its operations by the rate of a large matrix product and its bytes by the rate of a
large copy, both measured on the device at hand. Operations are those of the matrix products. Bytes are what these
products read and write, each operand once: everything element by element could be fused into them, while an array of a
batch's activations is larger than a cache. What each operation of the step as it is reads and writes stands beside it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROUNDS = 5  # of a time
_PRODUCTS = {torch.ops.aten.mm: (0, 1), torch.ops.aten.addmm: (1, 2), torch.ops.aten.bmm: (0, 1), torch.ops.aten.baddbmm: (1, 2)}  # fmt: skip


class Count(TorchDispatchMode):
    """Counts, while it is active, what runs.

    Attributes:
        operations: Multiplications and additions of matrix products.
        product_bytes: What the products read and wrote.
        bytes: What all operations read and wrote that moved data.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.product_bytes = self.bytes = 0

    def __torch_dispatch__(
        self, call: Any, types: Sequence[Any], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = call(*args, **(kwargs or {}))
        read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        wrote = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
        if not call.is_view and call.overloadpacket is not torch.ops.aten.detach:
            moved = sum(_bytes(x) for x in [*read, *wrote])
            self.bytes += moved
            if (which := _PRODUCTS.get(call.overloadpacket)) is not None:
                left, right = (args[at] for at in which)
                self.operations += 2 * left.numel() * right.shape[-1]
                self.product_bytes += moved
        return result


def _bytes(x: Tensor) -> int:
    """Of the numbers that a tensor has in memory; one that is spread out has fewer than its shape says."""
    spread = math.prod(size for size, stride in zip(x.shape, x.stride(), strict=True) if stride != 0)
    return spread * x.element_size()


@dataclass(frozen=True)
class Ceilings:
    """What a device reaches: operations a second in a large product, by type, and bytes a second in a large copy."""

    operations: dict[str, float]
    bytes: float

    def floor(self, count: Count, dtype: str) -> float:
        """Seconds that a counted step takes at least."""
        return max(count.operations / self.operations[dtype], count.product_bytes / self.bytes)


def ceilings(device: torch.device, size: int, megabytes: int) -> Ceilings:
    """Measure both: products of `size` by `size`, and a copy of so many megabytes on the device (read and written)."""
    rates = {}
    for name, dtype, tf32 in (("float32", torch.float32, False), ("tf32", torch.float32, True), ("bfloat16", torch.bfloat16, False)):  # fmt: skip
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        rates[name] = 2 * size**3 / seconds(lambda left=left, right=right: left @ right, device)  # type: ignore[misc]
    torch.set_float32_matmul_precision("highest")
    source = torch.ones(megabytes * 10**6 // 4, device=device)
    target = torch.empty_like(source)
    return Ceilings(rates, 2 * source.numel() * 4 / seconds(lambda: target.copy_(source), device))


def seconds(call: Callable[[], object], device: torch.device, calls: int = 10) -> float:
    """Of one call: the median over `ROUNDS` of several calls in a row, after one round that does not count."""
    measured = []
    for _ in range(ROUNDS + 1):
        synchronize(device)
        began = time.perf_counter()
        for _ in range(calls):
            call()
        synchronize(device)
        measured.append((time.perf_counter() - began) / calls)
    return statistics.median(measured[1:])


def synchronize(device: torch.device) -> None:
    """Wait for what was given to a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """How long at least one of some intervals was under way, in their unit.

    >>> covered([(5, 6), (0, 2), (1, 3), (1, 2)])
    4
    """
    total, end = 0.0, -math.inf
    for start, stop in sorted(intervals):
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    return total
