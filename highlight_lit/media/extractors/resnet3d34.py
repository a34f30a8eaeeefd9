"""3D ResNet-34 (Hara, Kataoka and Satoh, CVPR 2018): what moves, in 512 numbers a clip.

Two public families of Kinetics weights are read, told apart by their shortcuts: A (padded with zeros; the release of
2017) and B (1 x 1 x 1 convolutions; the release of 2020). Each has its own preprocessing, as its code had.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from highlight_lit.media.extractors.weights import device, fill, fingerprint, read_weights
from highlight_lit.media.io.clips import Frames

BLOCKS = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)
# Mean and standard deviation of RGB in 0..255 that each family was trained with.
NORMALISATION = {
    "A": ((114.7748, 107.7354, 99.4750), (1.0, 1.0, 1.0)),
    "B": ((255 * 0.4345, 255 * 0.4051, 255 * 0.3775), (255 * 0.2768, 255 * 0.2713, 255 * 0.2737)),
}


class PadShortcut(nn.Module):
    """Shortcut A: every `stride`-th place, and zeros for the channels it lacks."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, t, h, w) to (B, channels, t / stride, h / stride, w / stride)."""
        step = self.stride
        return F.pad(x[:, :, ::step, ::step, ::step], (0, 0, 0, 0, 0, 0, 0, self.channels - x.shape[1]))


class BasicBlock(nn.Module):
    """Two 3 x 3 x 3 convolutions beside a shortcut."""

    def __init__(self, before: int, channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != channels:
            convolved = nn.Sequential(nn.Conv3d(before, channels, 1, stride, bias=False), nn.BatchNorm3d(channels))
            self.downsample = PadShortcut(channels, stride) if shortcut == "A" else convolved

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, t, h, w) to (B, channels, t / stride, h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        hidden = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(hidden)) + shortcut)


class ResNet3d34(nn.Module):
    """The network without its classifier; names of modules are those of the public checkpoints.

    Args:
        shortcut: "A" or "B".
    """

    def __init__(self, shortcut: str = "B") -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        before = 64
        for number, (blocks, channels) in enumerate(zip(BLOCKS, WIDTHS, strict=True), start=1):
            layer = nn.Sequential()
            for block in range(blocks):
                layer.append(BasicBlock(before, channels, 2 if number > 1 and block == 0 else 1, shortcut))
                before = channels
            self.add_module(f"layer{number}", layer)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 16, 112, 112) normalised RGB to (B, 512), the mean over what is left of time and space."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool3d(x, 3, 2, 1)
        for number in range(1, len(BLOCKS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean((2, 3, 4))


class ResNet3d34Visual:
    """The extractor: 16 consecutive frames around the middle of the second, short side 112, middle cut out.

    Consecutive ones are what the published networks were trained and used on: at 25 to 30 frames a second they span
    about half of it. Where fewer than 16 are shown in a second, they are taken as `ResNet3d34SpreadVisual` takes them.

    Args:
        weights: A public checkpoint, see the module's text.

    Raises:
        InputError: Not such a checkpoint.
    """

    name, width, batch = "resnet3d34", 512, 8
    frames = Frames(per_clip=16, size=112, crop=True, consecutive=True)
    # 2: the frames are consecutive; they were spread over the second.
    _version = "2-"

    def __init__(self, weights: Path) -> None:
        tensors = read_weights(weights)
        shortcut = "B" if "layer2.0.downsample.0.weight" in tensors else "A"
        self.version = f"{shortcut}-{self._version}{fingerprint(weights)}"
        self._network = ResNet3d34(shortcut)
        fill(self._network, tensors, weights, ignored="fc.")
        self._network.eval().to(device())
        self._mean, self._std = (
            torch.tensor(values, device=device()).view(3, 1, 1, 1) for values in NORMALISATION[shortcut]
        )

    @torch.inference_mode()
    def __call__(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, 16, 112, 112, 3) RGB to (B, 512)."""
        x = torch.from_numpy(clips).to(self._mean.device).permute(0, 4, 1, 2, 3).float()
        rows: NDArray[np.float32] = self._network((x - self._mean) / self._std).cpu().numpy()
        return rows


class ResNet3d34SpreadVisual(ResNet3d34Visual):
    """The extractor on 16 frames over the whole second: all of it is seen, in motion about twice as fast as in training."""

    name = "resnet3d34_spread"
    frames = Frames(per_clip=16, size=112, crop=True)
    _version = ""
