"""timm's networks of images: `timm:resnet18.a1_in1k` and a thousand others, their mean over a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from highlight_lit.errors import InputError
from highlight_lit.hub import cached_file, is_reachable
from highlight_lit.media.extractors.library import fetching, fill_from, imported, unknown, version_of
from highlight_lit.media.extractors.weights import device
from highlight_lit.media.io.clips import Frames

FRAMES = 4  # of a second; neighbours look alike


class TimmVisual:
    """The extractor: 4 frames evenly over the second, prepared as the weights' own metadata says; the mean of what is pooled.

    Args:
        name: `timm:NAME`, perhaps with the tag of its weights.
        weights: A file of the network's weights; None: those that timm has under the name, fetched once.

    Raises:
        InputError: timm is missing, has no such network, or no weights of it, or they cannot be had.
    """

    batch = 8

    def __init__(self, name: str, weights: Path | None = None) -> None:
        own = name.partition(":")[2]
        timm = imported("timm", name)
        if own.partition(".")[0] not in timm.list_models():
            raise unknown(name, timm.list_models(), "timm has no such network")
        if (
            weights is None
            and own not in timm.list_models(pretrained=True)
            and not timm.models.is_model_pretrained(own)
        ):
            raise unknown(name, timm.list_models(pretrained=True), "timm has no such weights")
        with fetching(name, "--visual-weights FILE"):
            source = timm.get_pretrained_cfg(own).hf_hub_id if weights is None else None
            options = (
                {} if source is None or is_reachable(source) else {"pretrained_cfg_overlay": {"file": _kept(source)}}
            )
            network = timm.create_model(own, pretrained=weights is None, num_classes=0, **options)
            if weights is not None:
                fill_from(network, weights)
        config = timm.data.resolve_model_data_config(network)
        self.name, self._network = name, network.eval().to(device())
        self._prepare = timm.data.create_transform(**config, is_training=False)
        tag = network.pretrained_cfg.get("tag") or "default"
        self.version = version_of(tag, network, (FRAMES, sorted(config.items())))
        self.frames = Frames(per_clip=FRAMES, prepare=self._frame)
        if len(config["input_size"]) != 3 or config["input_size"][0] != 3:
            raise InputError(f"{name}: takes {tuple(config['input_size'])}; expected a network of RGB images")
        self.width = self(np.zeros((1, 1, *config["input_size"]), np.float32)).shape[1]

    def _frame(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """A frame (h, w, 3) as the network takes it, (3, size, size)."""
        from PIL import Image

        prepared: NDArray[np.float32] = self._prepare(Image.fromarray(pixels)).numpy()
        return prepared

    @torch.inference_mode()
    def __call__(self, clips: NDArray[Any]) -> NDArray[np.float32]:
        """(B, 4, 3, size, size) prepared frames to (B, Dv)."""
        x = torch.from_numpy(clips).to(device())
        rows: NDArray[np.float32] = self._network(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1).cpu().numpy()
        return rows


def _kept(repository: str) -> str:
    """Path of the weights that timm downloaded before, for a hub that does not answer: timm would ask it for most of a minute."""
    if (path := cached_file(repository, "model.safetensors")) is None:
        raise OSError("the Hugging Face hub does not answer, and they are not kept here")
    return str(path)
