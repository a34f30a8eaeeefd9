"""Where a segment of a reel begins and ends: at a shot change, if one is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from highlight_lit.media.output.segments import Segment, fit_length

NEARBY_S = 0.75  # from an end of a segment to a shot change that it moves to


def at_shots(
    video: Path, segments: Sequence[Segment], end: float, seconds: float, shortest: float = 3.0
) -> list[Segment]:
    """Find the shot changes of a video that ends at `end`, and move the segments' ends to them (`snap_to_shots`)."""
    from highlight_lit.media.io.shots import shot_changes  # which reads the video: PyAV

    ends = [side for segment in segments for side in (segment.start, segment.end)]
    shots = shot_changes(video, ends, NEARBY_S)
    return snap_to_shots(segments, shots, min(seconds, end), shortest, end)


def snap_to_shots(
    segments: Sequence[Segment], shots: Sequence[float], seconds: float, shortest: float, end: float
) -> list[Segment]:
    """Move the segments' ends to shot changes within `NEARBY_S`, and keep their length in all.

    Args:
        segments: In order, apart from each other.
        shots: Seconds at which a new shot starts.
        seconds: Length in all that is to be kept.
        shortest: Least length of a segment in seconds.
        end: The video's, in seconds.
    """
    moved, fixed = list(segments), set[tuple[int, str]]()
    for index in range(len(moved)):
        for side in ("start", "end"):
            now: float = getattr(moved[index], side)
            near = min(shots, key=lambda shot: abs(shot - now), default=None)
            if near is None or abs(near - now) > NEARBY_S:
                continue
            candidate = replace(moved[index], **{side: near})
            low = moved[index - 1].end if index else 0.0
            high = moved[index + 1].start if index + 1 < len(moved) else end
            if (
                candidate.length >= min(shortest, segments[index].length)
                and low <= candidate.start < candidate.end <= high
            ):
                moved[index] = candidate
                fixed.add((index, side))
    return fit_length(moved, seconds, shortest, 0.0, end, fixed)
