"""What turns clips into rows of features, behind one interface each for frames and for audio.

An extractor looks at one clip at a time (its rows do not depend on how clips are batched) and is known by its name and
version: both are stored in the shard, and a checkpoint refuses features of another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.media.extractors.classic import ClassicAudio, ClassicVisual
from highlight_lit.media.io.clips import Frames

VISUAL = ("classic", "resnet3d34", "resnet3d34_spread")
AUDIO = ("classic", "vggish")


class Extractor(Protocol):
    """What both kinds have: `width` of a row, and `batch`, how many clips are worth handing over at once."""

    name: str
    version: str
    width: int
    batch: int


class VisualExtractor(Extractor, Protocol):
    """Frames to rows; `frames` says which it reads of a clip."""

    frames: Frames

    def __call__(self, clips: NDArray[Any]) -> NDArray[np.float32]:
        """(B, n, size, size, 3) RGB, or (B, n, ...) of what `frames.prepare` makes, to (B, Dv)."""
        ...


class AudioExtractor(Extractor, Protocol):
    """Audio to rows."""

    def __call__(self, waveforms: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """(B, 16000) samples in -1..1 at 16 kHz to (B, Da)."""
        ...


def visual_extractor(name: str, weights: Path | None = None) -> VisualExtractor:
    """Make a visual extractor.

    Args:
        name: One of `VISUAL`, or `torchvision:NAME` or `timm:NAME`.
        weights: The checkpoint file of a network; None for `classic`, and for weights that its library fetches.

    Raises:
        InputError: Unknown name, weights missing or not its.
    """
    if name == "classic":
        return ClassicVisual()
    if name in ("resnet3d34", "resnet3d34_spread"):
        from highlight_lit.media.extractors.resnet3d34 import ResNet3d34SpreadVisual, ResNet3d34Visual

        network = ResNet3d34SpreadVisual if name.endswith("_spread") else ResNet3d34Visual
        return network(_named(weights, "--visual-weights", name))
    if name.startswith("torchvision:"):
        from highlight_lit.media.extractors.of_torchvision import TorchvisionVisual

        return TorchvisionVisual(name, weights)
    if name.startswith("timm:"):
        from highlight_lit.media.extractors.of_timm import TimmVisual

        return TimmVisual(name, weights)
    raise InputError(f"visual extractor {name!r}: unknown; expected {', '.join(VISUAL)}, torchvision:NAME or timm:NAME")


def audio_extractor(
    name: str, weights: Path | None = None, pca: Path | None = None, ask: bool = True
) -> AudioExtractor:
    """Make an audio extractor.

    Args:
        name: One of `AUDIO`, or `hf:NAME`, or `hf:FOLDER` of one that is there: it is then known by the folder's name.
        weights: The checkpoint file of a network, or the folder of `hf:NAME`; None for `classic`.
        pca: The file of VGGish's PCA step; None leaves it out.
        ask: Whether the hub may be asked for `hf:NAME`, or a folder be looked for: not by the word of a file.

    Raises:
        InputError: Unknown name, weights missing or not its.
    """
    if name == "classic":
        return ClassicAudio()
    if name == "vggish":
        from highlight_lit.media.extractors.vggish import VggishAudio

        return VggishAudio(_named(weights, "--audio-weights", name), pca)
    if name.startswith("hf:"):
        from highlight_lit.media.extractors.of_transformers import TransformersAudio

        folder = Path(name.removeprefix("hf:"))
        if ask and weights is None and folder.is_dir():
            name, weights = f"hf:{folder.resolve().name}", folder
        return TransformersAudio(name, weights, ask)
    raise InputError(f"audio extractor {name!r}: unknown; expected {', '.join(AUDIO)} or hf:NAME")


def _named(weights: Path | None, option: str, name: str) -> Path:
    if weights is None:
        raise InputError(
            f"{name}: needs its weights; expected {option} FILE (the guide to own videos says where they are)"
        )
    return weights


def stream_of(extractor: Extractor) -> Stream:
    """The stream of a corpus that an extractor makes."""
    return Stream(extractor.width, extractor.name, extractor.version)
