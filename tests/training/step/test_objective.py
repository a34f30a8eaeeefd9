"""What a step gives."""

from __future__ import annotations

import torch

from highlight_lit.models.highlight_net import Detection
from highlight_lit.models.losses import HingesL1
from highlight_lit.training.step.objective import step_values


def test_bags_told_right_are_counted_beside_the_loss() -> None:
    z = torch.zeros(4, 3)
    detection, mask = Detection(z, torch.tensor([2.0, -1.0, -0.5, -3.0]), z), torch.ones(4, 3, dtype=torch.bool)
    loss, label = HingesL1(beta=1e-4, m_s=1.0, m_var=0.25), torch.tensor([1.0, 1.0, 0.0, 0.0])
    found = step_values(loss, detection, label, mask)
    assert found["bag_accuracy"] == 0.75
    assert {name: found[name] for name in found if name != "bag_accuracy"} == loss(detection, label, mask)
