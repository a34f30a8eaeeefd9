"""The clip logits of an evaluation, gathered over the videos a rank has seen, and over ranks."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric


class ClipLogits(Metric):
    """Collects the logits of each video's clips; `compute` gives them by video."""

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
        """Logits z of each video's clips, (T_n,). They rank clips as p = sigmoid(z) does, where p would tie at 1."""
        video, clips, z = (
            torch.cat(part) if isinstance(part, list) else part for part in (self.video, self.clips, self.z)
        )
        of_video = torch.split(z.double().cpu(), clips.tolist())
        return {int(index): logits.numpy() for index, logits in zip(video, of_video, strict=True)}
