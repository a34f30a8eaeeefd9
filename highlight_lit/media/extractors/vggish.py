"""VGGish (Hershey et al., ICASSP 2017): what is heard, in 128 numbers a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from highlight_lit.errors import InputError
from highlight_lit.media.extractors.log_mel import HOP, WINDOW, log_mel
from highlight_lit.media.extractors.weights import device, fill, fingerprint, read_weights
from highlight_lit.media.io.audio_clips import RATE

FRAMES = 96
# Samples that make 96 frames: 0.96 s and the last window's overhang. Taken from the middle of the clip.
EXAMPLE = (FRAMES - 1) * HOP + WINDOW
QUANTISED = (-2.0, 2.0)
_PCA = ("pca_eigen_vectors", "pca_means")


class Vggish(nn.Module):
    """The network; names of modules are those of the public PyTorch checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for channels in ((64,), (128,), (256, 256), (512, 512)):
            for after in channels:
                layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
                before = after
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            *(nn.Linear(512 * 6 * 4, 4096), nn.ReLU()),
            *(nn.Linear(4096, 4096), nn.ReLU()),
            *(nn.Linear(4096, 128), nn.ReLU()),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, 96, 64) log-mel examples to (B, 128)."""
        x = self.features(x)  # (B, 512, 6, 4)
        # The dense layers were trained on channels last: time, band, channel.
        return self.embeddings(x.permute(0, 2, 3, 1).flatten(1))


class VggishAudio:
    """The extractor: one example of 0.96 s in the middle of the clip.

    Args:
        weights: The public PyTorch checkpoint.
        pca: The public file of the PCA step: whitened, cut off at -2 and 2 and rounded to 0..255, as that PyTorch port
            does. None leaves it out. The features published with AudioSet went through the original network in
            TensorFlow and are not the same numbers.

    Raises:
        InputError: Not such files.
    """

    name, width, batch = "vggish", 128, 16

    def __init__(self, weights: Path, pca: Path | None = None) -> None:
        self._network = Vggish()
        tensors = read_weights(weights)
        fill(self._network, tensors, weights, ignored="pproc.")
        self._network.eval().to(device())
        self._pca = None if pca is None else _read_pca(pca)
        # 2: of the mean of the channels; before, of FFmpeg's mix, which is louder.
        self.version = f"2-{fingerprint(weights)}" + ("" if pca is None else f"-pca-{fingerprint(pca)}")

    @torch.inference_mode()
    def __call__(self, waveforms: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """(B, 16000) samples in -1..1 at 16 kHz to (B, 128)."""
        first = (RATE - EXAMPLE) // 2
        examples = log_mel(waveforms[:, first : first + EXAMPLE]).astype(np.float32)
        rows: Tensor = self._network(torch.from_numpy(examples)[:, None].to(device())).cpu()
        if self._pca is not None:
            vectors, means = self._pca
            low, high = QUANTISED
            rows = ((rows - means) @ vectors.T).clamp(low, high)
            rows = ((rows - low) * (255 / (high - low))).round()
        return rows.numpy()


def _read_pca(path: Path) -> tuple[Tensor, Tensor]:
    """The PCA step's (128, 128) vectors and (128,) means."""
    tensors = read_weights(path)
    for key, size in zip(_PCA, (128 * 128, 128), strict=True):
        if key not in tensors or tensors[key].numel() != size:
            raise InputError(f"{path}: {key}: missing or not of {size} numbers; expected VGGish's PCA parameters")
    return tensors[_PCA[0]].reshape(128, 128).float(), tensors[_PCA[1]].reshape(128).float()
