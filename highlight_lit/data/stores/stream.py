"""The streamed store: bags read from the shards as they are needed, ahead of the step, in memory that does not grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from highlight_lit.data.batch import Bags, make_bags
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.sampling import Draw
from highlight_lit.data.stores.blocks import Block, Shapes
from highlight_lit.data.stores.reading import Readers, Windows

AHEAD = 2  # batches being read while one is trained on


class StreamStore:
    """Bags of a corpus' videos, the same ones in the same order as `ResidentStore` gives.

    An epoch's windows are known before it begins, so just those are read: each batch into a block of memory of its own,
    `AHEAD` batches before it is needed. What is in which block does not depend on which thread read it, or when. Blocks
    are few and used again and again; on a GPU they are pinned, and copied on a side stream as soon as the next batch is
    asked for. Rows stay in the type they are stored in.

    Args:
        corpus: Where the rows are read from.
        streams: Names of the streams to read.
        readers: Threads that read, at least 1.

    Raises:
        InputError: In iteration: a shard is damaged, gone, or not the file it was, or a read has hung.
    """

    def __init__(self, corpus: Corpus, streams: Sequence[str], readers: int = 1) -> None:
        self.corpus, self.streams, self.readers = corpus, tuple(streams), readers
        self.device = torch.device("cpu")
        self._side: torch.cuda.Stream | None = None
        self._blocks: list[Block] = []

    def to(self, device: torch.device) -> StreamStore:
        """Deliver bags to a device from now on."""
        self.device, self._blocks = device, []
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        return self

    def batches(self, draws: Iterator[Draw], tau: int) -> Iterator[Bags]:
        """The bags of each draw, in order; the draws may go on for ever."""
        waiting: deque[_Batch] = deque()
        with Readers(self.readers) as readers:
            while True:
                while len(waiting) <= AHEAD and (draw := next(draws, None)) is not None:
                    waiting.append(_Batch(self, readers, draw, tau))
                if not waiting:
                    return
                batch = waiting.popleft()
                batch.send()
                for following in waiting:
                    if following.arrived:
                        following.send()
                yield batch.bags()

    def take(self, bags: int, tau: int) -> Block:
        """A free block of memory for a batch, a new one if none is free."""
        block = next((held for held in self._blocks if held.free(bags, tau)), None)
        if block is None:
            streams = self.corpus.streams
            shapes: Shapes = {name: ((bags, tau, streams[name].width), streams[name].dtype) for name in self.streams}
            shapes = {**shapes, "audio_mask": ((bags, tau), "uint8")} if "audio" in self.streams else shapes
            block = Block(shapes, pinned=self._side is not None)
            self._blocks = [*self._blocks[-AHEAD - 2 :], block]
        return block

    def copy(self, block: Block, bags: int) -> tuple[dict[str, Tensor], torch.cuda.Event | None]:
        """Bring some bags to the device, a GPU by its side stream; the event tells when they have arrived."""
        rows = block.lend(bags)
        if self._side is None:
            return {name: part.to(self.device) for name, part in rows.items()}, None
        with torch.cuda.stream(self._side):
            sent = {name: part.to(self.device, non_blocking=True) for name, part in rows.items()}
            block.copied = self._side.record_event()
        return sent, block.copied


class _Batch:
    """One batch on its way: being read, then copied to the device, then handed out."""

    def __init__(self, store: StreamStore, readers: Readers, draw: Draw, tau: int) -> None:
        self.store = store
        self.positive = draw.positive
        self.clips = np.minimum(store.corpus.clips[draw.video] - draw.start, tau)
        self.block = store.take(len(draw.video), tau)
        windows = Windows(draw.video, draw.start, self.clips, np.arange(len(draw.video)) * tau)
        self._readings = readers.give(store.corpus, windows, self.block.arrays, tau)
        self.block.hold(self._readings)  # a thread may be at one after this batch is given up
        self._sent: tuple[dict[str, Tensor], torch.cuda.Event | None] | None = None

    @property
    def arrived(self) -> bool:
        """Whether all of the batch has been read."""
        return all(reading.done.done() for reading in self._readings)

    def send(self) -> None:
        """Wait until it has been read, and bring it to the device, unless that was done before.

        Raises:
            InputError: It could not be read.
        """
        if self._sent is not None:
            return
        for reading in self._readings:
            reading.wait()
        self._sent = self.store.copy(self.block, len(self.clips))

    def bags(self) -> Bags:
        """The batch on the device; the step's stream waits until it has arrived."""
        assert self._sent is not None
        (rows, copied), self._sent = self._sent, None
        device = self.store.device
        if copied is not None:
            current = torch.cuda.current_stream(device)
            current.wait_event(copied)
            for part in rows.values():
                part.record_stream(current)
        clips = torch.from_numpy(self.clips).to(device, non_blocking=True)
        return make_bags(rows, clips, positive=self.positive)
