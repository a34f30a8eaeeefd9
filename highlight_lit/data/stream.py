"""The streamed store: bags read from the shards as they are needed, ahead of the step, in memory that does not grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.batches import Bags, Draw
from highlight_lit.data.blocks import Block
from highlight_lit.data.corpus import Corpus, refuse_not_finite
from highlight_lit.data.moments import moments, sampled
from highlight_lit.data.readers import Readers, Suspects
from highlight_lit.data.rows import CorpusRows, Part
from highlight_lit.data.shared import Shapes, Shared

AHEAD = 2  # batches being read while one is trained on


class StreamStore:
    """Bags of some videos of a corpus, the same ones in the same order as `ResidentStore` gives.

    An epoch's windows are known before it begins, so just those are read: each batch into a block of memory of its own,
    in parts, by processes, `AHEAD` batches before it is needed. What is in which block does not depend on which process
    read it, or when. Blocks are few and used again and again; on a GPU they are pinned, and copied on a side stream as
    soon as the next batch is asked for. Rows stay in the type they are stored in.

    Args:
        corpus: Where the rows are read from.
        videos: Indices of the training videos.
        streams: Names of the streams to read.
        readers: Processes; 0 reads in the caller's own, when a batch is asked for.

    Raises:
        InputError: In iteration: a shard is damaged, gone, or not the file it was.
    """

    def __init__(self, corpus: Corpus, videos: NDArray[np.intp], streams: Sequence[str], readers: int = 2) -> None:
        self.corpus, self.videos, self.streams, self.readers = corpus, videos, tuple(streams), readers
        self.device = torch.device("cpu")
        self._known = Shared(CorpusRows.shapes(corpus.shards, self.streams))
        self._rows = CorpusRows(corpus.shards, self.streams, self._known)
        self._side: torch.cuda.Stream | None = None
        self._blocks: list[Block] = []

    def to(self, device: torch.device) -> StreamStore:
        """Have the bags delivered to a device."""
        self.device, self._blocks = device, []
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        return self

    def batches(self, draws: Iterator[Draw], tau: int) -> Iterator[Bags]:
        """The bags of each draw, in order; the draws may go on for ever."""
        if self.readers == 0:
            yield from (self.bags(draw, tau) for draw in draws)
            return
        readers = Readers(self.readers, self._rows, self._known)
        waiting: deque[tuple[int, _Batch]] = deque()
        try:
            while True:
                while len(waiting) <= AHEAD and (draw := next(draws, None)) is not None:
                    batch = _Batch(self, draw, tau)
                    waiting.append((readers.give(batch.parts(self.readers), batch.block.memory, self._memory), batch))
                if not waiting:
                    return
                number, batch = waiting.popleft()
                if not batch.sent:
                    batch.arrive(readers.take(number))
                for number, following in waiting:
                    if not following.sent and readers.arrived(number):
                        following.arrive(readers.take(number))
                yield batch.bags()
        finally:
            readers.close()

    @property
    def _memory(self) -> list[Shared]:
        return [block.memory for block in self._blocks]

    def bags(self, draw: Draw, tau: int) -> Bags:
        """The bags of one draw, read by the caller."""
        batch = _Batch(self, draw, tau)
        batch.arrive([self._rows.read(part, batch.block.memory.arrays) for part in batch.parts(1)])
        return batch.bags()

    def statistics(self, name: str) -> tuple[Tensor, Tensor]:
        """As `ResidentStore.statistics`, to the same bit."""
        return moments(self._whole(name, int(v)) for v in sampled(self.videos, self.corpus.clips))

    def _whole(self, name: str, video: int) -> tuple[Tensor, Tensor]:
        """A video's rows of a stream, (T_n, D), and where it is heard, (T_n,)."""
        clips = self.corpus.clips[[video]]
        shapes = self._shapes([name], 1, int(clips[0]))
        out: dict[str, NDArray[Any]] = {key: np.empty(shape, dtype) for key, (shape, dtype) in shapes.items()}
        shard, row = self.corpus.shards_of(np.array([video]))
        if self._rows.read(Part(np.zeros(1, np.intp), shard, row, np.zeros(1, np.int64), clips), out)[name].any():
            refuse_not_finite(self.corpus, video, name, out[name][0])
        heard = out["heard"][0].astype(bool) if name == "audio" else np.ones(len(out[name][0]), bool)
        return torch.from_numpy(out[name][0]), torch.from_numpy(heard)

    def _shapes(self, streams: Sequence[str], bags: int, tau: int) -> Shapes:
        """The arrays of a batch: (bags, tau, D) a stream, and (bags, tau) for `heard`."""
        of = self.corpus.streams
        shapes: dict[str, tuple[tuple[int, ...], str]] = {
            name: ((bags, tau, of[name].width), of[name].dtype) for name in streams
        }
        return {**shapes, "heard": ((bags, tau), "u1")} if "audio" in streams else shapes

    def take(self, bags: int, tau: int) -> Block:
        """A block for a batch: one that no one holds any more if there is one, since new memory costs as much as reading."""
        found = next((block for block in self._blocks if block.free(bags, tau)), None)
        if found is None:
            found = Block(Shared(self._shapes(self.streams, bags, tau)), pinned=self._side is not None)
            self._blocks = [*self._blocks[-AHEAD - 2 :], found]
        return found

    def send(self, block: Block, bags: int) -> tuple[dict[str, Tensor], torch.cuda.Event | None]:
        """Bring some bags to the device, a GPU by its side stream; the event tells when they have arrived."""
        rows = block.lend(bags)
        if self._side is None:
            return {name: part.to(self.device) for name, part in rows.items()}, None
        with torch.cuda.stream(self._side):
            sent = {name: part.to(self.device, non_blocking=True) for name, part in rows.items()}
            block.copied = self._side.record_event()
        return sent, block.copied


class _Batch:
    """One batch on its way."""

    def __init__(self, store: StreamStore, draw: Draw, tau: int) -> None:
        self.store, self.draw, self.tau = store, draw, tau
        self.clips = np.minimum(store.corpus.clips[draw.video] - draw.start, tau)
        self.block = store.take(len(draw.video), tau)
        self.block.hold(self)
        self._sent: tuple[dict[str, Tensor], torch.cuda.Event | None] | None = None

    @property
    def sent(self) -> bool:
        """Whether it is on its way to the device, or there."""
        return self._sent is not None

    def parts(self, count: int) -> list[Part]:
        """Its windows, in as many parts."""
        shard, row = self.store.corpus.shards_of(self.draw.video)
        bags = np.array_split(np.arange(len(self.clips)), count)
        return [Part(bag, shard[bag], row[bag], self.draw.start[bag], self.clips[bag]) for bag in bags]

    def arrive(self, suspects: Sequence[Suspects]) -> None:
        """It has been read; bring it to the device.

        Raises:
            InputError: A value is NaN or infinite.
        """
        for part, suspect in zip(self.parts(len(suspects)), suspects, strict=True):
            for name, which in suspect.items():
                for bag in part.bag[which].tolist():
                    rows = self.block.memory.arrays[name][bag, : self.clips[bag]]
                    refuse_not_finite(self.store.corpus, int(self.draw.video[bag]), name, rows)
        self._sent = self.store.send(self.block, len(self.clips))

    def bags(self) -> Bags:
        """What the step gets; the step's stream waits for a copy on its way."""
        assert self._sent is not None
        (rows, copied), self._sent = self._sent, None
        device = self.store.device
        if copied is not None:
            current = torch.cuda.current_stream(device)
            current.wait_event(copied)
            for part in rows.values():
                part.record_stream(current)
        clips = torch.from_numpy(self.clips).to(device, non_blocking=True)
        mask = torch.arange(self.tau, device=device) < clips.unsqueeze(1)
        heard = rows["heard"].bool() & mask if "heard" in rows else torch.zeros_like(mask)
        label = (torch.arange(len(mask), device=device) < len(mask) // 2).float()
        return Bags(rows.get("visual"), rows.get("audio"), mask, heard, label)
