"""CPU seconds of each method for one video of n clips, beside training videos that stay the same.

    python -m experiments.benchmarks.method_costs [--methods NAME ...]

Random features 2048 wide; 20 positives of 50 clips and 50 negatives of 100, labelled for the supervised methods. What a
method spends whatever the video's length, in training above all, is shown by itself: the first call, on a video of one
clip. The other columns are calls with a single step of training, less one such call on the video of one clip, so that the
spread of two trainings does not hide what a video costs. Prints a Markdown table of CPU seconds of one thread.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from highlight_lit.errors import command
from highlight_lit.methods import METHODS, Method, find
from highlight_lit.methods.numerics import unit
from highlight_lit.methods.supervised.videos import Labelled, SupervisedVideos
from highlight_lit.methods.videos import Clips, Videos

from ..analyses.settle_methods import constants

LENGTHS = (60, 240, 900, 1800, 3600)
WIDTH = 2048


def made(name: str, clips: int, generator: np.random.Generator) -> Clips:
    """A video of scenes of about 8 clips under noise."""
    scene = np.cumsum(generator.random(clips) < 1 / 8)
    rows = generator.normal(size=(scene[-1] + 1, WIDTH))[scene] + generator.normal(size=(clips, WIDTH))
    span = np.stack([np.arange(clips), np.arange(1, clips + 1)], 1).astype(np.float64)
    return Clips(name, float(clips), span, unit(rows).astype(np.float32))


def seconds(method: Method, training: tuple[tuple[Clips, ...], tuple[Clips, ...]], video: Clips) -> float:
    """CPU seconds of training and of scoring one video."""
    positive, negative = training
    videos: Any = Videos("topic", positive, negative, positive, (video,))
    if method.supervision == "full":
        labelled = tuple(Labelled(clips, (np.arange(len(clips)) % 4 == 0).astype(np.float64)) for clips in positive)
        videos = SupervisedVideos("topic", labelled, (video,))
    started = time.process_time()
    method.score(videos)
    return time.process_time() - started


def measured(method: Method, lengths: Sequence[int], generator: np.random.Generator) -> list[float]:
    """CPU seconds of a method whatever the video's length, then for a video of each length."""
    positive = tuple(made(f"p{number}", 50, generator) for number in range(20))
    negative = tuple(made(f"n{number}", 100, generator) for number in range(50))
    single_clip, *videos = (made(f"e{length}", length, generator) for length in (1, *lengths))
    module = importlib.import_module(method.module)
    fixed = seconds(method, (positive, negative), single_clip)
    with constants(module, {"STEPS": 1} if hasattr(module, "STEPS") else {}):
        least = seconds(method, (positive, negative), single_clip)
        return [fixed, *(max(seconds(method, (positive, negative), video) - least, 0.0) for video in videos)]


@command("method_costs")
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="NAME", help="whose rows to measure")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    methods = [find(name) for name in options.methods]
    print("| method | whatever the length | " + " | ".join(str(length) for length in LENGTHS) + " |")
    print("|---" * (len(LENGTHS) + 2) + "|")
    for method in methods:
        cells = [f"{value:.2f}" for value in measured(method, LENGTHS, np.random.default_rng(0))]
        print(f"| {method.title} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
