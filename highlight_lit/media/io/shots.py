"""Where a new shot starts, to the frame, in the parts of a video where it matters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from highlight_lit.media.io.clips import rgb
from highlight_lit.media.io.decode import Source

_SIZE = 24
# Mean difference of two frames in 0..1 at a cut; a fast pan of small frames stays below.
_CUT = 0.12
_WAIT = 0.1


def shot_changes(path: Path, around: Sequence[float], reach: float) -> list[float]:
    """Seconds at which a new shot starts, within `reach` seconds of any of the times `around`.

    A frame starts a shot if it differs from the one before it, and what is shown a tenth of a second after still
    differs from what was shown a tenth of a second before: a flash does not.

    Raises:
        InputError: The video cannot be read.
    """
    changes: set[float] = set()
    with Source(path) as source:
        for window_start, window_end in _windows(around, reach):
            changes.update(_in_window(source, window_start, window_end))
    return sorted(changes)


def _windows(around: Sequence[float], reach: float) -> list[tuple[float, float]]:
    """Times to look at, joined where they touch."""
    windows: list[tuple[float, float]] = []
    for time in sorted(around):
        start, end = max(0.0, time - reach), time + reach
        if windows and start <= windows[-1][1] + 2 * _WAIT:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows


def _in_window(source: Source, start: float, end: float) -> list[float]:
    frames: list[tuple[float, NDArray[np.float32]]] = []
    reformatter = VideoReformatter()
    for piece in source.pieces_from(max(0.0, start - 2 * _WAIT)):
        if not isinstance(piece.frame, av.VideoFrame) or piece.start < start - 2 * _WAIT:
            continue
        if piece.start > end + 2 * _WAIT:
            break
        small = rgb(reformatter, piece.frame, _SIZE, _SIZE)
        frames.append((piece.start, small.astype(np.float32) / np.float32(255)))
    return [time for at, (time, _) in enumerate(frames) if at and start <= time <= end and _is_cut(frames, at)]


def _is_cut(frames: list[tuple[float, NDArray[np.float32]]], at: int) -> bool:
    time = frames[at][0]
    before = next((p for t, p in reversed(frames[:at]) if t <= time - _WAIT), frames[0][1])
    after = next((p for t, p in frames[at:] if t >= time + _WAIT), frames[-1][1])
    jump = np.abs(frames[at][1] - frames[at - 1][1]).mean()
    lasting = np.abs(after - before).mean()
    return bool(jump > _CUT and lasting > _CUT)
