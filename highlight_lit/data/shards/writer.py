"""Writing shards: the format is told in `format`."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.shards.format import ALGORITHM, BLOCK_ROWS, FORMAT, POINTS_INTO, VERSION, checksum
from highlight_lit.data.shards.sink import Sink
from highlight_lit.data.video import SPLITS, Labels, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.files import atomic_write

SHARD_BYTES = 256 << 20  # of features, at which a shard is closed
CHUNK_BYTES = 1 << 13  # of a dataset of the index, small so that a shard of few videos stays small
COPY_BYTES = 1 << 22  # of features, at once
MAX_TAG_BYTES = 1 << 27  # of the names of a file's tags, all as long as the longest
MAX_SCORES = 1 << 25  # of a file's labels, every video's with a column for each annotator of any
_TYPES = {  # as written, in this order
    "span": "f8", "label_span": "f8", "label_score": "f4", "id": "S", "duration": "f8", "split": "u1",
    "tag_name": "S", "tag_index": "i4", "title_bytes": "u1",
}  # fmt: skip


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
        self.clips = self._segments = self._annotators = self._longest_tag = 0
        self.ids: set[str] = set()
        self._packed: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
            name: (np.dtype(stream.dtype), (stream.width,)) for name, stream in streams.items()
        }
        if "audio" in streams:
            self._packed["audio_mask"] = np.dtype("u1"), ()
        self._tags: dict[str, int] = {}
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _TYPES}  # of each column, one a video

    def __enter__(self) -> ShardWriter:
        self._files = self._open()
        return self._files.__enter__()

    def __exit__(self, *raised: Any) -> None:
        self._files.__exit__(*raised)

    @contextmanager
    def _open(self) -> Iterator[ShardWriter]:
        with atomic_write(self.path) as temporary, ExitStack() as stack:
            self._waiting = {
                name: stack.enter_context(tempfile.TemporaryFile(dir=self.path.parent)) for name in self._packed
            }
            yield self
            self._write(temporary)

    def add(self, video: Video) -> None:
        """Append a video."""
        fault = "id: this video was added before" if video.id in self.ids else video.fault(self.streams)
        if fault is not None:
            raise InputError(f"{self.path.name}: video {video.id!r}: {fault}")
        labels = Labels(np.empty((0, 2)), np.empty((0, 0), np.float32)) if video.labels is None else video.labels
        self._check_sizes(video, labels)
        clips, audio = len(video.span), video.audio is not None
        mask = np.full(clips, audio) if video.audio_mask is None else video.audio_mask & audio
        packed = {"visual": video.visual, "audio": video.audio, "audio_mask": mask}
        for name, (dtype, row) in self._packed.items():
            rows = np.zeros((clips, *row)) if packed[name] is None else packed[name]
            self._waiting[name].write(np.ascontiguousarray(rows, dtype).reshape(-1).view(np.uint8).data)
        self.clips += clips
        self.ids.add(video.id)
        known, tags = len(self._tags), list(dict.fromkeys(video.tags))
        codes = [self._tags.setdefault(tag, len(self._tags)) for tag in tags]
        parts = {
            "span": video.span, "label_span": labels.span, "label_score": labels.score, "id": [video.id.encode()],
            "duration": [video.duration], "split": [SPLITS.index(video.split)], "tag_index": codes,
            "tag_name": [tag.encode() for tag, code in zip(tags, codes, strict=True) if code >= known],
            "title_bytes": bytearray(video.title.encode()),
        }  # fmt: skip
        for name, part in parts.items():
            self._parts[name].append(np.array(part, _TYPES[name]))

    def _check_sizes(self, video: Video, labels: Labels) -> None:
        """Refuse a video with which labels or tags, all as wide as the widest in the file, become many times larger."""
        self._segments += len(labels.span)
        self._annotators = max(self._annotators, labels.score.shape[1])
        self._longest_tag = max([self._longest_tag, *(len(tag.encode()) for tag in video.tags)])
        tags = len(self._tags) + len(set(video.tags) - self._tags.keys())
        for name, rows, width, most, unit in (
            ("labels: segments", self._segments, self._annotators, MAX_SCORES, "scores"),
            ("tags: names", tags, self._longest_tag, MAX_TAG_BYTES, "bytes"),
        ):
            if rows * width > most:
                up_to = f"{rows} up to it, one of {width} {unit}; expected at most {most} {unit} in a file, where all are as wide"
                raise InputError(f"{self.path.name}: video {video.id!r}: {name}: {up_to}")

    def _write(self, path: Path) -> None:
        if not self.ids:
            raise InputError(f"{self.path.name}: no video was added")
        with Sink(path, "r+") as sink:
            with h5py.File(sink, "w", libver=("v110", "v110")) as file:
                file.attrs.update({"format": FORMAT, "version": VERSION, "clip_seconds": self.clip_seconds})
                for name, (dtype, row) in self._packed.items():
                    write_packed(file, name, (self.clips, *row), dtype, self._waiting[name])
                    if (stream := self.streams.get(name)) is not None:
                        file[name].attrs.update({"extractor": stream.extractor, "version": stream.version})
                for name, rows in self._columns().items():
                    write_index(file, name, rows)
            if sink.failed is not None:
                raise sink.failed

    def _columns(self) -> dict[str, NDArray[Any]]:
        """The datasets but for features, by name."""
        pointing = {name: to for name, to in {"offsets": "span", **POINTS_INTO}.items() if name.endswith("offsets")}
        offsets = {name: np.cumsum([0, *map(len, self._parts[to])]) for name, to in pointing.items()}
        # Columns of NaN stand for annotators that other videos have; `Shard.labels` drops them.
        self._parts["label_score"] = [
            np.pad(score, ((0, 0), (0, self._annotators - score.shape[1])), constant_values=np.nan)
            for score in self._parts["label_score"]
        ]
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        if not self._annotators:
            del columns["label_span"], columns["label_score"]
        return columns | offsets


def write_shards(
    root: Path, videos: Iterable[Video], streams: Mapping[str, Stream], clip_seconds: float, shard_bytes: int
) -> None:
    """Write videos into shards of about `shard_bytes` of features in the folder `root`, at least one shard."""
    clip_bytes = sum(stream.width * np.dtype(stream.dtype).itemsize for stream in streams.values()) + 17
    remaining = iter(videos)
    video = next(remaining, None)
    for number in itertools.count():
        with ShardWriter(root / f"shard-{number:05d}.h5", streams, clip_seconds) as writer:
            while video is not None and writer.clips * clip_bytes < shard_bytes:
                writer.add(video)
                video = next(remaining, None)
        if video is None:
            return


def write_packed(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], source: IO[bytes]) -> None:
    """Write packed rows, from a file of their bytes, in one piece, and the sums of their blocks."""
    dataset, sums = file.create_dataset(name, shape, dtype), []
    row_bytes = dtype.itemsize * math.prod(shape[1:])
    step = max(1, COPY_BYTES // row_bytes // BLOCK_ROWS) * BLOCK_ROWS
    source.seek(0)
    for at in range(0, len(dataset), step):
        rows = np.frombuffer(source.read(step * row_bytes), dtype).reshape(-1, *shape[1:])
        dataset[at : at + len(rows)] = rows
        sums += [checksum(rows[row : row + BLOCK_ROWS].data) for row in range(0, len(rows), BLOCK_ROWS)]
    made = file.create_dataset(f"{name}_sums", data=np.array(sums, "<u8"))
    made.attrs.update({"algorithm": ALGORITHM, "block_rows": BLOCK_ROWS})


def write_index(file: h5py.File, name: str, rows: NDArray[Any]) -> None:
    """Write a dataset of the index in chunks of whole rows, each with HDF5's checksum."""
    row = rows.shape[1:]
    chunk = max(1, min(len(rows), CHUNK_BYTES // max(1, rows[:1].nbytes)))
    file.create_dataset(name, data=rows, chunks=(chunk, *row), maxshape=(None, *row), fletcher32=True)
