"""TVSum's labels as text: `ydata-tvsum50-anno.tsv`, a line an annotator: video, category, and a score of every frame.

It says no lengths in seconds. The frame rate shows in the scores: they change where a shot of 2 s ends, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.common.values import safe_id, text
from highlight_lit.errors import InputError
from highlight_lit.files import read_text

SHOT_SECONDS = 2.0
MAX_SCORES = 1 << 23  # of a video: twenty annotators' of four hours of frames
MAX_FRAMES = 1 << 20  # of a line, nearly ten hours at 30 a second: parted, each score takes 50 bytes and more
WHAT = "TVSum's annotations, a video, its category and scores parted by commas in each line"
RATES = tuple(sorted((15.0, 24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0)))
ANY_RATE = np.arange(10.0, 65.0, 0.001)
TOLERATED_FRAMES = 2.0  # between a shot's end and where the scores change


class Annotated(NamedTuple):
    """A video: `score` (frames, A)."""

    id: str
    category: str
    score: NDArray[np.float64]


def read_tsv(path: Path) -> Iterator[Annotated]:
    """The videos, in the order in which they come.

    Raises:
        InputError: A line that is no such line, or a video whose lines disagree in category or length.
    """
    rows: dict[str, list[NDArray[np.float64]]] = {}
    categories: dict[str, str] = {}
    for number, line in enumerate(read_text(path, WHAT).splitlines(), start=1):
        if not line.strip():
            continue
        where, fields = f"{path}: line {number}", line.rstrip("\r\n").split("\t")
        if len(fields) != 3:
            raise InputError(f"{where}: {len(fields)} fields parted by tabs, expected 3: {WHAT}")
        name = safe_id(fields[0], where)
        of_video = rows.setdefault(name, [])
        frames = fields[2].count(",") + 1
        if frames > MAX_FRAMES:
            raise InputError(f"{where}: video {name!r}: over {MAX_FRAMES} frames, the most that are read of one video")
        if frames * (len(of_video) + 1) > MAX_SCORES:
            raise InputError(f"{where}: video {name!r}: over {MAX_SCORES} scores; expected those of one video's frames")
        try:
            plain = fields[2].isascii() and "_" not in fields[2]  # else numpy, as Python, takes 1_0 as 10
            scores = np.array(fields[2].split(",") if plain else [np.nan], np.float64)
        except ValueError:
            scores = np.full(1, np.nan)
        if not np.isfinite(scores).all():
            raise InputError(f"{where}: video {name!r}: expected finite numbers parted by commas")
        if categories.setdefault(name, fields[1]) != fields[1]:
            raise InputError(f"{where}: video {name!r}: category {fields[1]!r}, {categories[name]!r} in a line before")
        if of_video and len(scores) != len(of_video[0]):
            raise InputError(f"{where}: video {name!r}: {len(scores)} frames, {len(of_video[0])} in a line before")
        of_video.append(scores)
    if not rows:
        raise InputError(f"{path}: no line; expected {WHAT}")
    first, annotators = next((name, len(scores_of_video)) for name, scores_of_video in rows.items())
    for name, columns in rows.items():
        if len(columns) != annotators:
            raise InputError(
                f"{path}: video {name!r}: {len(columns)} annotators, expected {annotators} as of video {first!r}"
            )
    for name, columns in rows.items():
        yield Annotated(name, text(categories[name]), np.stack(columns, axis=1))


def rate_of_scores(score: NDArray[np.float64]) -> float | None:
    """Frames a second, from where (frames, A) scores change; None where no rate fits. The common rates are tried first."""
    changes = 1 + np.flatnonzero((np.diff(score, axis=0) != 0).any(axis=1))
    if len(changes) == 0:
        return 30.0 if len(score) < SHOT_SECONDS * 30.0 * 2 else None
    for rates in (np.array(RATES), ANY_RATE):
        fitting, worst = rates, np.zeros(len(rates))
        for change in changes:
            shots = change / (SHOT_SECONDS * fitting)
            # A change belongs to the next frame after the shot's end.
            worst = np.maximum(worst, np.abs(shots - np.rint(shots)) * SHOT_SECONDS * fitting)
            left = worst <= TOLERATED_FRAMES
            fitting, worst = fitting[left], worst[left]
            if not len(fitting):
                break
        # A half of a rate that fits would do too, so the highest ones count, and of these the best.
        if len(fitting):
            close = fitting > 0.75 * fitting.max()
            return float(fitting[close][np.argmin(worst[close])])
    return None
