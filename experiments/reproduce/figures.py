"""Figures: every axis named with its unit, readable in grey and by the colour-blind (Okabe and Ito's colours)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from highlight_lit.files import atomic_write
from highlight_lit.text import shown

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import LogNorm

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
    "svg.fonttype": "none",
}
NAMED = {**STYLE, "text.parse_math": False}  # names of corpora, topics, videos, systems and measures are text
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, SKY, GREY)
MARKS = ("o", "s", "^", "D", "v", "x")


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
    ylabel: str = "score p",
) -> None:
    """Curves of clip scores over a video's true highlights (figure 3 of the supplement).

    Args:
        path: The file to write; its suffix names the format.
        title: What video and topic it is.
        curves: For each system its name, the clips' span (T_n, 2) in seconds and their scores p (T_n,) in [0, 1].
        highlights: (H, 2) spans of the true highlights in seconds.
        ylabel: What the scores are.
    """
    with plt.rc_context(NAMED):
        figure, axes = plt.subplots(figsize=(7, 2.4))
        for number, (start, end) in enumerate(highlights):
            axes.axvspan(start, end, color=ORANGE, alpha=0.25, lw=0, label="true highlight" if number == 0 else None)
        for (name, span, p), colour, dash in zip(curves, (BLUE, GREEN, GREY), ("-", "--", ":"), strict=False):
            axes.step(np.append(span[:, 0], span[-1, 1]), np.append(p, p[-1]), dash, where="post", color=colour,
                      lw=1.6 if dash == "-" else 1.1, label=shown(name))  # fmt: skip
        axes.set(xlabel="time in the video (s)", ylabel=shown(ylabel), ylim=(0, 1.02))
        axes.set_title(shown(title))
        axes.set_xlim(0, max(span[-1, 1] for _, span, _ in curves))
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        save(figure, path)


@dataclass(frozen=True)
class Curve:
    """What one corpus gives along an axis: mean and bounds in percent at each x, and its levels."""

    name: str
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    chance: float


def rank_curves(path: Path, curves: Sequence[Curve], xlabel: str, ylabels: Sequence[str]) -> None:
    """A panel a corpus: mean over seeds against R with its 95 % interval, and chance (figure 1 of the supplement)."""
    with _panels(path, len(curves), (3.8 * len(curves), 2.8)) as panels:
        for axes, curve, ylabel in zip(panels, curves, ylabels, strict=True):
            axes.fill_between(
                curve.x, curve.low, curve.high, color=BLUE, alpha=0.2, lw=0, label="95 % interval over seeds"
            )
            axes.plot(curve.x, curve.mean, "o-", color=BLUE, ms=4, label="mean over seeds")
            axes.axhline(curve.chance, color=GREY, ls=":", lw=1.2, label="chance")
            axes.set_xscale("log", base=2)
            axes.set_xticks(curve.x, [f"{x:g}" for x in curve.x])
            axes.minorticks_off()
            bottom, top = axes.get_ylim()
            axes.set(xlabel=xlabel, ylabel=shown(ylabel), ylim=(max(bottom, 0), min(top, 100)))
            axes.set_title(fill(shown(curve.name), 36))


@contextmanager
def _panels(path: Path, count: int, size: tuple[float, float]) -> Iterator[Sequence[Any]]:
    """Axes side by side to draw on, in a figure that is then written, its legend beside the last of them."""
    with plt.rc_context(NAMED):
        figure, panels = plt.subplots(1, count, figsize=size, squeeze=False)
        yield panels[0]
        panels[0][-1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        figure.tight_layout()
        save(figure, path)


@dataclass(frozen=True)
class Ways:
    """What one corpus gives: by series and way its mean and 95 % bounds, and levels by name; all in percent."""

    name: str
    ways: Sequence[str]
    series: Mapping[str, Sequence[tuple[float, float, float] | None]]
    levels: Mapping[str, float]


def ways_of_reading(path: Path, panels_of: Sequence[Ways], xlabel: str, ylabels: Sequence[str]) -> None:
    """A panel a corpus: each series' mean with its interval over the ways, and levels as lines across."""
    with _panels(path, len(panels_of), (4.2 * len(panels_of) + 3.2, 3)) as panels:
        for axes, ways, ylabel in zip(panels, panels_of, ylabels, strict=True):
            for number, (name, points) in enumerate(ways.series.items()):
                at = np.arange(len(ways.ways)) + 0.14 * (number - (len(ways.series) - 1) / 2)
                there = [(x, point) for x, point in zip(at, points, strict=True) if point is not None]
                mean, low, high = np.array([point for _, point in there]).reshape(-1, 3).T
                axes.errorbar([x for x, _ in there], mean, [mean - low, high - mean], fmt=MARKS[number % len(MARKS)],
                              color=CYCLE[number % len(CYCLE)], ms=4, lw=1.2, capsize=2, label=shown(name))  # fmt: skip
            for (name, level), dash in zip(ways.levels.items(), ("-", "--", ":"), strict=False):
                axes.axhline(level, color=GREY, ls=dash, lw=1.2, label=shown(name))
            axes.set_xticks(range(len(ways.ways)), map(shown, ways.ways))
            axes.set(xlabel=xlabel, ylabel=shown(ylabel))
            axes.set_title(fill(shown(ways.name), 44))


def planted_rank(path: Path, fits: Sequence[dict[str, float]], planted: int) -> None:
    """What fits of each rank leave of a core whose slices have the planted rank."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(3.6, 2.4))
        axes.semilogy([fit["R"] for fit in fits], [100 * fit["left"] for fit in fits], "o-", color=BLUE, ms=4)
        axes.set_xticks([fit["R"] for fit in fits])
        axes.axvline(planted, color=ORANGE, ls="--", lw=1.2, label="planted rank")
        axes.set(xlabel="rank R of the fitted fusion", ylabel="variance left (%)")
        axes.legend()
        save(figure, path)


def gradient_surfaces(path: Path) -> None:
    """Noisy-or and product of odds over the unit square, and what reaches a clip of a long bag (figure 2)."""
    from ..analyses import gradients  # which needs PyTorch, as no other figure does

    p = (np.arange(200) + 0.5) / 200
    p_1, p_2 = np.meshgrid(p, p)
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 3, figsize=(12.5, 3.1), width_ratios=(1, 1, 1.1), layout="constrained")
        surfaces = (("noisy-or", gradients.noisy_or), ("product of odds (the paper's)", gradients.product_of_odds))
        for axes, (name, surface) in zip(panels, surfaces, strict=False):
            size = np.abs(surface(p_1, p_2)).clip(1e-3, 1e3)
            image = axes.imshow(size, origin="lower", extent=(0, 1, 0, 1), cmap="cividis", norm=LogNorm(1e-3, 1e3))
            levels = axes.contour(p_1, p_2, size, [0.1, 1, 10], colors="white", linewidths=0.7)
            axes.clabel(levels, fmt="%g", fontsize=7)
            axes.set(xlabel="score $p_1$", ylabel="score $p_2$", title=name)
        figure.colorbar(image, ax=list(panels[:2]), label="$|dL/dp_1|$, positive bag of two clips", shrink=0.9)
        curves = gradients.in_long_bag(p).items()
        for (name, gradient), colour, dash in zip(curves, CYCLE, ("-", "--", ":"), strict=False):
            panels[2].semilogy(p, np.maximum(gradients.CLIPS * gradient, 1e-12), dash, color=colour, lw=1.6, label=name)
        panels[2].set(xlabel="score p of every clip", ylabel="$60\\,|dL/dz_1|$", ylim=(1e-12, 100),
                      title="a positive bag of 60 clips")  # fmt: skip
        panels[2].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
        figure.get_layout_engine().set(wspace=0.06)
        save(figure, path)


def cost_curves(path: Path, cost: dict[str, Any]) -> None:
    """Operations, memory and time of both fusions over d, and of the low-rank one over R, on logarithmic axes."""
    labels = {
        "operations": "multiply-adds",
        "memory": "bytes kept for backward",
        "seconds": "seconds, forward and back",
    }
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(2, 3, figsize=(10, 5.2))
        for column, (quantity, label) in enumerate(labels.items()):
            for rows, name, colour, mark in (
                (cost["full"], "full core", ORANGE, "s--"),
                (cost["low_rank"], "low rank, R = 8", BLUE, "o-"),
            ):
                panels[0][column].loglog([row["d"] for row in rows], [row[quantity] for row in rows], mark, color=colour,
                                         ms=4, label=name, base=2)  # fmt: skip
            ranks = cost["ranks"]
            panels[1][column].loglog([row["R"] for row in ranks], [row[quantity] for row in ranks], "o-", color=BLUE,
                                     ms=4, label="low rank, d = 128", base=2)  # fmt: skip
            full = cost["full"][-1][quantity]
            panels[1][column].axhline(full, color=ORANGE, ls="--", lw=1.2, label="full core, d = 128")
            for row, (key, xlabel) in enumerate((("d", "width d"), ("R", "rank R"))):
                axes = panels[row][column]
                x = [measurement[key] for measurement in (cost["low_rank"] if key == "d" else ranks)]
                axes.set_xticks(x, [str(value) for value in x])
                axes.set_yscale("log", base=10)
                axes.minorticks_off()
                axes.set(xlabel=xlabel, ylabel=label)
        panels[0][0].legend()
        panels[1][0].legend()
        figure.suptitle(f"{cost['clips']} clips, one thread", x=0.02, ha="left", fontsize=9)
        figure.tight_layout()
        save(figure, path)
