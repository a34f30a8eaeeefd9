"""The loaders that hand out the batches of an epoch, and whole videos."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from highlight_lit.data.batch import Bags, Targets, make_bags
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.sampling import Draw, EpochPlan, own_pairs
from highlight_lit.data.stores import Store
from highlight_lit.data.stores.reading import Readers, in_parts, whole_videos


class BagLoader:
    """Iterate over the batches of the epoch that was set; Lightning sets it through `sampler`, and keeps `state_dict`.

    What is read ahead goes on over the end of an epoch into the next.

    Args:
        plan: Which bags make an epoch.
        store: Where their rows come from.
        rank, ranks: Which of how many processes this is; each gets its own pairs of every batch (`own_pairs`).
        targets: What a teacher says of the clips, if there is one.
    """

    def __init__(
        self, plan: EpochPlan, store: Store, rank: int = 0, ranks: int = 1, targets: Targets | None = None
    ) -> None:
        self.plan, self.store, self.epoch = plan, store, 0
        self.targets = targets
        self._given: deque[Draw] = deque()  # batches asked for and not handed out yet
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
            flow, self._flow = self._flow, None  # one that fails is over, and its batch was not handed out
            bags = next(flow)
            draw = self._given.popleft()
            self._position = (epoch, batch + 1)
            self._flow, self._flow_at = flow, self._position if batch + 1 < len(self) else (epoch + 1, 0)
            if self.targets is not None:
                bags = bags._replace(target=self.targets.windows(draw, self.plan.tau).to(bags.label.device))
            yield bags

    def _draws_from(self, epoch: int, batch: int) -> Iterator[Draw]:
        """This rank's part of the plan's batches from one on, each noted as given."""
        for draw in self.plan.draws_from(epoch, batch):
            own = draw if self.ranks == 1 else self._own(draw)
            self._given.append(own)
            yield own

    def _own(self, draw: Draw) -> Draw:
        """This rank's part of a batch."""
        own = own_pairs(draw.positive, self.rank, self.ranks)
        bags = np.concatenate([own, own + draw.positive]) if len(draw.video) > draw.positive else own
        return Draw(draw.video[bags], draw.start[bags], len(own))

    def close(self) -> None:
        """End the threads that read ahead."""
        if isinstance(self._flow, Generator):
            self._flow.close()
        self._flow = None
        self._given.clear()

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were handed out: what a checkpoint keeps."""
        return dict(zip(("epoch", "batch"), self._position, strict=True))

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Take up a position that `state_dict` gave: the next iteration of that epoch leaves out the batches handed out."""
        self._resume = self._position = (int(state_dict["epoch"]), int(state_dict["batch"]))


class VideoLoader:
    """Whole videos, one at a time: their index in the corpus, and a bag of all their clips, labelled 0.

    Raises:
        InputError: In iteration: a shard is damaged, a value is NaN or infinite, or a read has hung.
    """

    def __init__(self, corpus: Corpus, videos: NDArray[np.intp], streams: Sequence[str]) -> None:
        self.corpus, self.videos, self.streams = corpus, videos, streams

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[tuple[int, Bags]]:
        with Readers(1) as threads:
            for some in in_parts(self.corpus, self.videos):
                rows = whole_videos(self.corpus, some, self.streams, threads)
                ends = np.cumsum(self.corpus.clips[some])[:-1]
                each = {name: np.split(part, ends) for name, part in rows.items()}
                for at, video in enumerate(some.tolist()):
                    bag = {name: torch.from_numpy(part[at])[None] for name, part in each.items()}
                    yield video, make_bags(bag, torch.from_numpy(self.corpus.clips[[video]]), positive=0)
