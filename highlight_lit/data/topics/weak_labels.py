"""Who is positive and who negative for a topic: pure functions of tags and durations, never of clip labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

LIMIT_SECONDS = 60.0

Rule = Callable[[NDArray[np.bool_], NDArray[np.float64]], NDArray[np.int8]]


def duration_rule(tagged: NDArray[np.bool_], duration: NDArray[np.float64]) -> NDArray[np.int8]:
    """Positive: tagged and shorter than 60 s. Negative: longer than 60 s and not tagged (supplement, section 1).

    Short videos are edited: what is left in them is mostly highlight.

    Args:
        tagged: (N,) whether each video carries the topic's tag.
        duration: (N,) seconds.

    Returns:
        (N,) 1 for positives, -1 for negatives, 0 for videos the rule says nothing of.

    >>> duration_rule(np.array([True, True, False, False]), np.array([30.0, 90.0, 30.0, 90.0])).tolist()
    [1, 0, 0, -1]
    """
    return np.where(tagged, duration < LIMIT_SECONDS, -1 * (duration > LIMIT_SECONDS)).astype(np.int8)


def tag_rule(tagged: NDArray[np.bool_], duration: NDArray[np.float64]) -> NDArray[np.int8]:
    """Positive: tagged. Negative: not tagged. For corpora, such as TVSum, whose videos all last over 60 s.

    Arguments and result as `duration_rule`; the durations are not looked at.
    """
    return np.where(tagged, 1, -1).astype(np.int8)


RULES: dict[str, Rule] = {"duration": duration_rule, "tag": tag_rule}


def training_set(split: NDArray[np.str_], name: str) -> NDArray[np.bool_]:
    """Which videos may be trained on, (N,).

    Args:
        split: (N,) the list each video is on, "" for none.
        name: `lists`, the videos on the training list (all of them in a corpus without lists), or `transductive`,
            every video with its tag and duration, those evaluated on included; their labels are never read.
    """
    if name == "transductive" or not (split != "").any():
        return np.ones(len(split), dtype=bool)
    return np.asarray(split == "train")


def evaluation_set(split: NDArray[np.str_], name: str = "all") -> NDArray[np.bool_]:
    """Which videos may be evaluated on, (N,).

    Args:
        split: (N,) the list each video is on, "" for none.
        name: The list `test` or `val`, or `all` of both. Where one of the two is there, it is that one; without lists
            all videos are meant.
    """
    there = [each for each in ("val", "test") if (split == each).any()]
    return np.isin(split, [name] if name in there else there) if there else np.ones(len(split), dtype=bool)
