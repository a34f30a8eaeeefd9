"""The figure of a scored video: score and loudness over time, the highlights marked."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from highlight_lit.files import atomic_write
from highlight_lit.media.io.bounds import SILENCE_DB
from highlight_lit.media.output.segments import Segment
from highlight_lit.media.output.video_scores import VideoScores
from highlight_lit.text import clock, shown

_TITLE_WIDTH, _TOPIC_WIDTH = 84, 24  # columns
# The page's colours, which hold up for the colour-blind and in grey.
_INK, _QUIET, _CURVE, _MARK, _AUDIO = "#1d2733", "#64748b", "#2563eb", "#f59e0b", "#94a3b8"


def _fitting(text: str, width: int) -> str:
    """The start of a text that takes so many columns, of which wide characters take two.

    >>> _fitting("A walk", 6), _fitting("A long walk", 7), _fitting("長い散歩", 5)
    ('A walk', 'A long…', '長い…')
    """
    columns = np.cumsum([1 + (unicodedata.east_asian_width(c) in "WF") for c in text])
    if len(text) == 0 or columns[-1] <= width:
        return text
    return text[: int(np.searchsorted(columns, width - 1, side="right"))] + "…"


def draw_timeline(path: Path, scores: VideoScores, highlights: Sequence[Segment]) -> None:
    """Write the timeline as a PNG of 1600 by 560 pixels; without a row for the audio's loudness where none is known."""
    with matplotlib.rc_context({"font.size": 10, "text.parse_math": False, "axes.edgecolor": _QUIET}):
        figure = Figure(figsize=(10, 3.5), dpi=160, layout="constrained")
        rows = 2 if scores.loudness.shape[1] else 1
        panels = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=(3, 1)[:rows])[:, 0]
        curve = panels[0]
        at = np.concatenate([scores.span[:1, 0], scores.span.mean(1), scores.span[-1:, 1]])
        score = np.pad(scores.within, 1, mode="edge")
        for number, segment in enumerate(highlights):
            label = "highlight" if number == 0 else None
            for axes in panels:
                axes.axvspan(segment.start, segment.end, color=_MARK, alpha=0.3, linewidth=0, label=label)
        curve.fill_between(at, score, color=_CURVE, alpha=0.12, linewidth=0)
        curve.plot(at, score, color=_CURVE, linewidth=1.6, label="score within the video")
        curve.set(ylim=(0, 1.02), ylabel="score", yticks=(0, 0.5, 1), yticklabels=("lowest", "", "highest"))
        curve.legend(loc="lower right", frameon=False, ncols=2, bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
        if rows == 2:
            loudness = np.append(scores.loudness.ravel(), scores.loudness[-1, -1])
            since = np.linspace(0, len(scores.span), len(loudness))
            panels[1].fill_between(since, SILENCE_DB, loudness, color=_AUDIO, linewidth=0, step="post")
            panels[1].set(ylim=(-60, 0), yticks=(-60, -30, 0), ylabel="audio, dB")
        panels[-1].set(xlim=(0, max(scores.duration, 0.1)))
        panels[-1].xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 3, 6, 10]))
        panels[-1].xaxis.set_major_formatter(FuncFormatter(clock))
        for axes in panels:
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(colors=_QUIET)
            axes.yaxis.label.set_color(_INK)
        named = _fitting(shown(scores.title or scores.video), _TITLE_WIDTH)
        topic = f"   [{_fitting(shown(scores.topic), _TOPIC_WIDTH)}]" if scores.topic else ""
        curve.set_title(named + topic, loc="left", color=_INK, fontsize=11, pad=22)  # above the legend
        with atomic_write(path) as temporary, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # a title in a script that no font here has
            figure.savefig(temporary, format="png")
