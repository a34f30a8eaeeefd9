"""The LightningDataModule over a corpus: training bags of one topic, and its videos to evaluate on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.audio_ablation import AUDIO_ABLATIONS, with_audio
from highlight_lit.data.batch import Bags, Targets
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.loaders import BagLoader, VideoLoader
from highlight_lit.data.sampling import EpochPlan
from highlight_lit.data.statistics import SCALES, scaled, statistics
from highlight_lit.data.stores import Store
from highlight_lit.data.stores.resident import ResidentStore
from highlight_lit.data.stores.stream import StreamStore
from highlight_lit.data.topics.folds import cross_fitted
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
        seed: Of the batches: a whole number of at least 0 and under 2^64.
        store: `resident` (the training videos in the device's memory), `stream` (read as they are needed) or `auto`:
            resident where it takes at most half of the device's free memory, a quarter of the machine's on a CPU.
        readers: Threads that read the shards, at least 1.
        validation: Share of the positive and of the negative training videos that is held out, drawn by the seed; 0: none.
        split: List that is evaluated on: `test`, `val` or `all`.
        fold: K/n: train on all videos but the topic's K-th fold of n, and evaluate on that one, whatever the lists say;
            None: the lists. See `cross_fitted`.
        audio: One of `AUDIO_ABLATIONS`, in which audio is read; `shuffled` by the seed.
        scale: One of `SCALES`, what features are divided by.

    Raises:
        InputError: The corpus lacks a stream or the topic, or the topic has no positive or no negative video, or too few
            to hold some out.
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
        store: str = "auto",
        readers: int = 1,
        validation: float = 0.0,
        split: str = "test",
        fold: str | None = None,
        audio: str = "as_is",
        scale: str = "dimension",
    ) -> None:
        super().__init__()
        if audio not in AUDIO_ABLATIONS:
            raise InputError(f"data.audio={audio}: expected one of {', '.join(AUDIO_ABLATIONS)}")
        if scale not in SCALES:
            raise InputError(f"data.scale={scale}: expected one of {', '.join(SCALES)}")
        if not 0 <= seed < 1 << 64:
            raise InputError(f"seed={seed}: expected a whole number of at least 0 and under 2^64")
        if fold is not None:
            if training != "lists":
                raise InputError(
                    f"data.training={training}: trains on the fold that is evaluated on; expected data.training=lists beside "
                    "data.fold"
                )
            corpus = cross_fitted(corpus, topic, fold)
        corpus = with_audio(corpus, audio, seed)
        for name in streams:
            if name not in corpus.streams:
                has = ", ".join(corpus.streams) or "labels alone"
                raise InputError(f"{corpus.root}: {name}: no such stream; the corpus has {has}")
        self.corpus, self.topic, self.streams = corpus, topic, tuple(streams)
        if corpus.audio_way is not None and "audio" in self.streams and store == "stream":
            raise InputError(
                "data.store=stream: reads audio as it is alone; expected data.store=resident beside data.audio"
            )
        self.positive, self.negative = corpus.weak_labels(topic, rule, training)
        self.held_out: EpochPlan | None = None
        if validation > 0:
            (self.positive, positive), (self.negative, negative) = self._hold_out(validation, seed)
            most = min(pairs, max(len(positive), len(negative)))
            self.held_out = EpochPlan(corpus.clips, positive, negative, tau=tau, pairs=most, seed=seed)
        self.plan = EpochPlan(corpus.clips, self.positive, self.negative, tau=tau, pairs=pairs, seed=seed)
        self.split, self.scale, self.fold = split, scale, fold
        self._kind, self._readers = store, readers
        self._store: Store | None = None
        self._loader: BagLoader | None = None
        self.targets: Targets | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what reads, which another process begins by itself."""
        return {**vars(self), "_store": None, "_loader": None}

    def guide(self, targets: Mapping[int, NDArray[np.float64]]) -> None:
        """Train on bags of some videos alone, each with what a teacher says of its clips.

        Args:
            targets: (T_n,) by index of a video, in [0, 1].
        """
        self.positive, self.negative = np.sort(np.fromiter(targets, np.intp)), np.empty(0, np.intp)
        plan = self.plan
        self.plan = EpochPlan(plan.clips, self.positive, None, tau=plan.tau, pairs=plan.pairs, seed=plan.seed)
        self.targets = Targets(targets)

    def _hold_out(self, share: float, seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Positive and negative videos, those to train on and those that are held out."""
        generator = np.random.default_rng([seed, 0x76616C])
        parts = []
        for kind, videos in (("positive", self.positive), ("negative", self.negative)):
            held = max(1, round(share * len(videos)))
            if held >= len(videos):
                raise InputError(
                    f"topic={self.topic}: data.validation={share} holds out {held} of {len(videos)} {kind} videos; "
                    "expected some to train on"
                )
            shuffled = generator.permutation(videos)
            parts.append((np.sort(shuffled[held:]), np.sort(shuffled[:held])))
        return parts

    @property
    def store(self) -> Store:
        """The training videos' rows, made when first asked for."""
        if self._store is None:
            self._store = self._made(self._videos)
        return self._store

    def _made(self, videos: NDArray[np.intp]) -> Store:
        if self._chosen(videos) == "resident":
            return ResidentStore(self.corpus, videos, self.streams, self._readers)
        return StreamStore(self.corpus, self.streams, self._readers)

    @property
    def _videos(self) -> NDArray[np.intp]:
        """The training videos."""
        return np.concatenate([self.positive, self.negative])

    def _chosen(self, videos: NDArray[np.intp]) -> str:
        """The store asked for, or the one that fits."""
        if self._kind != "auto":
            return self._kind
        if self.corpus.audio_way is not None:
            return "resident"
        streams = [self.corpus.streams[name] for name in self.streams]
        clip_bytes = sum(stream.width * np.dtype(stream.dtype).itemsize for stream in streams) + 1
        # Ranks share the machine's memory, and each holds all videos: any of them may be dealt to it.
        fits = self._rank[1] * clip_bytes * int(self.corpus.clips[videos].sum()) <= resident_budget(self._device)
        return "resident" if fits else "stream"

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    @property
    def _rank(self) -> tuple[int, int]:
        """This process' rank, and the number of ranks."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def statistics(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean over the training clips and scale of each stream's dimensions, (D,) each."""
        moments = {name: statistics(self.corpus, self._videos, name, self._readers) for name in self.streams}
        return {name: (mean, scaled(std, self.scale)) for name, (mean, std) in moments.items()}

    def train_dataloader(self) -> BagLoader | FirstEpoch:
        """The epoch's bags, on the trainer's device; with several ranks, this rank's of each batch.

        With the trainer's `overfit_batches` they are those of the first epoch each time, the same on each rank.
        """
        self._end_reading()  # of a loader before, where Lightning asks for one each epoch
        if self.trainer is not None and self.trainer.overfit_batches:  # type: ignore[attr-defined]
            return FirstEpoch(self.plan, self.store.to(self._device))
        self._loader = BagLoader(self.plan, self.store.to(self._device), *self._rank, self.targets)
        return self._loader

    def val_dataloader(self) -> list[FirstEpoch]:
        """Bags of the videos that were held out, the same each time and on each rank; none without `validation`."""
        if self.held_out is None:
            return []
        videos = np.concatenate([self.held_out.positive, self.held_out.negative])
        return [FirstEpoch(self.held_out, self._made(videos).to(self._device))]

    def teardown(self, stage: str) -> None:
        """End the threads that read ahead."""
        self._end_reading()

    def on_exception(self, exception: BaseException) -> None:
        """End the threads that read ahead: Lightning tears nothing down after an error."""
        self._end_reading()

    def _end_reading(self) -> None:
        if self._loader is not None:
            self._loader.close()

    def test_dataloader(self) -> VideoLoader:
        """The topic's videos to evaluate on, whole, one a batch; with several ranks, every so many-th of them."""
        rank, ranks = self._rank
        return VideoLoader(
            self.corpus, self.corpus.evaluation_videos(self.topic, self.split)[rank::ranks], self.streams
        )


class HighlightDataModule(HighlightData):
    """Bags of a topic's positive and negative videos to train on, and the topic's videos to test: for a Trainer of one's own.

    Args:
        corpus: The corpus, or its folder.
        topic: One of its topics.
        streams: Those the network reads, of `visual` and `audio`; None: all that the corpus has.
        further: As `HighlightData` takes them: `rule`, `training`, `tau`, `pairs`, `seed`, `validation`, ...

    Attributes:
        features: By stream, what its features are: what `HighlightModule` takes as `streams`.

    Raises:
        InputError: As `HighlightData`.
    """

    def __init__(
        self, corpus: Corpus | Path | str, topic: str, streams: Sequence[str] | None = None, **further: Any
    ) -> None:
        opened = corpus if isinstance(corpus, Corpus) else Corpus(Path(corpus))
        super().__init__(opened, topic, tuple(opened.streams) if streams is None else streams, **further)
        self.features = {name: asdict(self.corpus.streams[name]) for name in self.streams}


def resident_budget(device: torch.device) -> int:
    """Bytes of memory that a resident store may take on a device, and on the way there."""
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    return min(room, torch.cuda.mem_get_info(device)[0] // 2) if device.type == "cuda" else room


class FirstEpoch:
    """The bags of a plan's first epoch, again and again."""

    def __init__(self, plan: EpochPlan, store: Store) -> None:
        self.plan, self.store = plan, store

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[Bags]:
        return iter(self.store.batches(self.plan.draws(0), self.plan.tau))
