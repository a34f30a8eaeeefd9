"""Means and deviations of a stream over the training clips, the same to the bit for any store, and their scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.corpus import Corpus

STATISTICS_CLIPS = 1 << 20  # no more clips than about these are looked at for means and deviations
SCALES = ("dimension", "stream")  # what features are divided by before they enter a network
_BLOCK = 4096


def statistics(corpus: Corpus, videos: NDArray[np.intp], name: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a stream's dimensions over the clips of some videos, (D,) each, in float32.

    Clips without audio count for nothing in `audio`. Of a large corpus evenly spaced videos are looked at.

    Raises:
        InputError: A shard is damaged, or a value is NaN or infinite.
    """
    total = int(corpus.clips[videos].sum())
    return _moments(_clips(corpus, int(video), name) for video in videos[:: -(-total // STATISTICS_CLIPS)])


def scaled(std: Tensor, scale: str) -> Tensor:
    """Deviations of a stream's dimensions, (D,), as one of `SCALES` has them.

    `dimension` leaves them as they are. `stream` gives each the root of their mean square: the dimensions of a PCA lie in one
    space, and divided by their own deviations the last ones, which are noise, would count as the first.
    """
    if scale == "dimension":
        return std
    return std.double().square().mean().sqrt().to(std).expand_as(std).clone()


def _clips(corpus: Corpus, video: int, name: str) -> tuple[Tensor, Tensor]:
    """Rows of a video, (T, D), and which of them count, (T,)."""
    rows = torch.from_numpy(corpus.rows(video, name))
    if name != "audio":
        return rows, torch.ones(len(rows), dtype=torch.bool)
    return rows, torch.from_numpy(corpus.rows(video, "audio_mask").astype(bool))


def _moments(parts: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (D,) each, of rows (T, D) where a mask (T,) is True, in float32.

    The rows are added up in blocks of `_BLOCK`, whatever parts they come in, so that the result is the same to the bit.
    """
    count, rows_waiting = 0, 0
    sums: Tensor | None = None
    waiting: list[tuple[Tensor, Tensor]] = []
    wide = torch.empty(0, dtype=torch.float64)  # one for all: each of its own would be most of the memory

    def add() -> None:
        nonlocal count, sums
        rows, kept = (torch.cat(side).cpu() for side in zip(*waiting, strict=True))
        for first in range(0, len(rows), _BLOCK):
            counted = rows[first : first + _BLOCK][kept[first : first + _BLOCK]]
            block = wide.resize_(counted.shape).copy_(counted)
            both = torch.stack([block.sum(0), block.square_().sum(0)])
            sums, count = both if sums is None else sums + both, count + len(block)

    for part in parts:
        waiting.append(part)
        rows_waiting += len(part[1])
        if rows_waiting >= _BLOCK:
            whole = rows_waiting // _BLOCK * _BLOCK
            over = rows_waiting - whole
            waiting[-1] = _cut(part, slice(0, len(part[1]) - over))
            add()
            waiting, rows_waiting = [_cut(part, slice(len(part[1]) - over, None))], over
    if rows_waiting:
        add()
    assert sums is not None
    mean, square = sums / max(count, 1)
    return mean.float(), (square - mean.square()).clamp_min(0).sqrt().float()


def _cut(part: tuple[Tensor, Tensor], rows: slice) -> tuple[Tensor, Tensor]:
    return part[0][rows], part[1][rows]
