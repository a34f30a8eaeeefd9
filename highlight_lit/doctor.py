"""`highlight-lit doctor`: versions, device, what is installed, whether the corpus at hand is sound."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import torch

from highlight_lit import __version__
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.verify import faults
from highlight_lit.errors import InputError

NEEDED = (
    "torch",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "torchmetrics",
    "wandb",
    "h5py",
    "xxhash",
    "numpy",
    "scipy",
)
EXTRAS = {
    "av": "media: raw videos",
    "hydra-joblib-launcher": "joblib: cells in parallel on this machine",
    "hydra-submitit-launcher": "slurm: cells over a cluster",
}


def report(corpus: Path | None) -> int:
    """Print what is here.

    Args:
        corpus: A corpus to check too.

    Returns:
        0; 1 if a needed package is missing.

    Raises:
        InputError: The corpus has faults; they were printed.
    """
    print(f"highlight-lit {__version__}, Python {platform.python_version()}, {platform.platform()}")
    missing = 0
    for package in (*NEEDED, *EXTRAS):
        purpose = f"  (optional, {EXTRAS[package]})" if package in EXTRAS else ""
        version = _version(package)
        missing += version is None and package in NEEDED
        print(f"  {package:24} {version or 'not installed'}{purpose}")
    print(f"  {'device':24} {_device()}")
    if corpus is not None:
        _check(corpus)
    return 1 if missing else 0


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device() -> str:
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB, bf16 {torch.cuda.is_bf16_supported()}"
    return f"cpu, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def _check(root: Path) -> None:
    found = list(faults(root))
    for fault in found:
        print(f"  {fault}")
    if found:
        raise InputError(f"{root}: {len(found)} fault(s), listed above")
    corpus = Corpus(root)
    print(f"corpus {corpus.manifest['name']!r} in {root}: sound")
    print(f"  {'videos, clips':24} {len(corpus)}, {int(corpus.clips.sum())}")
    for name, stream in corpus.streams.items():
        print(f"  {name:24} {stream.width} wide, {stream.extractor} {stream.version} ({stream.dtype})")
    for topic in corpus.topics:
        tagged = corpus.tagged(topic)
        short = int((tagged & (corpus.duration < 60)).sum())
        print(
            f"  {topic:24} {int(tagged.sum())} videos, {short} under 60 s, {len(corpus.evaluation_videos(topic))} to judge"
        )
