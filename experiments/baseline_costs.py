"""CPU seconds of each baseline for one video of n clips, beside training videos that stay the same.

    python -m experiments.baseline_costs

Random features 2048 wide; 20 positives of 50 clips and 50 negatives of 100, labelled for the supervised methods. What a
method spends whatever the video's length, in training above all, is measured on a video of one clip and shown by itself.
Prints a Markdown table; run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np
import torch

from highlight_lit.baselines import METHODS, Method
from highlight_lit.baselines.numerics import unit
from highlight_lit.baselines.supervised.videos import Labelled, SupervisedVideos
from highlight_lit.baselines.videos import Clips, Videos

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
        labelled = tuple(Labelled(of, (np.arange(len(of)) % 4 == 0).astype(np.float64)) for of in positive)
        videos = SupervisedVideos("topic", labelled, (video,))
    started = time.process_time()
    method.score(videos)
    return time.process_time() - started


def main() -> int:
    """Print the table; returns an exit status."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    positive = tuple(made(f"p{number}", 50, generator) for number in range(20))
    negative = tuple(made(f"n{number}", 100, generator) for number in range(50))
    videos = [made(f"e{length}", length, generator) for length in (1, *LENGTHS)]
    print("| method | training | " + " | ".join(str(length) for length in LENGTHS) + " |")
    print("|---" * (len(LENGTHS) + 2) + "|")
    for method in METHODS.values():
        seconds(method, (positive, negative), videos[0])  # what is kept for further seeds is made here
        fixed, *of_lengths = (seconds(method, (positive, negative), video) for video in videos)
        cells = [f"{fixed:.2f}", *(f"{max(value - fixed, 0.0):.2f}" for value in of_lengths)]
        print(f"| {method.title} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
