"""What the full core tensor costs beside the low-rank one: operations, memory and time over d and R (supplement, section 2)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from highlight_lit.errors import InputError
from highlight_lit.files import read_json, write_json
from highlight_lit.installation import environment
from highlight_lit.models.fusion import FullTensorFusion, Fusion, LowRankFusion
from highlight_lit.untrusted.shapes import check_shape

FILE = "cost.json"
CLIPS = 1920  # 32 bags of 60 clips
WIDTHS = (16, 32, 64, 128)
RANKS = (1, 2, 4, 8, 16, 32, 64)
PAPER_R, PAPER_D = 8, 128
ROUNDS = 5  # of a time
MAX_ROWS = 64  # of a measurement, drawn and ticked each
QUANTITIES = {"operations": "multiply-adds", "parameters": "numbers", "memory": "bytes kept for the backward pass", "seconds": "seconds forward and back"}  # fmt: skip
_COST = {"d": int, **dict.fromkeys(QUANTITIES, (int, float))}
_SHAPE = {
    "clips": int,
    "full": [_COST],
    "low_rank": [{**_COST, "R": int}],
    "ranks": [{**_COST, "R": int}],
    "device": str,
}


def measured(out: Path) -> dict[str, Any]:
    """The measurement kept in `out`, made now if it is missing."""
    path = out / FILE
    if not path.exists():
        write_json(path, measure())
    measurement: dict[str, Any] = read_json(path, "a measurement of cost")
    check_shape(measurement, _SHAPE, str(path))
    for key, over in (("full", "d"), ("low_rank", "d"), ("ranks", "R")):
        rows = measurement[key]
        values = {row[over] for row in rows}
        if (
            not 2 <= len(values) == len(rows) <= MAX_ROWS
            or min(row[name] for row in rows for name in QUANTITIES) <= 0
            or min(values) <= 0
        ):
            raise InputError(
                f"{path}: {key}: expected 2 to {MAX_ROWS} different {over}, and numbers above 0; remove it to measure anew"
            )
    return measurement


def measure() -> dict[str, Any]:
    """Both fusions over the widths at R = 8, and the low-rank one over the ranks at d = 128, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        full = [{"d": d, **_cost(FullTensorFusion(d), d)} for d in WIDTHS]
        low = [{"d": d, "R": PAPER_R, **_cost(LowRankFusion(d, PAPER_R), d)} for d in WIDTHS]
        ranks = [{"d": PAPER_D, "R": R, **_cost(LowRankFusion(PAPER_D, R), PAPER_D)} for R in RANKS]
    finally:
        torch.set_num_threads(threads)
    return {"clips": CLIPS, "full": full, "low_rank": low, "ranks": ranks, "device": environment()["device"]}


def _cost(fusion: Fusion, d: int) -> dict[str, float]:
    f_v, f_a = torch.rand(CLIPS, d), torch.rand(CLIPS, d)
    kept = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        fusion(f_v, f_a)
    # The counter knows matrix products alone. F.bilinear is none to it: d^3 for each clip, and the low-rank product's
    # R d multiplications beside its 2 R d^2 are left out in both.
    operations = counter.get_total_flops() // 2 or CLIPS * d**3
    parameters = sum(weight.numel() for weight in fusion.parameters())
    return {"operations": operations, "parameters": parameters, "memory": kept, "seconds": _seconds(fusion, f_v, f_a)}


def _seconds(fusion: Fusion, f_v: torch.Tensor, f_a: torch.Tensor) -> float:
    """Median of some rounds, after one that does not count."""
    took = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        fusion(f_v, f_a).sum().backward()
        took.append(time.perf_counter() - started)
    return statistics.median(took[1:])


def exponent(rows: Sequence[dict[str, float]], over: str, quantity: str) -> float:
    """Slope of a quantity over d or R on logarithmic axes: n where it grows with the n-th power.

    >>> round(exponent([{"d": 2, "x": 8}, {"d": 4, "x": 64}], "d", "x"), 6)
    3.0
    """
    x, y = (np.log([row[key] for row in rows]) for key in (over, quantity))
    return float(np.polyfit(x, y, 1)[0])
