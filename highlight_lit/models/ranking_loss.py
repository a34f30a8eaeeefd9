"""A loss within a video: its clips are to be ranked as a teacher ranks them. No bag label enters it."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from highlight_lit.models.highlight_net import Detection


class PairwiseRanking(nn.Module):
    """`sum_ij (t_i - t_j)+ softplus(z_j - z_i) / sum_ij (t_i - t_j)+` over the pairs of clips of each bag.

    A pair counts as much as the teacher tells its clips apart: RankNet's loss (Burges et al., ICML 2005) with the
    difference of targets as weight. Both sums go over all bags of the batch.

    Attributes:
        reads_target: The batch must bring t.
    """

    reads_target: ClassVar[bool] = True

    def forward(self, detection: Detection, label: Tensor, mask: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compare every two clips of a bag.

        Args:
            detection: of B bags.
            label: not read, (B,).
            mask: True at clips that exist, (B, tau).
            target: t, the teacher's rank of each clip in its video, in [0, 1], (B, tau).

        Returns:
            `loss`, and `pair_accuracy`: the weighted share of pairs whose logits stand in the teacher's order.
        """
        z = detection.z.to(torch.promote_types(detection.z.dtype, torch.float32))  # (B, tau)
        t = target.to(z.dtype)
        both = mask.unsqueeze(-1) & mask.unsqueeze(-2)  # (B, tau, tau)
        weight = (t.unsqueeze(-1) - t.unsqueeze(-2)).clamp(min=0.0).masked_fill(~both, 0.0)  # (B, tau, tau)
        behind = z.unsqueeze(-2) - z.unsqueeze(-1)  # z_j - z_i
        total = weight.sum().clamp(min=torch.finfo(z.dtype).tiny)  # bags of one clip have no pair
        return {
            "loss": (weight * F.softplus(behind)).sum() / total,
            "pair_accuracy": (weight * (behind.detach() < 0)).sum() / total,
        }
