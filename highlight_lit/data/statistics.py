"""Means and deviations of a stream over the training clips, the same to the bit for any store, and their scale."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.stores.reading import Readers, in_parts, whole_videos

STATISTICS_CLIPS = 1 << 20  # no more clips than about these are looked at for means and deviations
SCALES = ("dimension", "stream")  # what features are divided by before they enter a network
_BLOCK = 4096  # rows
_COLUMNS = 512  # a multiple of what one instruction adds up: a column's sum has the order that it has in a whole row


def statistics(corpus: Corpus, videos: NDArray[np.intp], name: str, readers: int = 1) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a stream's dimensions over the clips of some videos, (D,) each, in float32.

    Clips without audio count for nothing in `audio`. Of a large corpus evenly spaced videos are looked at.

    Args:
        corpus: Where the rows are read from.
        videos: Indices of the videos.
        name: Of the stream.
        readers: Threads that read.

    Raises:
        InputError: A shard is damaged, a value is NaN or infinite, or a read has hung.
    """
    total = int(corpus.clips[videos].sum())
    with Readers(readers) as threads:
        return _moments(_clips(corpus, videos[:: -(-total // STATISTICS_CLIPS)], name, threads))


def scaled(std: Tensor, scale: str) -> Tensor:
    """Deviations of a stream's dimensions, (D,), as one of `SCALES` has them.

    `dimension` leaves them as they are. `stream` gives each the root of their mean square: the dimensions of a PCA lie in one
    space, and divided by their own deviations the last ones, which are noise, would count as the first.
    """
    if scale == "dimension":
        return std
    return std.double().square().mean().sqrt().to(std).expand_as(std).clone()


def _clips(corpus: Corpus, videos: NDArray[np.intp], name: str, threads: Readers) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of some videos at a time, (R, D), and which of them count, (R,)."""
    for some in in_parts(corpus, videos):
        rows = whole_videos(corpus, some, [name], threads)
        mask = rows["audio_mask"].astype(bool) if name == "audio" else np.ones(len(rows[name]), bool)
        yield torch.from_numpy(rows[name]), torch.from_numpy(mask)


def _moments(parts: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (D,) each, of rows (T_n, D) where a mask (T_n,) is True, in float32.

    The rows are added up in blocks of `_BLOCK`, whatever parts they come in, so that the result is the same to the bit.
    Beyond one part, a block as it is stored and `_COLUMNS` of it as float64 are all that is in memory.
    """
    count, seen, held = 0, 0, 0  # rows that were added up; of the block, those that came, and those of them that count
    sums: Tensor | None = None
    block = torch.empty(0)
    wide = torch.empty(0, dtype=torch.float64)  # one for all: each of its own would be most of the memory

    def add() -> None:
        nonlocal count, sums, seen, held
        width = block.shape[1]
        both = torch.empty(2, width, dtype=torch.float64)
        # The last column is never alone: the order of its sum would be another.
        for first, end in pairwise([*range(0, max(1, width - 1), _COLUMNS), width]):
            columns = block[:held, first:end]
            some = wide.resize_(columns.shape).copy_(columns)
            both[0, first:end] = some.sum(0)
            both[1, first:end] = some.square_().sum(0)
        sums, count = both if sums is None else sums + both, count + held
        seen = held = 0

    for rows, mask in parts:
        if block.shape[0] == 0:
            block = rows.new_empty(_BLOCK, rows.shape[1])  # its pages are taken as they are written to
        first = 0
        while first < len(rows):
            stop = min(len(rows), first + _BLOCK - seen)
            kept = mask[first:stop]
            some = rows[first:stop] if kept.all() else rows[first:stop][kept]
            block[held : held + len(some)] = some
            seen, held, first = seen + stop - first, held + len(some), stop
            if seen == _BLOCK:
                add()
    if seen:
        add()
    assert sums is not None
    mean, square = sums / max(count, 1)
    return mean.float(), (square - mean.square()).clamp_min(0).sqrt().float()
