"""The resident store: the training videos' rows in the device's memory; and a whole video as one bag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.batches import Bags, Draw
from highlight_lit.data.corpus import Corpus, refuse_not_finite
from highlight_lit.data.moments import moments, sampled
from highlight_lit.data.rows import CorpusRows, Part


class ResidentStore:
    """The packed rows of some videos, on the device once: a batch is a gather there, no copy a step.

    Args:
        corpus: Where the rows are read from.
        videos: Indices of the videos to hold.
        streams: Names of the streams to hold.

    Raises:
        InputError: A shard is damaged.
    """

    def __init__(self, corpus: Corpus, videos: NDArray[np.intp], streams: Sequence[str]) -> None:
        self.videos, self.clips = videos, corpus.clips[videos]
        self.first = np.cumsum(self.clips) - self.clips  # where each video held starts in `rows`
        self.rows, self.heard = _packed(corpus, videos, streams)
        self._order = np.argsort(videos)

    def to(self, device: torch.device) -> ResidentStore:
        """Move the rows to a device, in the type they are stored in."""
        self.rows = {name: rows.to(device) for name, rows in self.rows.items()}
        self.heard = self.heard.to(device)
        return self

    def batches(self, draws: Iterator[Draw], tau: int) -> Iterator[Bags]:
        """The bags of each draw, in order."""
        return (self.bags(draw, tau) for draw in draws)

    def bags(self, draw: Draw, tau: int) -> Bags:
        """Gather the bags of a batch; its first half is labelled positive."""
        device = self.heard.device
        at = self._at(draw.video)
        window = np.stack([self.first[at] + draw.start, self.clips[at] - draw.start])
        first, clips = torch.from_numpy(window).to(device, non_blocking=True).unsqueeze(2)
        step = torch.arange(tau, device=device)
        mask = step < clips
        index = first + step * mask
        rows = {name: rows.index_select(0, index.view(-1)).view(*index.shape, -1) for name, rows in self.rows.items()}
        label = (torch.arange(len(mask), device=device) < len(mask) // 2).float()
        return Bags(rows.get("visual"), rows.get("audio"), mask, self.heard[index] & mask, label)

    def _at(self, videos: NDArray[np.intp]) -> NDArray[np.intp]:
        """Places, among the videos held, of some of them."""
        return self._order[np.searchsorted(self.videos, videos, sorter=self._order)]

    def statistics(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a stream's dimensions over the clips held, (D,) each, in float32."""
        at = self._at(sampled(self.videos, self.clips, held=True))
        parts = [slice(int(self.first[n]), int(self.first[n] + self.clips[n])) for n in at]
        if name != "audio":
            return moments((self.rows[name][part], torch.ones_like(self.heard[part])) for part in parts)
        return moments((self.rows[name][part], self.heard[part]) for part in parts)


def _packed(corpus: Corpus, videos: NDArray[np.intp], streams: Sequence[str]) -> tuple[dict[str, Tensor], Tensor]:
    """The rows of some videos one after the other, (sum T, D) of each stream, and where they are heard, (sum T,)."""
    clips = corpus.clips[videos]
    first, total = np.cumsum(clips) - clips, int(clips.sum())
    # A window longer than the bag it goes into goes on into those after: bags of one clip make rows one after the other.
    part = Part(first, *corpus.shards_of(videos), np.zeros_like(clips), clips)
    of = {name: corpus.streams[name] for name in streams}
    rows = {name: np.empty((total, 1, stream.width), stream.dtype) for name, stream in of.items()}
    reader = CorpusRows(corpus.shards, tuple(streams))
    for name, suspect in reader.read(part, rows).items():
        for video, at, count in zip(videos[suspect], first[suspect], clips[suspect], strict=True):
            refuse_not_finite(corpus, int(video), name, rows[name][at : at + count, 0])
    heard = reader.heard(part) if "audio" in streams else np.zeros(total, bool)
    return {name: torch.from_numpy(packed[:, 0]) for name, packed in rows.items()}, torch.from_numpy(heard)


def whole_video(corpus: Corpus, video: int, streams: Sequence[str]) -> Bags:
    """A bag of all clips of a video, labelled 0.

    Raises:
        InputError: Its shard is damaged, or a value is NaN or infinite.
    """
    rows = {name: corpus.rows(video, name) for name in streams}
    for name, found in rows.items():
        refuse_not_finite(corpus, video, name, found)
    mask = np.ones(int(corpus.clips[video]), bool)
    heard = corpus.rows(video, "heard").astype(bool) if "audio" in streams else ~mask
    visual, audio = (torch.from_numpy(rows[name])[None] if name in rows else None for name in ("visual", "audio"))
    return Bags(visual, audio, torch.from_numpy(mask)[None], torch.from_numpy(heard)[None], torch.zeros(1))
