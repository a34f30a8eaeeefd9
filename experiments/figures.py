"""Figures: every axis named with its unit, readable in grey and by the colour-blind (Okabe and Ito's colours)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from highlight_lit.files import atomic_write

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLUE, ORANGE, GREEN, GREY, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#666666", "#CC79A7", "#56B4E9"
STYLE = {
    "figure.dpi": 150,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.hashsalt": "highlight-lit",
}


def save(figure: Any, path: Path) -> None:
    """Write a figure, atomically and without the time of day in it, and close it."""
    kind = path.suffix.removeprefix(".")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=kind, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)


def score_curves(
    path: Path,
    title: str,
    curves: Sequence[tuple[str, NDArray[np.float64], NDArray[np.float64]]],
    highlights: NDArray[np.float64],
) -> None:
    """Curves of clip scores over a video's true highlights (figure 3 of the supplement).

    Args:
        path: The picture to write; its suffix names the format.
        title: What video and topic it is.
        curves: For each system its name, the clips' span (T, 2) in seconds and their scores p (T,) in [0, 1].
        highlights: (H, 2) spans of the true highlights in seconds.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7, 2.4))
        for number, (start, end) in enumerate(highlights):
            axes.axvspan(start, end, color=ORANGE, alpha=0.25, lw=0, label="true highlight" if number == 0 else None)
        for (name, span, p), colour, dash in zip(curves, (BLUE, GREEN, GREY), ("-", "--", ":"), strict=False):
            axes.step(np.append(span[:, 0], span[-1, 1]), np.append(p, p[-1]), dash, where="post", color=colour,
                      lw=1.6 if dash == "-" else 1.1, label=name)  # fmt: skip
        axes.set(xlabel="time in the video (s)", ylabel="score p", ylim=(0, 1.02), title=title)
        axes.set_xlim(0, max(span[-1, 1] for _, span, _ in curves))
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        save(figure, path)
