"""Arguments of the verbs that read videos: the extractors' files, and how segments are chosen."""

from __future__ import annotations

import argparse
from pathlib import Path


def weights_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the files of the extractors that need them."""
    parser.add_argument(
        "--visual-weights",
        type=Path,
        metavar="FILE",
        help="weights of resnet3d34 and resnet3d34_spread, or a copy of torchvision's or timm's",
    )
    parser.add_argument(
        "--audio-weights", type=Path, metavar="FILE", help="weights of vggish, or a folder with hf:NAME"
    )
    parser.add_argument("--audio-pca", type=Path, metavar="FILE", help="VGGish's PCA parameters (default: without)")


def weights_of(args: argparse.Namespace) -> dict[str, Path | None]:
    """The files that were given, by the names under which `score_video` takes them."""
    return {name: getattr(args, name) for name in ("visual_weights", "audio_weights", "audio_pca")}


def choosing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--shortest` and `--merge`, which say how segments are chosen."""
    parser.add_argument("--shortest", type=float, default=3.0, metavar="L", help="least seconds of a segment (3)")
    parser.add_argument("--merge", type=float, default=2.0, metavar="S", help="segments closer than this are one (2)")
