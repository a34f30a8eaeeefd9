"""The seeded stream of bags onto the device: which bags make an epoch, and the rows they hold."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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


def own_pairs(pairs: int, rank: int, ranks: int) -> NDArray[np.intp]:
    """Which pairs of a batch a rank holds: a run of them, as many on each rank.

    Where they cannot be shared out evenly, the last ranks hold the last pair again (rank r's k-th place is for pair
    r * n + k, with n places a rank); whoever puts the ranks' parts together leaves out what lies beyond the last pair.

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

    def pairs_of(self, batch: int) -> int:
        """Pairs of bags in a batch of an epoch, all ranks together."""
        return min(self.pairs, self.pairs_an_epoch - batch * self.pairs)

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


class Store(Protocol):
    """Where the rows of bags come from. Two stores over the same videos give the same bags, to the same bit."""

    def to(self, device: torch.device) -> Store:
        """Have the bags delivered to a device."""

    def batches(self, draws: Iterator[Draw], tau: int) -> Iterator[Bags]:
        """The bags of each draw, in order; the draws may go on for ever. Closing the iterator ends what it started."""

    def bags(self, draw: Draw, tau: int) -> Bags:
        """The bags of one draw; its first half is labelled positive."""

    def statistics(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of a stream's dimensions over the videos' clips, (D,) each, in float32.

        Clips without sound count for nothing in `audio`.
        """


class BagLoader:
    """Iterate over the batches of the epoch that was set; Lightning sets it through `sampler`, and keeps `state_dict`.

    What is read ahead goes on over the end of an epoch into the next.

    Args:
        plan: Which bags make an epoch.
        store: Where their rows come from.
        rank, ranks: Which of how many processes this is; each gets its own pairs of every batch (`own_pairs`).
    """

    def __init__(self, plan: EpochPlan, store: Store, rank: int = 0, ranks: int = 1) -> None:
        self.plan, self.store, self.epoch = plan, store, 0
        self.rank, self.ranks = rank, ranks
        self.sampler = self
        self._position = (0, 0)  # epoch, and the batches of it that were handed out
        self._resume: tuple[int, int] | None = None
        self._flow: Iterator[Bags] | None = None
        self._flow_at = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Bags]:
        # Lightning makes the iterator before it sets the epoch, so nothing may be looked at before the first batch.
        epoch, resume, self._resume = self.epoch, self._resume, None
        done = resume[1] if resume is not None and resume[0] == epoch else 0
        for batch in range(done, len(self)):
            if self._flow is None or self._flow_at != (epoch, batch):
                self.close()
                self._flow = self.store.batches(self._draws_from(epoch, batch), self.plan.tau)
            self._position = (epoch, batch + 1)
            self._flow_at = (epoch, batch + 1) if batch + 1 < len(self) else (epoch + 1, 0)
            yield next(self._flow)

    def _draws_from(self, epoch: int, batch: int) -> Iterator[Draw]:
        """The draws from a batch of an epoch on, epoch after epoch."""
        for number in itertools.count(epoch):
            for draw in itertools.islice(self.plan.draws(number), batch if number == epoch else 0, None):
                yield draw if self.ranks == 1 else self._own(draw)

    def _own(self, draw: Draw) -> Draw:
        """This rank's part of a batch."""
        pairs = len(draw.video) // 2
        own = own_pairs(pairs, self.rank, self.ranks)
        bags = np.concatenate([own, own + pairs])
        return Draw(draw.video[bags], draw.start[bags])

    def close(self) -> None:
        """End what reads ahead."""
        if isinstance(self._flow, Generator):
            self._flow.close()
        self._flow = None

    def state_dict(self) -> dict[str, int]:
        """How far it is: what a checkpoint keeps."""
        return dict(zip(("epoch", "batch"), self._position, strict=True))

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on from there: the next iteration leaves out what was handed out, if it is of that epoch."""
        self._resume = self._position = (int(state_dict["epoch"]), int(state_dict["batch"]))
