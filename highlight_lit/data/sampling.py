"""How positives and negatives are drawn: which windows of which videos make the batches of an epoch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Draw(NamedTuple):
    """The bags of one batch.

    Attributes:
        video: (B,) index of each bag's video in the corpus.
        start: (B,) the clip its window starts at.
        positive: The first so many bags are positives.
    """

    video: NDArray[np.intp]
    start: NDArray[np.int64]
    positive: int


def own_pairs(pairs: int, rank: int, ranks: int) -> NDArray[np.intp]:
    """Which pairs of a batch a rank holds: a run of them, as many on each rank.

    With n places a rank, rank r holds pairs r * n to r * n + n - 1; places beyond the last pair hold the last pair again,
    and are left out where the ranks' parts are put together.

    >>> [own_pairs(5, rank, 3).tolist() for rank in range(3)]
    [[0, 1], [2, 3], [4, 4]]
    """
    places = -(-pairs // ranks)
    return np.minimum(np.arange(rank * places, (rank + 1) * places), pairs - 1)


class EpochPlan:
    """Which windows of which videos make the batches of an epoch: a pure function of (seed, epoch).

    Each positive comes once an epoch, in a new order; a topic with fewer positives than a batch has pairs deals them
    again until one batch is full, so that small topics see as many negatives a step as large ones. Beside each positive
    stands a negative: negatives too are dealt from a shuffled deck, none twice before each has come once, a new deck
    each epoch. A window is tau consecutive clips at a uniformly random start (supplement, section 1); a shorter video
    is its own window, padded.

    Without negatives a batch is `pairs` bags of positives alone.

    Args:
        clips: (N,) clips of every video of the corpus.
        positive: Indices of the positive training videos.
        negative: Those of the negative ones, or None.
        tau: Clips in a bag, at least 1.
        pairs: Pairs of a positive and a negative in a batch, at least 1; the last batch may hold fewer.
        seed: A whole number of at least 0 and under 2^64.
    """

    def __init__(
        self,
        clips: NDArray[np.int64],
        positive: NDArray[np.intp],
        negative: NDArray[np.intp] | None,
        *,
        tau: int,
        pairs: int,
        seed: int,
    ) -> None:
        self.clips, self.positive, self.negative = clips, positive, negative
        self.tau, self.pairs, self.seed = tau, pairs, seed

    def __len__(self) -> int:
        return -(-len(self.positive) // self.pairs)

    def pairs_of(self, batch: int) -> int:
        """Pairs of bags in a batch of an epoch, all ranks together."""
        return min(self.pairs, self.pairs_an_epoch - batch * self.pairs)

    @property
    def pairs_an_epoch(self) -> int:
        """Pairs of bags in one epoch."""
        return max(len(self.positive), self.pairs)

    def draws(self, epoch: int) -> Iterator[Draw]:
        """The batches of an epoch, in order."""
        generator = np.random.Generator(np.random.Philox(key=np.array([self.seed, epoch], np.uint64)))
        kinds = [self.positive] if self.negative is None else [self.positive, self.negative]
        dealt = np.stack([self._deal(generator, videos) for videos in kinds])  # (kinds, pairs an epoch)
        start = generator.integers(0, np.maximum(self.clips[dealt] - self.tau, 0), endpoint=True)
        for first in range(0, dealt.shape[1], self.pairs):
            video = dealt[:, first : first + self.pairs]
            yield Draw(video.reshape(-1), start[:, first : first + self.pairs].reshape(-1), video.shape[1])

    def draws_from(self, epoch: int, batch: int) -> Iterator[Draw]:
        """The batches from one of an epoch on, epoch after epoch without end."""
        for number in itertools.count(epoch):
            yield from itertools.islice(self.draws(number), batch if number == epoch else 0, None)

    def _deal(self, generator: np.random.Generator, videos: NDArray[np.intp]) -> NDArray[np.intp]:
        """A video for each pair of an epoch, dealt from shuffled decks of all videos."""
        decks = -(-self.pairs_an_epoch // len(videos))
        return np.concatenate([generator.permutation(videos) for _ in range(decks)])[: self.pairs_an_epoch]
