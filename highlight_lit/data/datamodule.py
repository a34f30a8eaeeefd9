"""The LightningDataModule over a corpus: training bags of one topic, and its videos to evaluate on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.batches import BagLoader, Bags, Draw, EpochPlan, ResidentStore
from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError


class HighlightData(pl.LightningDataModule):
    """Bags of a topic's positive and negative videos, and whole videos to score.

    Args:
        corpus: The corpus.
        topic: One of its topics.
        streams: Streams the model reads.
        rule: Weak label rule, `duration` or `tag`.
        training: Training set, `lists` or `transductive`.
        tau: Clips in a bag.
        pairs: Pairs of a positive and a negative bag in a batch.
        seed: Of the batches.

    Raises:
        InputError: The corpus lacks a stream or the topic, or the topic has no positive or no negative video.
    """

    def __init__(
        self,
        corpus: Corpus,
        topic: str,
        streams: Sequence[str],
        *,
        rule: str = "duration",
        training: str = "lists",
        tau: int = 60,
        pairs: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name in streams:
            if name not in corpus.streams:
                has = ", ".join(corpus.streams) or "labels alone"
                raise InputError(f"{corpus.root}: {name}: no such stream; the corpus has {has}")
        self.corpus, self.topic, self.streams = corpus, topic, tuple(streams)
        self.positive, self.negative = corpus.weak_labels(topic, rule, training)
        self.plan = EpochPlan(corpus.clips, self.positive, self.negative, tau=tau, pairs=pairs, seed=seed)
        self._store: ResidentStore | None = None

    @property
    def store(self) -> ResidentStore:
        """The training videos' rows, read when first asked for."""
        if self._store is None:
            self._store = ResidentStore(self.corpus, np.concatenate([self.positive, self.negative]), self.streams)
        return self._store

    def statistics(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of each stream over the training clips, (D,) each."""
        return {name: self.store.statistics(name) for name in self.streams}

    def train_dataloader(self) -> BagLoader:
        """The epoch's bags, on the trainer's device."""
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return BagLoader(self.plan, self.store.to(device))

    def test_dataloader(self) -> VideoLoader:
        """The topic's videos to evaluate on, whole, one a batch."""
        return VideoLoader(self.corpus, self.corpus.evaluation_videos(self.topic), self.streams)


class VideoLoader:
    """Whole videos, one at a time: their index in the corpus, and a bag of all their clips."""

    def __init__(self, corpus: Corpus, videos: NDArray[np.intp], streams: Sequence[str]) -> None:
        self.corpus, self.videos, self.streams = corpus, videos, streams

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[tuple[int, Bags]]:
        for video in self.videos:
            store = ResidentStore(self.corpus, np.array([video]), self.streams)
            whole = Draw(np.array([video]), np.zeros(1, np.int64))
            yield int(video), store.bags(whole, int(self.corpus.clips[video]))
