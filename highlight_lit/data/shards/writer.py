"""Writing a shard: the format is told in `format`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from highlight_lit.data.shards.format import ALGORITHM, BLOCK_ROWS, FORMAT, VERSION
from highlight_lit.data.shards.sink import Sink
from highlight_lit.data.video import SPLITS, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.files import atomic_write

CHUNK_BYTES = 1 << 13  # of a dataset of the index, small so that a shard of few videos stays small
COPY_BYTES = 1 << 22  # of features, at once
MAX_TAG_BYTES = 1 << 27  # of the names of a file's tags, all as long as the longest
MAX_SCORES = 1 << 25  # of a file's labels, every video's with a column for each annotator of any


class ShardWriter:
    """Write one shard, video by video, in memory that does not grow with its features.

    Used as a context manager: on leaving, the file is synced and renamed to its name; if anything was raised, nothing
    stays behind. Features wait in a file without a name until it is known how many there are.

    Args:
        path: The final name.
        streams: The streams every video has, by name; empty for a shard of labels alone.
        clip_seconds: Nominal length of a clip.

    Raises:
        InputError: A video does not fit (`Video.fault`), its id was added already, or it cannot be written.
    """

    def __init__(self, path: Path, streams: Mapping[str, Stream], clip_seconds: float) -> None:
        self.path, self.streams, self.clip_seconds = path, dict(streams), clip_seconds
        self.clips = self._annotators = self._longest_tag = 0
        self.ids: dict[str, None] = {}
        self._tags: dict[str, int] = {}
        self._lists: dict[str, list[Any]] = {
            name: [] for name in ("duration", "split", "tag_index", "audio_mask", "span", "label_span", "label_score")
        }
        self._titles: list[bytes] = []
        self._offsets: dict[str, list[int]] = {name: [0] for name in ("", "tag_", "title_", "label_")}

    def __enter__(self) -> ShardWriter:
        with ExitStack() as stack:
            self._temporary = stack.enter_context(atomic_write(self.path))
            self._waiting: dict[str, IO[bytes]] = {}
            for name in self.streams:
                self._waiting[name] = tempfile.TemporaryFile(dir=self.path.parent)
                stack.callback(_close, self._waiting[name])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, tb)
            return
        with self._stack:
            self._write()

    def add(self, video: Video) -> None:
        """Append a video."""
        fault = "id: this video was added before" if video.id in self.ids else video.fault(self.streams)
        if fault is not None:
            raise InputError(f"{self.path.name}: video {video.id!r}: {fault}")
        if video.labels is not None:
            segments = self._offsets["label_"][-1] + len(video.labels.span)
            self._annotators = annotators = max(self._annotators, video.labels.score.shape[1])
            if segments * annotators > MAX_SCORES:
                raise InputError(
                    f"{self.path.name}: video {video.id!r}: labels: {segments} segments up to it, one of {annotators} annotators; "
                    f"expected at most {MAX_SCORES} of both together in a file, where every video's have as many columns"
                )
        tags = len(self._tags) + sum(tag not in self._tags for tag in set(video.tags))
        self._longest_tag = max([self._longest_tag, *(len(tag.encode()) for tag in video.tags)])
        if tags * self._longest_tag > MAX_TAG_BYTES:
            raise InputError(
                f"{self.path.name}: video {video.id!r}: tags: {tags} names up to it, one of {self._longest_tag} bytes; expected at "
                f"most {MAX_TAG_BYTES >> 20} MiB in a file, where each takes as much as the longest"
            )
        clips = len(video.span)
        for name, stream in self.streams.items():
            rows = video.visual if name == "visual" else video.audio
            self._append(name, np.zeros((clips, stream.width)) if rows is None else rows)
        if "audio" in self.streams:
            mask = np.full(clips, video.audio is not None) if video.audio_mask is None else video.audio_mask
            self._lists["audio_mask"].append((mask & (video.audio is not None)).astype(np.uint8))
        self._lists["span"].append(video.span.astype(np.float64))
        if video.labels is not None:
            self._lists["label_span"].append(video.labels.span.astype(np.float64))
            self._lists["label_score"].append(video.labels.score.astype(np.float32))
        self.ids[video.id] = None
        self._lists["duration"].append(video.duration)
        self._lists["split"].append(SPLITS.index(video.split))
        self._lists["tag_index"] += [self._tags.setdefault(tag, len(self._tags)) for tag in dict.fromkeys(video.tags)]
        self._titles.append(video.title.encode())
        self.clips += clips
        added = {"": clips, "tag_": len(set(video.tags)), "title_": len(self._titles[-1])}
        added["label_"] = 0 if video.labels is None else len(video.labels.span)
        for name, count in added.items():
            self._offsets[name].append(self._offsets[name][-1] + count)

    def _append(self, name: str, rows: NDArray[Any]) -> None:
        dtype = np.dtype(self.streams[name].dtype)
        self._waiting[name].write(np.ascontiguousarray(rows, dtype).reshape(-1).view(np.uint8).data)

    def _write(self) -> None:
        """Write the file under its temporary name."""
        if not self.ids:
            raise InputError(f"{self.path.name}: no video was added")
        with Sink(self._temporary) as sink:
            with h5py.File(sink, "w", libver=("v110", "v110")) as file:
                file.attrs.update({"format": FORMAT, "version": VERSION, "clip_seconds": self.clip_seconds})
                for name, stream in self.streams.items():
                    parts = _parts(self._waiting[name], self.clips, stream)
                    write_packed(file, name, (self.clips, stream.width), np.dtype(stream.dtype), parts)
                    file[name].attrs.update({"extractor": stream.extractor, "version": stream.version})
                if "audio" in self.streams:
                    mask = np.concatenate(self._lists["audio_mask"])
                    write_packed(file, "audio_mask", mask.shape, mask.dtype, [mask])
                for name, rows in self._index().items():
                    write_index(file, name, rows)
            if sink.failed is not None:
                raise sink.failed

    def _index(self) -> dict[str, NDArray[Any]]:
        """What is not packed, by the name of its dataset."""
        lists = self._lists
        annotators = max((len(score.T) for score in lists["label_score"]), default=0)
        lists["label_score"] = [_padded(score, annotators) for score in lists["label_score"]]
        labels = {name: np.concatenate(lists[name]) for name in ("label_span", "label_score") if lists[name]}
        return {
            "span": np.concatenate(lists["span"]),
            **labels,
            "id": np.array([name.encode() for name in self.ids], dtype=np.bytes_),
            "duration": np.array(lists["duration"], np.float64),
            "split": np.array(lists["split"], np.uint8),
            "tag_name": np.array([tag.encode() for tag in self._tags], dtype=np.bytes_),
            "tag_index": np.array(lists["tag_index"], np.int32),
            "title_bytes": np.frombuffer(b"".join(self._titles), np.uint8),
            **{f"{name}offsets": np.array(offsets, np.int64) for name, offsets in self._offsets.items()},
        }


def write_packed(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterable[NDArray[Any]]
) -> None:
    """Write packed rows in one piece, and the sums of their blocks.

    Args:
        file: The shard.
        name: The dataset.
        shape, dtype: Of the dataset.
        parts: Its rows in order; each but the last has whole blocks.
    """
    dataset, sums, at = file.create_dataset(name, shape, dtype), [], 0
    for rows in parts:
        dataset[at : at + len(rows)] = rows
        at += len(rows)
        sums += [
            xxhash.xxh3_64_intdigest(rows[block : block + BLOCK_ROWS].data) for block in range(0, len(rows), BLOCK_ROWS)
        ]
    made = file.create_dataset(f"{name}_sums", data=np.array(sums, "<u8"))
    made.attrs.update({"algorithm": ALGORITHM, "block_rows": BLOCK_ROWS})


def write_index(file: h5py.File, name: str, rows: NDArray[Any]) -> None:
    """Write a dataset of the index in chunks of whole rows, each with HDF5's checksum."""
    row_bytes = max(1, rows.dtype.itemsize * int(np.prod(rows.shape[1:])))
    chunk = max(1, min(len(rows), CHUNK_BYTES // row_bytes))
    limit = (None, *rows.shape[1:])
    file.create_dataset(name, data=rows, chunks=(chunk, *rows.shape[1:]), maxshape=limit, fletcher32=True)


def _parts(file: IO[bytes], rows: int, stream: Stream) -> Iterable[NDArray[Any]]:
    """What waits in a file, whole blocks at a time."""
    row_bytes = stream.width * np.dtype(stream.dtype).itemsize
    step = max(1, COPY_BYTES // row_bytes // BLOCK_ROWS) * BLOCK_ROWS
    file.seek(0)
    for _ in range(0, rows, step):
        yield np.frombuffer(file.read(step * row_bytes), stream.dtype).reshape(-1, stream.width)


def _padded(score: NDArray[np.float32], annotators: int) -> NDArray[np.float32]:
    """(S, A) scores with columns of NaN in place of annotators that other videos have: `Shard.labels` drops them."""
    return np.pad(score, ((0, 0), (0, annotators - score.shape[1])), constant_values=np.nan)


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # of what could not be written the error was raised before
        file.close()
