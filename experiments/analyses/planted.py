"""Whether the rank of the fusion means what it says: fitting cores whose every slice has a planted rank.

Clip scores cannot show it: the head adds up d slices of the core, so a score can be a form of rank d already at R = 1.
Here the whole fused vector is the target, f_h = (T_c x1 f_v) x2 f_a of a random core with slices of rank 8, and the
low-rank fusion is fitted to it at each R: the error that is left should fall until R = 8, and stay there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from highlight_lit.errors import InputError
from highlight_lit.files import read_json, write_json
from highlight_lit.models.fusion import LowRankFusion
from highlight_lit.untrusted.shapes import check_shape

FILE = "planted.json"
WIDTH, PLANTED = 16, 8
RANKS = (1, 2, 4, 8, 12, 16)
NOISE = 0.1  # variance of the target's noise: no fit can leave less
STEPS, BATCH = 600, 256


def measured(out: Path) -> list[dict[str, float]]:
    """The fits kept in `out`, made now if they are missing."""
    path = out / FILE
    if not path.exists():
        write_json(path, [{"R": R, "left": fit(R)} for R in RANKS])
    fits: list[dict[str, float]] = read_json(path, "fits of a planted core")
    check_shape(fits, [{"R": int, "left": (int, float)}], str(path))
    if [fit["R"] for fit in fits] != list(RANKS) or not all(0 <= fit["left"] <= 1e6 for fit in fits):
        raise InputError(f"{path}: expected what is left at R = {', '.join(map(str, RANKS))}; remove it to fit anew")
    return fits


def fit(R: int, seed: int = 0) -> float:
    """Share of the target's variance that a fitted fusion of rank R leaves on new clips."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        truth, fusion = LowRankFusion(WIDTH, PLANTED), LowRankFusion(WIDTH, R)
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    scale = float(_sample(truth, 20_000, generator)[2].std())
    for _ in range(STEPS):
        f_v, f_a, f_h = _sample(truth, BATCH, generator)
        noise = NOISE**0.5 * torch.randn(f_h.shape, generator=generator)
        optimizer.zero_grad()
        (fusion(f_v, f_a) / scale - f_h / scale - noise).square().mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        f_v, f_a, f_h = _sample(truth, 20_000, generator)
        left = float((fusion(f_v, f_a) - f_h).square().mean() / f_h.var())
    torch.set_num_threads(threads)
    return left


def _sample(truth: LowRankFusion, clips: int, generator: torch.Generator) -> tuple[Any, Any, Any]:
    f_v, f_a = (torch.randn(clips, WIDTH, generator=generator) for _ in range(2))
    with torch.no_grad():
        return f_v, f_a, truth(f_v, f_a)
