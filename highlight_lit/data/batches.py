"""The seeded stream of bags onto the device: which bags make an epoch, and the rows they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError


class Bags(NamedTuple):
    """A batch of B bags of at most tau clips.

    In training the first half are positives, the second half negatives, and bag i is paired with bag B/2 + i.

    Attributes:
        visual: (B, tau, Dv), None where the model reads no picture.
        audio: (B, tau, Da), None where the model reads no sound.
        mask: (B, tau) True where a clip exists; rows elsewhere are arbitrary.
        heard: (B, tau) True where a clip has sound; audio rows elsewhere are arbitrary.
        label: (B,) 1 for positives, 0 for negatives.
    """

    visual: Tensor | None
    audio: Tensor | None
    mask: Tensor
    heard: Tensor
    label: Tensor


class Draw(NamedTuple):
    """The bags of one batch: (B,) index of each bag's video in the corpus, and the clip its window starts at."""

    video: NDArray[np.intp]
    start: NDArray[np.int64]


class EpochPlan:
    """Which windows of which videos make the batches of an epoch: a pure function of (seed, epoch).

    Each positive comes once an epoch, in a new order; a topic with fewer positives than a batch has pairs deals them
    again until one batch is full, so that small topics see as many negatives a step as large ones. Beside each positive
    stands a negative: negatives too are dealt from a shuffled deck, none twice before each has come once, a new deck
    each epoch. A window is tau consecutive clips at a uniformly random start (supplement, section 1); a shorter video
    is its own window, padded.

    Args:
        clips: (N,) clips of every video of the corpus.
        positive, negative: Indices of the training videos.
        tau: Clips in a bag, at least 1.
        pairs: Pairs of a positive and a negative in a batch, at least 1; the last batch may hold fewer.
        seed: Any whole number of at least 0.
    """

    def __init__(
        self,
        clips: NDArray[np.int64],
        positive: NDArray[np.intp],
        negative: NDArray[np.intp],
        *,
        tau: int,
        pairs: int,
        seed: int,
    ) -> None:
        self.clips, self.positive, self.negative = clips, positive, negative
        self.tau, self.pairs, self.seed = tau, pairs, seed

    def __len__(self) -> int:
        return -(-len(self.positive) // self.pairs)

    @property
    def pairs_an_epoch(self) -> int:
        """Pairs of bags in one epoch."""
        return max(len(self.positive), self.pairs)

    def draws(self, epoch: int) -> Iterator[Draw]:
        """The batches of an epoch, in order."""
        generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        positive, negative = (self._deal(generator, videos) for videos in (self.positive, self.negative))
        last_start = np.maximum(self.clips[np.stack([positive, negative])] - self.tau, 0)
        start = generator.integers(0, last_start, endpoint=True)
        for first in range(0, len(positive), self.pairs):
            batch = slice(first, first + self.pairs)
            yield Draw(np.concatenate([positive[batch], negative[batch]]), start[:, batch].reshape(-1))

    def _deal(self, generator: np.random.Generator, videos: NDArray[np.intp]) -> NDArray[np.intp]:
        """One video a pair, dealt from shuffled decks of all of them."""
        decks = -(-self.pairs_an_epoch // len(videos))
        return np.concatenate([generator.permutation(videos) for _ in range(decks)])[: self.pairs_an_epoch]


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
        self.rows = {name: _packed(corpus, videos, name) for name in streams}
        heard = _packed(corpus, videos, "heard") if "audio" in streams else torch.zeros(int(corpus.clips[videos].sum()))
        self.heard = heard.bool()
        # Where each video of the corpus starts in `rows`; -1 for those not held.
        first = np.full(len(corpus), -1, np.int64)
        first[videos] = np.cumsum(corpus.clips[videos]) - corpus.clips[videos]
        self.first, self.clips = torch.from_numpy(first), torch.from_numpy(corpus.clips)

    def to(self, device: torch.device) -> ResidentStore:
        """Move the rows to a device, in the type they are stored in."""
        self.rows = {name: rows.to(device) for name, rows in self.rows.items()}
        self.heard, self.first, self.clips = (t.to(device) for t in (self.heard, self.first, self.clips))
        return self

    def bags(self, draw: Draw, tau: int) -> Bags:
        """Gather the bags of a batch; its first half is labelled positive."""
        device = self.heard.device
        video, start = (torch.from_numpy(part).to(device, non_blocking=True) for part in draw)
        step = torch.arange(tau, device=device)
        mask = step < (self.clips[video] - start).unsqueeze(1)
        index = (self.first[video] + start).unsqueeze(1) + step * mask
        rows = {name: rows.index_select(0, index.view(-1)).view(*index.shape, -1) for name, rows in self.rows.items()}
        label = (torch.arange(len(video), device=device) < len(video) // 2).float()
        return Bags(rows.get("visual"), rows.get("audio"), mask, self.heard[index] & mask, label)

    def statistics(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a stream's dimensions over the clips held, (D,) each, in float32.

        Clips without sound count for nothing in `audio`.
        """
        count = 0
        sums = [torch.zeros(self.rows[name].shape[1], dtype=torch.float64) for _ in range(2)]
        for first in range(0, len(self.heard), 4096):
            rows = self.rows[name][first : first + 4096].double().cpu()
            rows = rows[self.heard[first : first + 4096].cpu()] if name == "audio" else rows
            count += len(rows)
            sums[0] += rows.sum(0)
            sums[1] += rows.square().sum(0)
        mean, square = (s / max(count, 1) for s in sums)
        return mean.float(), (square - mean.square()).clamp_min(0).sqrt().float()


def _packed(corpus: Corpus, videos: NDArray[np.intp], name: str) -> Tensor:
    """The rows of some videos one after the other, (sum T, ...)."""
    parts = [corpus.rows(int(video), name) for video in videos]
    for video, rows in zip(videos, parts, strict=True):
        if not np.isfinite(rows).all():
            shard, row = corpus.locate(int(video))
            clip = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            identifier = corpus.ids[video].decode()
            raise InputError(f"{shard.path}: video {identifier!r} (row {row}): {name}: NaN or infinite in clip {clip}")
    return torch.from_numpy(np.concatenate(parts))


class BagLoader:
    """Iterate over the batches of the epoch that was set; Lightning sets it through `sampler`."""

    def __init__(self, plan: EpochPlan, store: ResidentStore) -> None:
        self.plan, self.store, self.epoch = plan, store, 0
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Bags]:
        return (self.store.bags(draw, self.plan.tau) for draw in self.plan.draws(self.epoch))
