"""The resident store: the training videos' rows in the device's memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from highlight_lit.data.batch import Bags, make_bags
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.sampling import Draw
from highlight_lit.data.stores.reading import Readers, whole_videos


class ResidentStore:
    """The packed rows of some videos, on the device once: a batch is a gather there, no copy a step.

    Args:
        corpus: Where the rows are read from.
        videos: Indices of the videos to hold.
        streams: Names of the streams to hold.
        readers: Threads that read.

    Raises:
        InputError: A shard is damaged, or a value is NaN or infinite.
    """

    def __init__(self, corpus: Corpus, videos: NDArray[np.intp], streams: Sequence[str], readers: int = 1) -> None:
        self.videos, self.clips = videos, corpus.clips[videos]
        self.first = np.cumsum(self.clips) - self.clips  # where each video held starts in `rows`
        with Readers(readers) as threads:
            rows = whole_videos(corpus, videos, streams, threads)
        self.rows = {name: torch.from_numpy(part) for name, part in rows.items()}
        self.device = torch.device("cpu")
        self._order = np.argsort(self.videos)

    def to(self, device: torch.device) -> ResidentStore:
        """Move the rows to a device, in the type they are stored in."""
        self.rows, self.device = {name: rows.to(device) for name, rows in self.rows.items()}, device
        return self

    def batches(self, draws: Iterator[Draw], tau: int) -> Iterator[Bags]:
        """The bags of each draw, in order."""
        return (self.bags(draw, tau) for draw in draws)

    def bags(self, draw: Draw, tau: int) -> Bags:
        """Gather the bags of a batch; its first bags are labelled positive."""
        at = self._order[np.searchsorted(self.videos, draw.video, sorter=self._order)]
        clips = np.minimum(self.clips[at] - draw.start, tau)
        first, length = torch.from_numpy(np.stack([self.first[at] + draw.start, clips])).to(
            self.device, non_blocking=True
        )
        step = torch.arange(tau, device=self.device)
        index = first.unsqueeze(1) + step * (step < length.unsqueeze(1))
        rows = {
            name: rows.index_select(0, index.view(-1)).view(*index.shape, *rows.shape[1:])
            for name, rows in self.rows.items()
        }
        return make_bags(rows, length, positive=draw.positive)
