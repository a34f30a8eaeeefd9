"""Writing a shard: the format is told in `shard`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.checksums import block_sums
from highlight_lit.data.shard import BLOCK_ROWS, FORMAT, VERSION
from highlight_lit.data.video import SPLITS, STREAMS, Stream, Video
from highlight_lit.errors import InputError

CHUNK_BYTES = 1 << 18  # of a stream's chunks
INDEX_CHUNK_BYTES = 1 << 13  # of the other datasets', small so that a shard of few videos stays small


class ShardWriter:
    """Write one shard, video by video, in memory that does not grow with it.

    Used as a context manager: on leaving, the file is flushed, synced and renamed to its name; if anything was
    raised, nothing stays behind.

    Args:
        path: The final name.
        streams: The streams every video has, by name; empty for a shard of labels alone.
        clip_seconds: Nominal length of a clip.

    Raises:
        InputError: A video does not fit (`Video.fault`), its id was added already, or it cannot be written.
    """

    def __init__(self, path: Path, streams: Mapping[str, Stream], clip_seconds: float) -> None:
        self.path, self.streams, self.clip_seconds = path, dict(streams), clip_seconds
        self.clips = 0
        self.ids: dict[str, None] = {}
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            self._sink = _Sink(self._temporary)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from error
        self._file = h5py.File(self._sink, "w", libver=("v110", "v110"))
        self._growing: dict[str, _Growing] = {}
        self._tags: dict[str, int] = {}
        self._columns: dict[str, list[Any]] = {name: [] for name in ("duration", "split", "tag_index")}
        self._offsets: dict[str, list[int]] = {name: [0] for name in ("", "tag_", "title_", "label_")}
        self._titles: list[bytes] = []

    def add(self, video: Video) -> None:
        """Append a video."""
        fault = "id: this video was added before" if video.id in self.ids else video.fault(self.streams)
        if fault is not None:
            raise InputError(f"{self.path.name}: video {video.id!r}: {fault}")
        self.ids[video.id] = None
        clips = len(video.span)
        for name, stream in self.streams.items():
            rows = video.visual if name == "visual" else video.audio
            self._append_stream(name, np.zeros((clips, stream.width)) if rows is None else rows)
        if "audio" in self.streams:
            heard = np.full(clips, video.audio is not None) if video.heard is None else video.heard
            self._append("heard", (heard & (video.audio is not None)).astype(np.uint8))
        self._append("span", video.span.astype(np.float64))
        if video.labels is not None:
            self._append("label_span", video.labels.span.astype(np.float64))
            self._append("label_score", video.labels.score.astype(np.float32))
        self._columns["duration"].append(video.duration)
        self._columns["split"].append(SPLITS.index(video.split))
        self._columns["tag_index"] += [self._tags.setdefault(tag, len(self._tags)) for tag in dict.fromkeys(video.tags)]
        self._titles.append(video.title.encode())
        self.clips += clips
        added = {"": clips, "tag_": len(set(video.tags)), "title_": len(self._titles[-1])}
        added["label_"] = 0 if video.labels is None else len(video.labels.span)
        for name, count in added.items():
            self._offsets[name].append(self._offsets[name][-1] + count)
        self._sink.check(self.path)

    def _append_stream(self, name: str, rows: NDArray[Any]) -> None:
        dtype = np.dtype(self.streams[name].dtype)
        if np.abs(rows).max(initial=0) > np.finfo(dtype).max:
            raise InputError(f"{self.path.name}: {name}: a value beyond the range of {dtype}; expected --dtype float32")
        self._append(name, rows.astype(dtype, copy=False))

    def _append(self, name: str, rows: NDArray[Any]) -> None:
        """Add rows to a growing dataset; the first rows set its type and width."""
        if name not in self._growing:
            self._growing[name] = _Growing(create(self._file, name, rows[:0], growing=True))
        before = self._growing[name].dataset.shape[1:]
        if rows.shape[1:] != before:
            raise InputError(f"{self.path.name}: {name}: {rows.shape[1:]} beside {before} of earlier videos")
        self._growing[name].append(rows)

    def close(self) -> None:
        """Write the index, sync, and give the file its name."""
        file = self._file
        file.attrs.update({"format": FORMAT, "version": VERSION, "clip_seconds": self.clip_seconds})
        if not self.ids:
            raise InputError(f"{self.path.name}: no video was added")
        for growing in self._growing.values():
            growing.flush()
        for name, stream in self.streams.items():
            file[name].attrs.update({"extractor": stream.extractor, "version": stream.version})
            create(file, f"{name}_check", _block_sums(file[name]))
        create(file, "id", np.array([name.encode() for name in self.ids], dtype=np.bytes_))
        create(file, "duration", np.array(self._columns["duration"], np.float64))
        create(file, "split", np.array(self._columns["split"], np.uint8))
        create(file, "tag_name", np.array([tag.encode() for tag in self._tags], dtype=np.bytes_))
        create(file, "tag_index", np.array(self._columns["tag_index"], np.int32))
        create(file, "title_bytes", np.frombuffer(b"".join(self._titles), np.uint8))
        for name, offsets in self._offsets.items():
            create(file, f"{name}offsets", np.array(offsets, np.int64))
        file.close()
        self._sink.sync()
        self._sink.check(self.path)
        os.replace(self._temporary, self.path)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._file.close()
            self._sink.close()
            self._temporary.unlink(missing_ok=True)


class _Growing:
    """A dataset that rows are added to, written a few whole chunks at a time: each write costs as much as a video's rows."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self._waiting: list[NDArray[Any]] = []
        self._rows = 0

    def append(self, rows: NDArray[Any]) -> None:
        """Add rows; they may be changed afterwards."""
        self._waiting.append(rows.copy())
        self._rows += len(rows)
        whole = self._rows - self._rows % self.dataset.chunks[0]
        if whole:
            self._write(whole)

    def flush(self) -> None:
        """Write what is left."""
        if self._rows:
            self._write(self._rows)

    def _write(self, count: int) -> None:
        rows = np.concatenate(self._waiting)
        written = len(self.dataset)
        self.dataset.resize(written + count, axis=0)
        self.dataset[written:] = rows[:count]
        self._waiting, self._rows = [rows[count:]], len(rows) - count


class _Sink:
    """The file that the HDF5 library writes to.

    The library crashes the process when a write fails as it closes a file. So none does: the first error is kept for
    `check`, and what is written from then on is dropped; the file is not going to be kept.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115  closed by `close`
        self._error: OSError | None = None
        self.seek, self.tell, self.read, self.readinto = (
            self._file.seek, self._file.tell, self._file.read, self._file.readinto
        )  # fmt: skip

    def _unless_failed(self, call: Callable[[], object]) -> None:
        try:
            if self._error is None:
                call()
        except OSError as error:
            self._error = error

    def write(self, data: memoryview) -> int:
        """Write all of it, unless a write has failed."""

        def all_of_it() -> None:
            done = 0
            while done < len(data):
                done += self._file.write(data[done:]) or 0

        self._unless_failed(all_of_it)
        return len(data)

    def truncate(self, size: int) -> int:
        """Give the file a size, unless a write has failed."""
        self._unless_failed(lambda: self._file.truncate(size))
        return size

    def flush(self) -> None:
        """Nothing is held back."""

    def sync(self) -> None:
        """Have it on the disk."""
        self._unless_failed(lambda: os.fsync(self._file.fileno()))

    def check(self, path: Path) -> None:
        """Raise what was kept.

        Raises:
            InputError: Something could not be written; it names `path`, what the file was to be.
        """
        if self._error is not None:
            raise InputError(f"{path}: cannot be written ({self._error.strerror})") from self._error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def create(file: h5py.File, name: str, rows: NDArray[Any], growing: bool = False) -> h5py.Dataset:
    """Create a dataset in chunks of whole rows of about `CHUNK_BYTES`, each with its checksum."""
    row_bytes = max(1, rows.dtype.itemsize * int(np.prod(rows.shape[1:])))
    if name in STREAMS:
        fitting = max(1, CHUNK_BYTES // row_bytes // BLOCK_ROWS) * BLOCK_ROWS
    else:
        fitting = max(1, INDEX_CHUNK_BYTES // row_bytes)
    chunk = (fitting if growing else max(1, min(len(rows), fitting)), *rows.shape[1:])
    limit = (None, *rows.shape[1:])
    return file.create_dataset(name, data=rows, chunks=chunk, maxshape=limit, fletcher32=True)


def _block_sums(dataset: h5py.Dataset) -> NDArray[np.uint64]:
    """(blocks,) `block_sums` of a dataset, read back."""
    found = [np.zeros(0, np.uint64)]
    for first in range(0, len(dataset), dataset.chunks[0]):
        rows = dataset[first : first + dataset.chunks[0]]
        blocks = np.zeros((-(-len(rows) // BLOCK_ROWS), BLOCK_ROWS * rows[0].nbytes), np.uint8)
        blocks.reshape(-1)[: rows.nbytes] = rows.reshape(-1).view(np.uint8)
        found.append(block_sums(blocks))
    return np.concatenate(found)
