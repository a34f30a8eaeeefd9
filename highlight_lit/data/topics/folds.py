"""Cross-fitting: a topic's videos in folds, each trained without and evaluated on once."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError

MAX_FOLDS = 1000


def parse_fold(fold: str) -> tuple[int, int]:
    """Number and count of a fold written as K/n, 1 <= K <= n.

    Raises:
        InputError: It is written otherwise, or n is not from 2 to `MAX_FOLDS`.

    >>> parse_fold("2/3")
    (2, 3)
    """
    match = re.fullmatch("([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", str(fold))
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (2 <= count <= MAX_FOLDS and 1 <= number <= count):
        raise InputError(f"data.fold={fold}: expected K/n with 1 <= K <= n and n from 2 to {MAX_FOLDS}, such as 1/3")
    return number, count


def is_fold(value: object) -> bool:
    """Whether `parse_fold` takes it."""
    try:
        parse_fold(str(value))
    except InputError:
        return False
    return isinstance(value, str)


def folds(ids: Sequence[bytes], count: int) -> NDArray[np.intp]:
    """Fold of each of a topic's videos, from 1 to `count`: dealt out in the order of the SHA-256 of their ids.

    A fold depends on nothing but which videos carry the tag. Folds differ in size by one video at most.
    """
    order = sorted(range(len(ids)), key=lambda i: hashlib.sha256(ids[i]).digest())
    dealt = np.empty(len(ids), np.intp)
    dealt[order] = np.arange(len(ids)) % count + 1
    return dealt


def cross_fitted(corpus: Corpus, topic: str, fold: str) -> Corpus:
    """The corpus with lists of its own: the topic's videos of one fold to test on, every other video to train on.

    The corpus' lists are not read, nor is any label.

    Args:
        corpus: The corpus.
        topic: One of its topics.
        fold: K/n.

    Raises:
        InputError: Another form of fold, an unknown topic, or fewer tagged videos than folds.
    """
    number, count = parse_fold(fold)
    tagged = np.flatnonzero(corpus.tagged(topic))
    if len(tagged) < count:
        raise InputError(
            f"data.fold={fold}: topic={topic}: {len(tagged)} videos in {corpus.root}; expected one a fold or more"
        )
    lists = np.full(len(corpus), "train", corpus.split.dtype)
    lists[tagged[folds([bytes(corpus.ids[video]) for video in tagged], count) == number]] = "test"
    view = copy.copy(corpus)
    view.split = lists
    return view
