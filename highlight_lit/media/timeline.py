"""The picture of a scored video: score and loudness over time, the highlights marked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from highlight_lit.files import atomic_write
from highlight_lit.media.features import SILENCE_DB
from highlight_lit.media.scoring import VideoScores
from highlight_lit.media.segments import Segment

# The page's colours, which hold up for the colour-blind and in grey.
_INK, _QUIET, _CURVE, _MARK, _SOUND = "#1d2733", "#64748b", "#2563eb", "#f59e0b", "#94a3b8"


def clock(seconds: float, _: object = None) -> str:
    """Minutes and seconds, and hours where there are any.

    >>> clock(75.0), clock(3700.0)
    ('1:15', '1:01:40')
    """
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def draw_timeline(path: Path, scores: VideoScores, highlights: Sequence[Segment]) -> None:
    """Write the timeline as a PNG of 1600 by 560 pixels."""
    with matplotlib.rc_context({"font.size": 10, "text.parse_math": False, "axes.edgecolor": _QUIET}):
        figure = Figure(figsize=(10, 3.5), dpi=160, layout="constrained")
        curve, sound = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        at = np.concatenate([scores.span[:1, 0], scores.span.mean(1), scores.span[-1:, 1]])
        score = np.pad(scores.score, 1, mode="edge")
        for number, each in enumerate(highlights):
            label = "highlight" if number == 0 else None
            curve.axvspan(each.start, each.end, color=_MARK, alpha=0.3, linewidth=0, label=label)
            sound.axvspan(each.start, each.end, color=_MARK, alpha=0.3, linewidth=0)
        curve.fill_between(at, score, color=_CURVE, alpha=0.12, linewidth=0)
        curve.plot(at, score, color=_CURVE, linewidth=1.6, label="score")
        curve.set(ylim=(0, 1.02), ylabel="score")
        curve.legend(loc="upper right", frameon=False, ncols=2, bbox_to_anchor=(1.0, 1.16), borderaxespad=0)
        level = scores.level.ravel()
        since = np.linspace(0, len(scores.span), len(level), endpoint=False)
        sound.fill_between(since, SILENCE_DB, level, color=_SOUND, linewidth=0, step="post")
        sound.set(ylim=(-60, 0), yticks=(-60, -30, 0), ylabel="sound, dB", xlim=(0, max(scores.duration, 0.1)))
        sound.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 3, 6, 10]))
        sound.xaxis.set_major_formatter(FuncFormatter(clock))
        for axes in (curve, sound):
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(colors=_QUIET)
            axes.yaxis.label.set_color(_INK)
        title = scores.title or scores.video
        shown = title if len(title) < 70 else title[:68] + "…"
        curve.set_title(f"{shown}   [{scores.topic}]" if scores.topic else shown, loc="left", color=_INK, fontsize=11)
        with atomic_write(path) as temporary, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # a title in a script that no font here has
            figure.savefig(temporary, format="png")
