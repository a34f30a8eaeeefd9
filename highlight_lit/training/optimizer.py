"""The optimizer of some weights and its schedule, of their nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from highlight_lit.config.build import build
from highlight_lit.errors import InputError


def make_optimizer(nodes: Mapping[str, Any], weights: Iterable[Tensor]) -> tuple[Any, Any]:
    """An optimizer over some weights, and its schedule in epochs, None where there is none.

    Args:
        nodes: `algorithm` and `schedule`.
        weights: What it is to change.

    Raises:
        InputError: A class does not exist, or does not take an argument or its value.
    """
    make = build({**nodes["algorithm"], "_partial_": True}, "optimizer.algorithm")
    try:
        optimizer = make(weights)
    except (TypeError, ValueError) as error:
        raise InputError(f"optimizer.algorithm: {nodes['algorithm']['_target_']}: {error}") from error
    if nodes["schedule"] is None:
        return optimizer, None
    schedule = build({**nodes["schedule"], "_partial_": True}, "optimizer.schedule")(optimizer)
    if isinstance(schedule, ReduceLROnPlateau):
        raise InputError(
            f"optimizer.schedule: {nodes['schedule']['_target_']}: follows a measure, which a schedule is not told here; "
            "expected one by epochs, such as torch.optim.lr_scheduler.CosineAnnealingLR"
        )
    return optimizer, schedule
