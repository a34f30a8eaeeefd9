"""A batch: bags of clips, their masks and labels, and what a teacher says of their clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.sampling import Draw


class Bags(NamedTuple):
    """A batch of B bags of at most tau clips.

    In training the first half are positives, the second half negatives, and bag i is paired with bag B/2 + i.

    Attributes:
        visual: (B, tau, Dv), None where the model reads no visual stream.
        audio: (B, tau, Da), None where the model reads no audio stream.
        mask: (B, tau) True where a clip exists; rows elsewhere are arbitrary.
        audio_mask: (B, tau) True where a clip has audio; audio rows elsewhere are arbitrary.
        label: (B,) 1 for positives, 0 for negatives.
        target: (B, tau) what a teacher says of each clip, None where there is none; values at padded clips are arbitrary.
    """

    visual: Tensor | None
    audio: Tensor | None
    mask: Tensor
    audio_mask: Tensor
    label: Tensor
    target: Tensor | None = None


def make_bags(rows: Mapping[str, Tensor], clips: Tensor, positive: int) -> Bags:
    """Put a batch together from rows of its windows.

    Args:
        rows: (B, tau, D) of each stream, and with `audio` (B, tau) of `audio_mask`.
        clips: (B,) clips of each window, at most tau.
        positive: The first so many bags are positives.
    """
    tau = next(iter(rows.values())).shape[1]
    mask = torch.arange(tau, device=clips.device) < clips.unsqueeze(1)
    audio_mask = rows["audio_mask"].bool() & mask if "audio_mask" in rows else torch.zeros_like(mask)
    label = (torch.arange(len(mask), device=clips.device) < positive).float()
    return Bags(rows.get("visual"), rows.get("audio"), mask, audio_mask, label)


class Targets:
    """What a teacher says of the clips of training videos, given to batches as their `target`.

    Args:
        by_video: (T_n,) by index of a video.
    """

    def __init__(self, by_video: Mapping[int, NDArray[np.float64]]) -> None:
        self._by_video = {video: values.astype(np.float32) for video, values in by_video.items()}

    def windows(self, draw: Draw, tau: int) -> Tensor:
        """(B, tau) of the windows of a batch."""
        target = np.zeros((len(draw.video), tau), np.float32)
        for bag, (video, start) in enumerate(zip(draw.video.tolist(), draw.start.tolist(), strict=True)):
            own = self._by_video[video][start : start + tau]
            target[bag, : len(own)] = own
        return torch.from_numpy(target)
