"""Reading a shard: the format is told in `format`, the hot read is in `rows`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xxhash
from numpy.typing import NDArray

from highlight_lit.data.shards.format import ALGORITHM, BLOCK_ROWS, BY_VIDEO, FORMAT, NAMES, VERSION, wrong_value
from highlight_lit.data.shards.hdf5 import HDF5, reading
from highlight_lit.data.shards.rows import PackedRows
from highlight_lit.data.video import MEND_FEATURES, SPLITS, STREAMS, Labels, Stream, Video
from highlight_lit.errors import InputError

_FLOATS = (h5py.h5t.IEEE_F16LE, h5py.h5t.IEEE_F32LE)


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

    Raises:
        InputError: The file is missing, truncated, damaged, not a shard or no longer the one that was opened; in every
            method.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = HDF5(path)
        self.opened, self.close = self._file.opened, self._file.close
        with reading(path):
            self._open()

    def _open(self) -> None:
        form, version = (self._file.handle.attrs.get(name) for name in ("format", "version"))
        if form != FORMAT or version not in NAMES:
            raise InputError(
                f"{self.path}: expected {FORMAT!r} version 1 or {VERSION}, found {form!r} version {version!r}"
            )
        self._file.names = NAMES[int(version)]
        self.videos = len(self._file["offsets"]) - 1
        self.offsets = self._offsets("", None)
        self.streams = {name: self._stream(name) for name in STREAMS if name in self._file}
        with_mask = [*self.streams, *(["audio_mask"] if "audio" in self.streams else [])]
        self.packed = {name: self._packed_rows(name) for name in with_mask}

    @property
    def slow(self) -> bool:
        """Whether its features are read through the HDF5 library, as they are not stored as this version stores them."""
        return any(rows.place is None for rows in self.packed.values())

    @property
    def clip_seconds(self) -> float:
        """Nominal length of a clip; 1 where it is not said."""
        with reading(self.path):
            return float(self._file.handle.attrs.get("clip_seconds", 1.0))

    def _stream(self, name: str) -> Stream:
        dataset = self._file[name]
        # By the library's own description: what differs from these in a bit of the exponent is shown as one of them.
        if dataset.ndim != 2 or dataset.shape[1] == 0 or not any(dataset.id.get_type().equal(kind) for kind in _FLOATS):
            raise InputError(
                f"{self.path}: {name}: {dataset.dtype} of shape {dataset.shape}, "
                "expected rows of float16 or float32 of IEEE 754, little-endian"
            )
        extractor, version = str(dataset.attrs["extractor"]), str(dataset.attrs["version"])
        return Stream(dataset.shape[1], extractor, version, str(dataset.dtype))

    def _packed_rows(self, name: str) -> PackedRows:
        dataset = self._file[name]
        if len(dataset) != self.offsets[-1]:
            raise InputError(f"{self.path}: {name}: {len(dataset)} rows, expected {self.offsets[-1]}")
        row_bytes = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
        return PackedRows(self.path, name, len(dataset), row_bytes, dataset.dtype, self._place(name, dataset))

    def _place(self, name: str, dataset: h5py.Dataset) -> tuple[int, int] | None:
        """Where packed rows and their sums begin in the file; None where they are not stored as this version does."""
        if f"{name}_sums" not in self._file:
            return None
        sums, end = self._file[f"{name}_sums"], self._file.size
        offsets = dataset.id.get_offset(), sums.id.get_offset()
        if None in offsets or sums.attrs.get("algorithm") != ALGORITHM or sums.attrs.get("block_rows") != BLOCK_ROWS:
            return None
        if sums.dtype != np.dtype("<u8") or sums.shape != (-(-len(dataset) // BLOCK_ROWS),):
            raise InputError(
                f"{self.path}: {name}_sums: {sums.dtype} of shape {sums.shape}, expected one a block of rows"
            )
        if any(at + one.nbytes > end for at, one in zip(offsets, (dataset, sums), strict=True)):
            raise InputError(f"{self.path}: {name}: goes on beyond the end of the file: truncated or damaged")
        return offsets

    def _offsets(self, prefix: str, owned: str | None) -> NDArray[np.int64]:
        """The (N + 1,) offsets into the dataset `owned`, checked; None: of those into all that have a row a clip."""
        offsets = np.asarray(self._file[f"{prefix}offsets"][:], np.int64)
        if owned is None:
            rows = int(offsets[-1]) if offsets.size else 0
        else:
            rows = len(self._file[owned]) if owned in self._file else 0
        well_formed = offsets.shape == (self.videos + 1,) and offsets[0] == 0 and (np.diff(offsets) >= 0).all()
        if not well_formed or offsets[-1] != rows:
            raise InputError(f"{self.path}: {prefix}offsets: not {self.videos + 1} rising numbers from 0 to {rows}")
        return offsets

    def _owned(self, prefix: str, owned: str, row: int) -> slice:
        """What the video in `row` has of the dataset `owned`."""
        start, stop = (int(offset) for offset in self._file[f"{prefix}offsets"][row : row + 2])
        rows = len(self._file[owned]) if owned in self._file else 0
        if not 0 <= start <= stop <= rows:
            raise InputError(f"{self.path}: {prefix}offsets: {start} and {stop} in row {row}, expected 0 to {rows}")
        return slice(start, stop)

    def digest(self) -> str:
        """XXH3-128 of the file but for the packed rows that have sums: of their sums, then, and of all else.

        Files with the same digest have the same contents, as far as their rows fit their sums, which each first read
        checks. A shard that is `slow` is read whole.
        """
        places = ((rows.place, rows.rows * rows.row_bytes) for rows in self.packed.values())
        packed = sorted((place[0], place[0] + size) for place, size in places if place is not None)
        with self.opened() as file:
            end = os.fstat(file).st_size
            return _digest(
                file, zip([0, *(stop for _, stop in packed)], [*(start for start, _ in packed), end], strict=True)
            )

    def column(self, name: str, which: slice = slice(None)) -> NDArray[Any]:
        """Of a per-video dataset all or some: `id`, `duration`, `split`; or of another of the index."""
        with reading(self.path):
            dataset = self._file[name]
            if name in BY_VIDEO and len(dataset) != self.videos:
                raise InputError(f"{self.path}: {name}: {len(dataset)} rows, expected {self.videos}")
            values: NDArray[Any] = dataset[which]
            tags = len(self._file["tag_name"]) if name == "tag_index" else 0
            if (fault := wrong_value(name, values, tags)) is not None:
                raise InputError(f"{self.path}: {name}: {fault}")
            return values

    def tag_offsets(self) -> NDArray[np.int64]:
        """(N + 1,) where each video's tags begin in `tag_index`."""
        with reading(self.path):
            return self._offsets("tag_", "tag_index")

    def library_rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` of a dataset with a row a clip, through the HDF5 library."""
        with reading(self.path):
            dataset = self._file[name]
            if len(dataset) != self.offsets[-1]:
                raise InputError(f"{self.path}: {name}: {len(dataset)} rows, expected {self.offsets[-1]}")
            values: NDArray[Any] = dataset[start:stop]
            return values

    def not_finite(self, name: str, row: int) -> InputError:
        """The error for a row with a value that is NaN or infinite: it names the video."""
        video = int(np.searchsorted(self.offsets, row, side="right")) - 1
        identifier = self.column("id", slice(video, video + 1))[0].decode()
        clip = row - int(self.offsets[video])
        where = f"{self.path}: video {identifier!r} (row {video}): {name}"
        return InputError(f"{where}: NaN or infinite in clip {clip}; {MEND_FEATURES}, and make the corpus again")

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` of `visual`, `audio`, `audio_mask` or `span`, checked."""
        if name not in self.packed:
            return self.library_rows(name, start, stop)
        packed = self.packed[name]
        values = np.empty((stop - start, *([self.streams[name].width] if name in self.streams else [])), packed.dtype)
        with self.opened() as file:
            window = np.array([start]), np.array([stop])
            packed.fill(self, file, *window, values.reshape(-1).view(np.uint8).data, np.array([0]))
        return values

    def title(self, row: int) -> str:
        """Title of the video in `row`."""
        with reading(self.path):
            return bytes(self._file["title_bytes"][self._owned("title_", "title_bytes", row)]).decode()

    def labels(self, row: int) -> Labels | None:
        """Labels of the video in `row`, None where it has none. For evaluation: training never calls this."""
        with reading(self.path):
            which = self._owned("label_", "label_span", row)
            if which.start == which.stop:
                return None
            score = self._file["label_score"][which]
            there = np.flatnonzero(~np.isnan(score).all(axis=0))  # the last ones may be of other videos' annotators
            labels = Labels(self._file["label_span"][which], score[:, : there.max(initial=-1) + 1])
            if (fault := labels.fault()) is not None:
                raise InputError(f"{self.path}: row {row}: {fault}")
            return labels

    def video(self, row: int) -> Video:
        """The whole video in `row`, as it was added."""
        with reading(self.path):
            start, stop = (int(offset) for offset in self.offsets[row : row + 2])
            alone = slice(row, row + 1)
            tags = self.column("tag_name")[self.column("tag_index", self._owned("tag_", "tag_index", row))]
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


def _digest(file: int, parts: Iterator[tuple[int, int]]) -> str:
    """XXH3-128 of some parts of a file, each from a byte to another."""
    found = xxhash.xxh3_128()
    for at, stop in parts:
        while at < stop and (data := os.pread(file, min(stop - at, 1 << 20), at)):
            found.update(data)
            at += len(data)
    return found.hexdigest()
