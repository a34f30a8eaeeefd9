"""The objective of a training step: its loss and what is logged of it, of some bags."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from highlight_lit.data.batch import Bags
from highlight_lit.models.highlight_net import Detection

Objective = Callable[[nn.Module, nn.Module, Bags], dict[str, Tensor]]


def seed_step(key: Sequence[int], device: torch.device) -> None:
    """Seed every generator that a step on a device draws from, by some whole numbers."""
    seed = int(np.random.SeedSequence(list(key)).generate_state(1)[0])
    # Not by `torch.manual_seed`, which looks for devices of all kinds first, for a millisecond or two.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def step_values(
    loss: nn.Module, detection: Detection, label: Tensor, mask: Tensor, target: Tensor | None = None
) -> dict[str, Tensor]:
    """What a step gives and an epoch logs: the loss, its parts, and the share of bags told right.

    A loss with `reads_target` gets a teacher's targets, and no labels are compared.
    """
    if getattr(loss, "reads_target", False):
        values: dict[str, Tensor] = loss(detection, label, mask, target)
        return values
    right = ((detection.z_hat > 0) == (label > 0)).float().mean()
    return {**loss(detection, label, mask), "bag_accuracy": right}


def objective(network: nn.Module, loss: nn.Module, bags: Bags) -> dict[str, Tensor]:
    """`step_values` of some bags, in one piece: what is compiled, and stacked."""
    detection = network(bags.visual, bags.audio, bags.mask, bags.audio_mask)
    return step_values(loss, detection, bags.label, bags.mask, bags.target)
