"""Choosing what goes into a reel: the seconds with the highest scores, in segments that can be watched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from highlight_lit.errors import InputError

_NEVER = -1e18
MAX_STEPS = 2_000_000_000  # of the dynamic programme: clips x clips chosen x states; some twenty seconds
MAX_CHOICES = 1 << 30  # clips x clips chosen, two bits each: 256 MB
# The weight of logits, which break ties between scores in 0..1: less than a difference one would see.
_TIE = 1e-3


@dataclass(frozen=True)
class Segment:
    """A piece of a video: `start` and `end` in seconds, and the mean score of its clips."""

    start: float
    end: float
    score: float = 0.0

    @property
    def length(self) -> float:
        """Seconds."""
        return self.end - self.start


def best_clips(score: NDArray[np.floating], count: int, shortest: int, gap: int) -> NDArray[np.bool_]:
    """The `count` clips of largest total score, in runs of at least `shortest` with at least `gap` between two.

    An exact dynamic programme over the clips, O(T_n count (shortest + gap)); its choices are kept as two bits a step.

    Args:
        score: (T_n,) of the clips.
        count: How many clips; at most T_n.
        shortest: Clips in a run, at least 1; if `count` is less, one run of `count`.
        gap: Clips between two runs, at least 1: what lies closer is one run.

    Returns:
        (T_n,) True where chosen.

    >>> best_clips(np.array([0.9, 0.1, 0.8, 0.0, 0.0, 0.7]), 3, 1, 2).tolist()
    [True, True, True, False, False, False]
    >>> best_clips(np.array([0.9, 0.1, 0.8, 0.0, 0.0, 0.7]), 3, 1, 1).tolist()
    [True, False, True, False, False, True]
    """
    clips = len(score)
    shortest, gap = max(1, min(shortest, count)), max(1, min(gap, clips))
    # States: first those out of a run, k for k + 1 clips since the last run, the last of them for `gap` clips or more;
    # then those in a run of 1 to `shortest` clips, the last of them for longer runs too.
    states = gap + shortest
    out, inside = gap - 1, states - 1
    best = np.full((states, count + 1), _NEVER)
    best[out, 0] = 0.0
    kept_out, kept_in = np.zeros((2, clips, count // 8 + 1), np.uint8)
    for clip in range(clips):
        after = np.full_like(best, _NEVER)
        after[0] = best[inside]
        after[1:gap] = best[: gap - 1]
        longer = best[out] > after[out] if gap > 1 else best[out] > best[inside]
        kept_out[clip] = np.packbits(longer)
        after[out] = np.where(longer, best[out], after[out])
        after[gap, 1:] = best[out, :-1] + score[clip]
        after[gap + 1 :, 1:] = best[gap : states - 1, :-1] + score[clip]
        stay = np.concatenate([[_NEVER], best[inside, :-1] + score[clip]])
        kept_in[clip] = np.packbits(stay > after[inside])
        after[inside] = np.maximum(stay, after[inside])
        best = after
    ending = [*range(gap), inside]
    return _walk_back(max(ending, key=lambda state: best[state, count]), count, gap, states, kept_out, kept_in)


def _walk_back(
    state: int, count: int, gap: int, states: int, kept_out: NDArray[np.uint8], kept_in: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Follow the choices of the dynamic programme from its end: which clips were inside a run."""
    chosen = np.zeros(len(kept_out), bool)
    for clip in reversed(range(len(kept_out))):
        chosen[clip] = state >= gap
        if state >= gap:
            stays = state == states - 1 and _bit(kept_in[clip], count)
            count -= 1
            if not stays:
                state = gap - 1 if state == gap else state - 1
        elif not (state == gap - 1 and _bit(kept_out[clip], count)):
            state = states - 1 if state == 0 else state - 1
    return chosen


def _bit(packed: NDArray[np.uint8], at: int) -> bool:
    return bool(packed[at >> 3] >> (7 - (at & 7)) & 1)


def choose_segments(
    score: NDArray[np.floating],
    span: NDArray[np.float64],
    seconds: float,
    shortest: float = 3.0,
    gap: float = 2.0,
    logit: NDArray[np.floating] | None = None,
) -> list[Segment]:
    """The best segments of a video, `seconds` in all.

    Args:
        score: (T_n,) of the clips.
        span: (T_n, 2) the clips' seconds, one after the other.
        seconds: Length of all segments together; the whole video if it is not longer.
        shortest: Least length of a segment in seconds.
        gap: Segments closer than this many seconds are one.
        logit: (T_n,) of the clips; decides between those whose scores are the same, as many are near 1.

    Returns:
        In the order of the video, their lengths summing to `seconds` or the video's length.

    Raises:
        InputError: `seconds` is not above 0, `shortest` or `gap` is below 0 or not finite, or the choice would take
            more than `MAX_STEPS` or `MAX_CHOICES`.
    """
    if not (np.isfinite(seconds) and seconds > 0):
        raise InputError(f"--seconds {seconds}: expected a number of seconds above 0")
    for name, value in (("--shortest", shortest), ("--merge", gap)):
        if not 0 <= value < np.inf:
            raise InputError(f"{name} {value}: expected a number of seconds from 0 on")
    total = float(span[-1, 1] - span[0, 0])
    if seconds >= total:
        return [Segment(float(span[0, 0]), float(span[-1, 1]), float(np.mean(score)))]
    clip = float(np.sort(span[:, 1] - span[:, 0])[len(span) // 2])  # seconds of one
    count, least, apart = (
        max(1, int(min(len(score), np.ceil(wanted / clip - 1e-6)))) for wanted in (seconds, shortest, gap)
    )
    if len(score) * count > MAX_CHOICES or len(score) * count * (min(least, count) + apart) > MAX_STEPS:
        raise InputError(
            f"--seconds {seconds:g} --shortest {shortest:g} --merge {gap:g}: too many ways to choose {count} of"
            f" {len(score)} clips; expected fewer seconds or shorter spans (at most {MAX_STEPS:.0e} steps, a bound that cannot be raised)"
        )
    worth = np.asarray(score, np.float64)
    if logit is not None:
        worth = worth + _TIE * logit / max(1e-9, float(np.abs(logit).max()))
    chosen = best_clips(worth, count, least, apart)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    segments = [
        Segment(float(span[first, 0]), float(span[last - 1, 1]), float(np.mean(score[first:last])))
        for first, last in edges.reshape(-1, 2)
    ]
    return fit_length(segments, seconds, shortest, float(span[0, 0]), float(span[-1, 1]), set())


def fit_length(
    segments: Sequence[Segment], seconds: float, shortest: float, begin: float, end: float, fixed: set[tuple[int, str]]
) -> list[Segment]:
    """Shift ends until the segments last `seconds` in all: free ends first, and of these the lowest score's.

    Args:
        segments: In order, apart from each other.
        seconds: Length wanted; at most `end - begin`.
        shortest: Least length of a segment, kept where the segment has it.
        begin, end: Where the video begins and ends.
        fixed: (index, "start" or "end") of ends that lie on a shot change, moved last.
    """
    fitted = list(segments)
    ends = [(index, side) for index in range(len(fitted)) for side in ("end", "start")]
    ends.sort(key=lambda at: (at in fixed, fitted[at[0]].score))
    for least in (shortest, 0.0):
        for index, side in ends:
            excess = sum(segment.length for segment in fitted) - seconds
            if abs(excess) <= len(fitted) * math.ulp(end):  # what adding up rounds off
                return fitted
            segment = fitted[index]
            low = fitted[index - 1].end if index else begin
            high = fitted[index + 1].start if index + 1 < len(fitted) else end
            if excess > 0:
                step = -min(excess, max(0.0, segment.length - max(least, 1e-3)))
            else:
                step = min(-excess, high - segment.end if side == "end" else segment.start - low)
            if side == "end":
                fitted[index] = replace(segment, end=segment.end + step)
            else:
                fitted[index] = replace(segment, start=segment.start - step)
    return fitted
