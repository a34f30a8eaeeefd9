"""The seeded stream of bags onto the device: which bags make an epoch, and the rows they hold."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError

STATISTICS_CLIPS = 1 << 20  # no more clips than about these are looked at for means and deviations
_BLOCK = 4096


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
        self.rows = {name: _packed(corpus, videos, name) for name in streams}
        heard = _packed(corpus, videos, "heard") if "audio" in streams else torch.zeros(int(self.clips.sum()))
        self.heard = heard.bool()
        self.first = np.cumsum(self.clips) - self.clips  # where each video held starts in `rows`
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
        window = self.first[at] + draw.start, self.clips[at] - draw.start
        first, clips = (torch.from_numpy(part).to(device, non_blocking=True).unsqueeze(1) for part in window)
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


def sampled(videos: NDArray[np.intp], clips: NDArray[np.int64], held: bool = False) -> NDArray[np.intp]:
    """The videos that statistics are taken from: all of them, or of a large corpus evenly spaced ones.

    Args:
        videos: Indices of the training videos.
        clips: (N,) clips of every video of the corpus; with `held`, of these videos alone.
    """
    total = int((clips if held else clips[videos]).sum())
    return videos[:: -(-total // STATISTICS_CLIPS)]


def moments(parts: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
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
            found = rows[first : first + _BLOCK][kept[first : first + _BLOCK]]
            block = wide.resize_(found.shape).copy_(found)
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


def _packed(corpus: Corpus, videos: NDArray[np.intp], name: str) -> Tensor:
    """The rows of some videos one after the other, (sum T, ...)."""
    parts = [corpus.rows(int(video), name) for video in videos]
    for video, rows in zip(videos, parts, strict=True):
        refuse_not_finite(corpus, int(video), name, rows)
    return torch.from_numpy(np.concatenate(parts))


def refuse_not_finite(corpus: Corpus, video: int, name: str, rows: NDArray[Any]) -> None:
    """Refuse rows of a video that are not all finite.

    Raises:
        InputError: One is not.
    """
    if not np.isfinite(rows).all():
        shard, row = corpus.locate(video)
        clip = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        identifier = corpus.ids[video].decode()
        raise InputError(f"{shard.path}: video {identifier!r} (row {row}): {name}: NaN or infinite in clip {clip}")


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
