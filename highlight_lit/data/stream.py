"""The streamed store: bags read from the shards as they are needed, ahead of the step, in memory that does not grow."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from highlight_lit.data.batches import Bags, Draw, moments, refuse_not_finite, sampled
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.readers import Readers, Task
from highlight_lit.data.rows import ShardRows

AHEAD = 2  # batches being read while one is trained on
_TYPES = {"float16": torch.float16, "float32": torch.float32}


class StreamStore:
    """Bags of some videos of a corpus, the same ones in the same order as `ResidentStore` gives.

    An epoch's windows are known before it begins, so just those are read: each batch into a block of its own, in parts,
    by threads that do not hold each other up, `AHEAD` batches before it is needed. What is in which block does not
    depend on which thread read it, or when. On a GPU the blocks are pinned, a few that are used again and again, and
    copied on a side stream; rows stay in the type they are stored in.

    Args:
        corpus: Where the rows are read from.
        videos: Indices of the training videos.
        streams: Names of the streams to read.
        readers: Threads; 0 reads in the caller's own, when a batch is asked for.

    Raises:
        InputError: In iteration: a shard is damaged, gone, or not the file it was.
    """

    def __init__(self, corpus: Corpus, videos: NDArray[np.intp], streams: Sequence[str], readers: int = 2) -> None:
        self.corpus, self.videos, self.streams, self.readers = corpus, videos, tuple(streams), readers
        self.device = torch.device("cpu")
        self._rows = [ShardRows(shard) for shard in corpus.shards]
        self._side: torch.cuda.Stream | None = None
        self._blocks: list[_Lent] = []
        self._free: list[tuple[dict[str, Tensor], torch.cuda.Event | None]] = []

    def to(self, device: torch.device) -> StreamStore:
        """Have the bags delivered to a device."""
        self.device = device
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        return self

    def batches(self, draws: Iterator[Draw], tau: int) -> Iterator[Bags]:
        """The bags of each draw, in order; the draws may go on for ever."""
        readers = Readers(self.readers)
        waiting: deque[_Block] = deque()
        ahead = AHEAD if self.readers else 0
        try:
            while True:
                while len(waiting) <= ahead and (draw := next(draws, None)) is not None:
                    waiting.append(_Block(self, draw, tau))
                    waiting[-1].start(readers)
                if not waiting:
                    return
                yield waiting.popleft().bags()
        finally:
            readers.close()

    def bags(self, draw: Draw, tau: int) -> Bags:
        """The bags of one draw, read by the caller."""
        block = _Block(self, draw, tau)
        block.start(Readers(0))
        return block.bags()

    def statistics(self, name: str) -> tuple[Tensor, Tensor]:
        """As `ResidentStore.statistics`, to the same bit."""
        return moments(self._whole(name, int(v)) for v in sampled(self.videos, self.corpus.clips))

    def _whole(self, name: str, video: int) -> tuple[Tensor, Tensor]:
        """A video's rows of a stream, (T_n, D), and where it is heard, (T_n,)."""
        number, row = self.corpus.shard_of(video)
        rows, clips = self._rows[number], int(self.corpus.clips[video])
        where = self._rows[number].shard.offsets[[row]], self.corpus.clips[[video]]
        out = torch.empty(clips, self.corpus.streams[name].width, dtype=_TYPES[self.corpus.streams[name].dtype])
        with rows.opened() as file:
            if rows.read(file, name, *where, out.numpy()[None], np.zeros(1, np.intp)).any():
                refuse_not_finite(self.corpus, video, name, out.numpy())
        heard = rows.heard(where[0], clips)[0].astype(bool) if name == "audio" else np.ones(clips, bool)
        return out, torch.from_numpy(heard)

    def take(self, bags: int, tau: int) -> dict[str, Tensor]:
        """Host memory for a batch: (bags, tau, D) a stream and (bags, tau) for `heard`; pinned if it is copied on."""
        shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
        for name in self.streams:
            stream = self.corpus.streams[name]
            shapes[name] = (bags, tau, stream.width), _TYPES[stream.dtype]
        if "audio" in self.streams:
            shapes["heard"] = ((bags, tau), torch.uint8)
        if self._side is None:
            return self._lent(shapes)
        for number, (memory, copied) in enumerate(self._free):
            if memory[self.streams[0]].shape[:2] == (bags, tau):
                del self._free[number]
                if copied is not None:
                    copied.synchronize()
                return memory
        return {name: torch.empty(shape, dtype=dtype, pin_memory=True) for name, (shape, dtype) in shapes.items()}

    def _lent(self, shapes: dict[str, tuple[tuple[int, ...], torch.dtype]]) -> dict[str, Tensor]:
        """Memory that was lent before and that no one holds any more, else new: new memory costs as much as reading."""
        wanted = [shape for shape, _ in shapes.values()]
        found = next((block for block in self._blocks if block.fits(wanted)), None)
        if found is None:
            found = _Lent({name: torch.empty(shape, dtype=dtype).numpy() for name, (shape, dtype) in shapes.items()})
            self._blocks = [*self._blocks[-AHEAD - 1 :], found]
        return found.lend()

    def send(self, memory: dict[str, Tensor]) -> tuple[dict[str, Tensor], torch.cuda.Event | None]:
        """Copy a block to the device on the side stream; the event tells when it has arrived."""
        if self._side is None:
            return (memory if self.device.type == "cpu" else {n: t.to(self.device) for n, t in memory.items()}), None
        with torch.cuda.stream(self._side):
            sent = {name: part.to(self.device, non_blocking=True) for name, part in memory.items()}
            return sent, self._side.record_event()

    def arrived(self, memory: dict[str, Tensor], sent: dict[str, Tensor], copied: torch.cuda.Event | None) -> None:
        """Let the step's stream wait for a copy, and take its host memory back."""
        if copied is None:
            return
        current = torch.cuda.current_stream(self.device)
        current.wait_event(copied)
        for part in sent.values():
            part.record_stream(current)
        self._free = [*self._free[-AHEAD:], (memory, copied)]


class _Lent:
    """Arrays lent as tensors; a tensor, and all that is made to share its memory, keeps its view of an array alive."""

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.arrays = arrays
        self._views: list[weakref.ref[NDArray[Any]]] = []

    def fits(self, shapes: list[tuple[int, ...]]) -> bool:
        """Whether these are its shapes and nothing is lent."""
        same = shapes == [array.shape for array in self.arrays.values()]
        return same and all(view() is None for view in self._views)

    def lend(self) -> dict[str, Tensor]:
        """All of it."""
        views = {name: array.view() for name, array in self.arrays.items()}
        self._views = [weakref.ref(view) for view in views.values()]
        return {name: torch.from_numpy(view) for name, view in views.items()}


class _Block:
    """One batch on its way: read in parts, and sent to the device by whoever reads the last of them."""

    def __init__(self, store: StreamStore, draw: Draw, tau: int) -> None:
        self.store, self.draw, self.tau = store, draw, tau
        self.clips = np.minimum(store.corpus.clips[draw.video] - draw.start, tau)
        self.memory = store.take(len(draw.video), tau)
        self.sent: tuple[dict[str, Tensor], torch.cuda.Event | None] | None = None
        self._lock = threading.Lock()
        self._tasks: list[Task] = []
        self._missing = 0

    def start(self, readers: Readers) -> None:
        """Have it read."""
        parts = np.array_split(np.arange(len(self.draw.video)), max(1, self.store.readers))
        self._missing = len(parts)
        self._tasks = [readers.give(Task(lambda note, part=part: self._read(part, note))) for part in parts]  # type: ignore[misc]

    def _read(self, part: NDArray[np.intp], note: Callable[[str], None]) -> None:
        """Read some of its bags; rows beyond a video's end repeat the window's first."""
        store = self.store
        arrays = {name: tensor.numpy() for name, tensor in self.memory.items()}
        shards, row = store.corpus.shards_of(self.draw.video[part])
        for number in np.unique(shards).tolist():
            source, here = store._rows[number], shards == number
            note(str(source.shard.path))
            bags = part[here]
            first = source.shard.offsets[row[here]] + self.draw.start[bags]
            with source.opened() as file:
                for name in store.streams:
                    suspect = source.read(file, name, first, self.clips[bags], arrays[name], bags)
                    for bag in bags[suspect].tolist():
                        rows = arrays[name][bag, : self.clips[bag]]
                        refuse_not_finite(store.corpus, int(self.draw.video[bag]), name, rows)
            if "heard" in arrays:
                arrays["heard"][bags] = source.heard(first, self.tau)
        bag, clip = np.nonzero(np.arange(self.tau) >= self.clips[part, None])
        for name in store.streams:
            arrays[name][part[bag], clip] = arrays[name][part[bag], 0]
        with self._lock:
            self._missing -= 1
            if self._missing == 0:
                self.sent = store.send(self.memory)

    def bags(self) -> Bags:
        """Wait until it is there."""
        for task in self._tasks:
            task.wait()
        assert self.sent is not None
        rows, copied = self.sent
        self.store.arrived(self.memory, rows, copied)
        device = self.store.device
        clips = torch.from_numpy(self.clips).to(device, non_blocking=True)
        mask = torch.arange(self.tau, device=device) < clips.unsqueeze(1)
        heard = rows["heard"].bool() & mask if "heard" in rows else torch.zeros_like(mask)
        label = (torch.arange(len(mask), device=device) < len(mask) // 2).float()
        return Bags(rows.get("visual"), rows.get("audio"), mask, heard, label)
