"""`highlight-lit doctor`: versions, device, what is installed, whether the corpus at hand is valid."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from highlight_lit import __version__
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.faults import refuse_faults
from highlight_lit.data.topics.counts import topics_of
from highlight_lit.data.topics.weak_labels import RULES
from highlight_lit.text import a_few, say

NEEDED = (
    "torch", "pytorch-lightning", "hydra-core", "omegaconf", "torchmetrics", "wandb", "h5py", "xxhash", "numpy", "scipy",
)  # fmt: skip
MOST_TOPICS = 40
EXTRAS = {
    "av": "media: raw videos",
    "torchvision": "extractors: networks of videos",
    "timm": "extractors: networks of images",
    "transformers": "extractors: networks of audio",
    "onnxruntime": "export: ONNX",
    "safetensors": "export: detectors that travel",
    "hydra-joblib-launcher": "joblib: cells in parallel on this machine",
    "hydra-submitit-launcher": "slurm: cells over a cluster",
    "hydra-ray-launcher": "ray: cells on a Ray cluster",
}


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `doctor`."""
    parser.add_argument("corpus", type=Path, nargs="?")


def run_doctor(options: argparse.Namespace) -> int:
    """Print versions and the device, and check the corpus if one is named; 1 if a needed package is missing.

    Raises:
        InputError: The corpus has faults; they were printed.
    """
    say(f"highlight-lit {__version__}, Python {platform.python_version()}, {platform.platform()}")
    missing = 0
    for package in (*NEEDED, *EXTRAS):
        purpose = f"  (optional, {EXTRAS[package]})" if package in EXTRAS else ""
        version = _version(package)
        missing += version is None and package in NEEDED
        say(f"  {package:24} {version or 'not installed'}{purpose}")
    say(f"  {'device':24} {_device()}")
    if not any(map(_version, ("torchvision", "timm", "transformers"))):
        say("'extract' has classic features alone, which know nothing of what is shown: pip install "
            "'highlight-lit[extractors]' brings networks that were trained to")  # fmt: skip
    if options.corpus is not None:
        _check(options.corpus)
    return 1 if missing else 0


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device() -> str:
    import torch  # for which another verb, or --help, does not wait

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB, bf16 {torch.cuda.is_bf16_supported()}"
    return f"cpu, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def _check(root: Path) -> None:
    refuse_faults(root)
    corpus = Corpus(root)
    say(f"corpus {corpus.manifest['name']!r} in {root}: valid")
    say(f"  {'videos, clips':24} {len(corpus)}, {int(corpus.clips.sum())}")
    for name, stream in corpus.streams.items():
        say(f"  {name:24} {stream.width} wide, {stream.extractor} {stream.version} ({stream.dtype})")
    say(*(f"  {line}" for line in _topic_lines(corpus)))


def _topic_lines(corpus: Corpus) -> Iterator[str]:
    """A line for each topic that can be trained, the `MOST_TOPICS` largest alone, then lines on what cannot be."""
    topics = topics_of(corpus)
    rule = next((rule for rule in RULES if topics.trainable(rule).any()), "duration")
    labelled = bool(topics.judged.any())
    wanted = topics.trainable(rule) if corpus.streams else topics.judged > 0
    size = topics.positive[rule] if corpus.streams else topics.judged
    usable = np.flatnonzero(wanted)
    largest = usable[np.argsort(-size[usable], kind="stable")][:MOST_TOPICS]
    for topic in np.sort(largest):
        positive, negative, judged = (
            counts[topic] for counts in (topics.positive[rule], topics.negative[rule], topics.judged)
        )
        parts = [f"{positive} positive and {negative} negative videos to train on"] if corpus.streams else []
        parts += [f"{judged} with labels to judge by"] if labelled else []
        yield f"{topics.names[topic]:24} {', '.join(parts)}"
    if len(usable) > len(largest):
        yield f"and {len(usable) - len(largest)} smaller topics"
    if rule != "duration" and corpus.streams:
        yield f"no topic has positive and negative videos under data.rule=duration: train with data.rule={rule}"
    if corpus.streams and len(unusable := np.flatnonzero(~wanted)):
        names = a_few(topics.names[int(topic)] for topic in unusable)
        yield f"{len(unusable)} tags have no positive or no negative video to train on (data.rule={rule}): {names}"
    if not labelled:
        yield "no labels to judge by: a training leaves scores and a checkpoint"
