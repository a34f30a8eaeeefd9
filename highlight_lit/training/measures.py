"""The stateful side of evaluation: clip logits gathered over the videos a rank has seen, and over ranks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric


class ClipLogits(Metric):
    """Collects the logits of each video's clips; `compute` gives their scores, p = sigmoid(z), by video."""

    full_state_update = False
    video: list[Tensor]
    clips: list[Tensor]
    z: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("video", "clips", "z"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, video: int, z: Tensor) -> None:
        """Add a video: its index in the corpus and its clips' logits, (T_n,)."""
        self.video.append(torch.tensor([video], device=z.device))
        self.clips.append(torch.tensor([len(z)], device=z.device))
        self.z.append(z.detach())

    def compute(self) -> dict[int, NDArray[np.float64]]:
        """Scores p in [0, 1] of each video's clips, (T_n,), in double precision so that large logits stay apart."""
        video, clips, z = (
            torch.cat(part) if isinstance(part, list) else part for part in (self.video, self.clips, self.z)
        )
        p = torch.split(torch.sigmoid(z.double().cpu()), clips.tolist())
        return {int(index): scores.numpy() for index, scores in zip(video, p, strict=True)}
