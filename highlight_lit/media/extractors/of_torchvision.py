"""torchvision's video networks, trained on Kinetics: `torchvision:r2plus1d_18` and others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from highlight_lit.errors import InputError
from highlight_lit.files import sha256
from highlight_lit.media.extractors.library import fetching, fill_from, imported, unknown, version_of
from highlight_lit.media.extractors.weights import device
from highlight_lit.media.io.clips import Frames

FRAMES = 16  # a clip of one second; the networks were trained on 15 frames a second
_HEADS = ("fc", "head", "classifier")


class TorchvisionVisual:
    """The extractor: 16 frames evenly over the second, prepared as the weights' own metadata says; what comes before the classifier.

    Args:
        name: `torchvision:NAME`.
        weights: A file of the network's weights; None: those that torchvision has as its default, fetched once.

    Raises:
        InputError: torchvision is missing, has no such video network, or its weights cannot be had.
    """

    batch = 8

    def __init__(self, name: str, weights: Path | None = None) -> None:
        own = name.partition(":")[2]
        imported("torchvision", name)
        from torchvision import models

        videos = models.list_models(module=models.video)
        if own not in videos:
            other = own in models.list_models()
            what = (
                "no network of videos (timm:NAME takes networks of images)"
                if other
                else "torchvision has no such network of videos"
            )
            raise unknown(name, videos, what)
        chosen = models.get_model_weights(own).DEFAULT
        network = models.get_model(own, weights=None)
        with fetching(name, "--visual-weights FILE"):
            if weights is None:
                network.load_state_dict(chosen.get_state_dict(progress=sys.stderr.isatty(), check_hash=True))
            else:
                fill_from(network, weights)
        self.name, self.width = name, _cut_head(network)
        self._prepare = chosen.transforms()
        self.version = version_of(chosen.name if _published(chosen, weights) else "file", network, self._prepare)
        self._network = network.eval().to(device())
        self.frames = Frames(per_clip=FRAMES, prepare=self._frame)

    def _frame(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A frame (h, w, 3) as the network takes it, (3, size, size)."""
        prepared: NDArray[np.float32] = self._prepare(torch.from_numpy(pixels).permute(2, 0, 1)[None])[:, 0].numpy()
        return prepared

    @torch.inference_mode()
    def __call__(self, clips: NDArray[Any]) -> NDArray[np.float32]:
        """(B, 16, 3, size, size) prepared frames to (B, Dv)."""
        x = torch.from_numpy(clips).to(device()).transpose(1, 2)
        rows: NDArray[np.float32] = self._network(x).flatten(1).cpu().numpy()
        return rows


def _published(chosen: Any, weights: Path | None) -> bool:
    """Whether weights are torchvision's own: fetched, or a file with the digest that is in the name of theirs."""
    return weights is None or sha256(weights).startswith(Path(chosen.url).stem.rpartition("-")[2])


def _cut_head(network: nn.Module) -> int:
    """Take the classifier away; the width of what it was given."""
    for name in _HEADS:
        if isinstance(head := getattr(network, name, None), nn.Module):
            setattr(network, name, nn.Identity())
            return next(
                int(part.in_features if isinstance(part, nn.Linear) else part.in_channels)
                for part in head.modules()
                if isinstance(part, nn.Linear | nn.Conv3d)
            )
    raise InputError(f"{type(network).__name__}: no classifier among {', '.join(_HEADS)} that could be left out")
