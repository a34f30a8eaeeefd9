"""Reading a shard: the format is told in `format`, the hot read is in `rows`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from highlight_lit.data.shards.format import FORMAT, NAMES, PACKED, POINTS_INTO, TIMES, VERSION, wrong_value
from highlight_lit.data.shards.hdf5 import HDF5, LIBRARY_ROWS, reading
from highlight_lit.data.shards.rows import PackedRows
from highlight_lit.data.topics.tags import MAX_TAG
from highlight_lit.data.video import SPLITS, STREAMS, Labels, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.untrusted.hdf5_files import attribute
from highlight_lit.untrusted.hdf5_heaps import check_heaps

_FLOATS = (h5py.h5t.IEEE_F16LE, h5py.h5t.IEEE_F32LE)
PIECE_ROWS = 1024  # of a long video, read one after the other: a first read checks them in memory of its own


class Shard:
    """A shard open for reading. Any number of threads may read from it.

    Opening checks what every read needs: format, offsets that start at 0, never fall and end at the last row, and where
    the packed rows lie. Each other dataset is checked when it is first used, rows of features when they are first read:
    by their checksums, and for values that are not finite. `faults` in `verify` checks all.

    Args:
        path: The file. It must stay the one that was opened.

    Attributes:
        videos: How many it has.
        offsets: (N + 1,) the first row of each video.
        streams: Its streams by name.
        packed: The rows of its streams and of `audio_mask`, for reads into memory of the caller's.
        slow: Whether some are read through the HDF5 library, as they are not stored as this version stores them.

    Raises:
        InputError: The file is missing, truncated, damaged, not a shard or no longer the one that was opened; in every
            method.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = HDF5(path)
        self.opened, self.close = self._file.opened, self._file.close
        self._offsets: dict[str, NDArray[Any]] = {}  # that were asked for by row
        with reading(path):
            check_heaps(self._file.handle, str(path), PACKED)
            form, version = (attribute(self._file.handle, name) for name in ("format", "version"))
            if form != FORMAT or isinstance(version, np.bool_) or version not in NAMES:  # a truth value is 1 in Python
                raise InputError(f"{path}: {form!r} version {version!r}, expected {FORMAT!r} version 1 or {VERSION}")
            self._file.names = NAMES[int(version)]
            self.videos = len(self._file["offsets"]) - 1
            self.offsets = self.column("offsets")
            self._file.counts = {"videos": self.videos, "edges": self.videos + 1, "clips": int(self.offsets[-1])}
            self.streams = {name: self._stream(name) for name in STREAMS if name in self._file}
            packed = (*self.streams, "audio_mask") if "audio" in self.streams else self.streams
            self.packed = {name: PackedRows(self._file, name, self.offsets) for name in packed}
            self.slow = any(rows.extent is None for rows in self.packed.values())

    def _stream(self, name: str) -> Stream:
        dataset = self._file[name]
        # By the library's own description: what differs from these in a bit of the exponent is shown as one of them.
        if dataset.shape[1] == 0 or not any(dataset.id.get_type().equal(kind) for kind in _FLOATS):
            expected = "rows of float16 or float32 of IEEE 754, little-endian"
            raise InputError(f"{self.path}: {name}: {dataset.dtype} of shape {dataset.shape}, expected {expected}")
        told = [attribute(dataset, key) for key in ("extractor", "version")]
        if any(each is None or len(str(each)) > MAX_TAG for each in told):  # a checkpoint has them too
            raise InputError(f"{self.path}: {name}: extractor, version: expected texts of at most {MAX_TAG} characters")
        return Stream(dataset.shape[1], str(told[0]), str(told[1]), str(dataset.dtype))

    def digest(self) -> str:
        """XXH3-128 of the file but for the packed rows that have sums: of their sums, then, and of all else.

        Files with the same digest have the same contents, as far as their rows fit their sums, which each first read
        checks. A shard that is `slow` is read whole.
        """
        digest, at = xxhash.xxh3_128(), 0
        with self.opened() as file:
            end = os.fstat(file).st_size
            for start, stop in [*sorted(rows.extent for rows in self.packed.values() if rows.extent), (end, end)]:
                while at < start and (data := os.pread(file, min(start - at, 1 << 20), at)):
                    digest.update(data)
                    at += len(data)
                at = stop
        return digest.hexdigest()

    def column(self, name: str, which: slice = slice(None)) -> NDArray[Any]:
        """All or some of a dataset of the index, its values checked; of offsets always all."""
        with reading(self.path):
            values: NDArray[Any] = self._file[name][which]
            if name.endswith("offsets"):
                values = values.astype(np.int64)
            elif name in TIMES:  # as a float16 a bound is infinite, and no number is above it
                values = values.astype(np.float64, copy=False)
            into = POINTS_INTO.get(name, name)
            pointed = len(self._file[into]) if into in self._file else 0  # no labels where no video has some
            if (fault := wrong_value(name, values, which.start or 0, pointed)) is not None:
                raise InputError(f"{self.path}: {name}: {fault}")
            return values

    def _owned(self, name: str, row: int) -> slice:
        """What offsets of a name say that the video in `row` has of the dataset they point into."""
        if name not in self._offsets:
            self._offsets[name] = self.column(name)
        return slice(*self._offsets[name][row : row + 2].tolist())

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` of `visual`, `audio`, `audio_mask` or `span`, checked."""
        if name not in self.packed:
            return self.column(name, slice(start, stop))
        packed = self.packed[name]
        values = np.empty((stop - start, *packed.shape), packed.dtype)
        with self.opened() as file:
            step = PIECE_ROWS if packed.extent else LIBRARY_ROWS
            pieces = [(row, min(row + step, stop), row - start) for row in range(start, stop, step)]
            packed.fill(file, pieces, values.reshape(-1).view(np.uint8).data)
        return values

    def title(self, row: int) -> str:
        """Title of the video in `row`."""
        with reading(self.path):
            return bytes(self.column("title_bytes", self._owned("title_offsets", row))).decode()

    def labels(self, row: int) -> Labels | None:
        """Labels of the video in `row`, None where it has none. For evaluation: training never calls this."""
        which = self._owned("label_offsets", row)
        if which.start == which.stop:
            return None
        score = self.column("label_score", which)
        there = np.flatnonzero(~np.isnan(score).all(axis=0))  # the last ones may be of other videos' annotators
        labels = Labels(self.column("label_span", which), score[:, : there.max(initial=-1) + 1])
        if (fault := labels.fault()) is not None:
            raise InputError(f"{self.path}: row {row}: {fault}")
        return labels

    def video(self, row: int) -> Video:
        """The whole video in `row`, as it was added."""
        start, stop = self.offsets[row : row + 2].tolist()
        alone = slice(row, row + 1)
        tags = self.column("tag_name")[self.column("tag_index", self._owned("tag_offsets", row))]
        rows = {name: self.rows(name, start, stop) for name in self.packed}
        mask = rows["audio_mask"].astype(bool) if "audio" in rows else np.zeros(0, bool)
        return Video(
            id=self.column("id", alone)[0].decode(),
            duration=float(self.column("duration", alone)[0]),
            tags=tuple(tag.decode() for tag in tags),
            span=self.rows("span", start, stop),
            visual=rows.get("visual"),
            audio=rows["audio"] if mask.any() else None,
            audio_mask=mask if mask.any() else None,
            title=self.title(row),
            split=SPLITS[self.column("split", alone)[0]],
            labels=self.labels(row),
        )

    def __iter__(self) -> Iterator[Video]:
        return (self.video(row) for row in range(self.videos))
