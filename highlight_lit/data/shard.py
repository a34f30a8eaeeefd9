"""The shard: one HDF5 file of packed clip features, self-describing and checksummed.

Every dataset is chunked in whole rows with a Fletcher-32 checksum, so that a flipped bit raises instead of being
silently wrong, and stored under a hard link of the file itself: a shard never points outside.

================================ ==================================== =========================================
dataset                          shape                                meaning
================================ ==================================== =========================================
visual, audio                    (sum T, Dv), (sum T, Da)             clip features, float16 or float32
heard                            (sum T,)                             1 where the clip has sound; else its audio
                                                                      row is a placeholder, never data
span                             (sum T, 2)                           start and end of each clip in seconds
offsets                          (N + 1,)                             video n owns rows offsets[n]:offsets[n+1]
id, duration, split              (N,)                                 UTF-8 bytes; seconds; index into SPLITS
tag_name, tag_offsets, tag_index (K,), (N + 1,), (sum tags,)          video n has tags tag_name[tag_index[...]]
title_bytes, title_offsets       (sum bytes,), (N + 1,)               titles, UTF-8
label_offsets, _span, _score     (N + 1,), (sum S, 2), (sum S, A)     annotators' scores of segments in seconds
visual_check, audio_check        (blocks of the stream,)              `checksums.block_sums` of every `BLOCK_ROWS` rows,
                                                                      zeros beyond the last; such a shard has no value
                                                                      that is not finite; older ones have no checks
================================ ==================================== =========================================
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.columns import BY_VIDEO, misfit, wrong_value
from highlight_lit.data.layout import Layout, layout_of
from highlight_lit.data.video import SPLITS, STREAMS, Labels, Stream, Video
from highlight_lit.errors import InputError

FORMAT = "highlight-lit shard"
VERSION = 1
BLOCK_ROWS = 16  # of features, that a checksum of ours covers; a chunk has whole blocks
MOST_COMPRESSED = 1100  # times that a file can be smaller than what it holds: deflate reaches 1,032
MOST_OPEN = 256  # shards of a process; a corpus of thousands would meet its limit of open files, often 1,024
_H5_ERRORS = (OSError, RuntimeError, KeyError, TypeError, ValueError, IndexError, OverflowError,
              MemoryError)  # fmt: skip

_FLOATS = (h5py.h5t.IEEE_F16LE, h5py.h5t.IEEE_F32LE)

library = threading.RLock()  # the HDF5 library does one thing at a time anyway; held, no handle in use is closed
_opened: deque[weakref.ref[Shard]] = deque()  # shards with an open file, the one opened first in front


def identity(status: os.stat_result) -> tuple[int, ...]:
    """What tells a file from another under its name, and from itself once it was written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Have the HDF5 library for oneself; what it raises on a damaged file becomes one line that names the file."""
    try:
        with library:
            yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a feature shard") from None
    except _H5_ERRORS as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: truncated, damaged or not a feature shard ({first})") from error


class Shard:
    """A shard open for reading. The file is opened when first read, in each process by itself, and never pickled.

    Only the `MOST_OPEN` shards opened last are open at a time; another is opened again when it is next read.

    Opening checks the layout: every dataset a plain dataset of this file, shapes that agree, offsets that start at 0,
    never fall and end at the last row. The rows themselves are checked as they are read, by their checksums.

    Args:
        path: The file.

    Raises:
        InputError: The file is missing, truncated, damaged or not a shard; in every method.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: tuple[int, h5py.File] | None = None
        self.identity: tuple[int, ...] | None = None  # of the file that was opened first
        self._sound: set[str] = set()  # the datasets of that file that were looked at
        with reading(path):
            self._check_layout()

    @property
    def file(self) -> h5py.File:
        """The handle of this process."""
        if self._handle is None or self._handle[0] != os.getpid():
            if not self.path.is_file():
                raise InputError(f"{self.path}: no such file; expected a feature shard")
            self._handle = (os.getpid(), h5py.File(self.path, "r", locking=False))
            found = identity(os.fstat(self._handle[1].id.get_vfd_handle()))
            if self.identity not in (None, found):
                self.close()
                raise InputError(f"{self.path}: replaced or changed since it was opened; expected the same file")
            self.identity = found
            _opened.append(weakref.ref(self))
            while len(_opened) > MOST_OPEN:
                if (first := _opened.popleft()()) is not None:
                    first.close()
        return self._handle[1]

    def close(self) -> None:
        """Close the handle; the next read opens it again."""
        if self._handle is not None and self._handle[0] == os.getpid():
            self._handle[1].close()
        self._handle = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def _check_layout(self) -> None:
        attrs = dict(self.file.attrs)
        if attrs.get("format") != FORMAT or attrs.get("version") != VERSION:
            found = f"{attrs.get('format')!r} version {attrs.get('version')!r}"
            raise InputError(f"{self.path}: expected {FORMAT!r} version {VERSION}, found {found}")
        self.clip_seconds = float(attrs["clip_seconds"])
        for name in self.file:
            self._dataset(name)
        self.videos = len(self._dataset("id"))
        for name in BY_VIDEO:
            if len(self._dataset(name)) != self.videos:
                raise InputError(f"{self.path}: {name}: {len(self.file[name])} rows, expected {self.videos}")
        self.offsets = self._offsets("", "span")
        self.streams = {name: self._stream(name) for name in STREAMS if name in self.file}
        for name in [*self.streams, *(["heard"] if "audio" in self.streams else [])]:
            if len(self._dataset(name)) != self.offsets[-1]:
                raise InputError(f"{self.path}: {name}: {len(self.file[name])} rows, expected {self.offsets[-1]}")

    def _dataset(self, name: str) -> h5py.Dataset:
        """A dataset of this very file: no soft or external link, no external or virtual storage is followed."""
        if name in self._sound:
            return self.file[name]
        if name not in self.file or not isinstance(self.file.get(name, getlink=True), h5py.HardLink):
            raise InputError(f"{self.path}: {name}: missing, or not stored in this file")
        found = self.file[name]
        if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual or found.dtype.hasobject:
            raise InputError(f"{self.path}: {name}: not a plain dataset stored in this file")
        if found.nbytes > MOST_COMPRESSED * self.file.id.get_filesize():
            raise InputError(f"{self.path}: {name}: {found.nbytes} bytes, more than a file of its size can hold")
        if (fault := misfit(name, found.dtype, found.shape)) is not None:
            raise InputError(f"{self.path}: {name}: {fault}")
        self._sound.add(name)
        return found

    def _stream(self, name: str) -> Stream:
        dataset = self._dataset(name)
        # By the library's own description: what differs from these in a bit of the exponent is shown as one of them.
        if dataset.ndim != 2 or not any(dataset.id.get_type().equal(kind) for kind in _FLOATS):
            raise InputError(
                f"{self.path}: {name}: {dataset.dtype} of shape {dataset.shape}, "
                "expected rows of float16 or float32 of IEEE 754, little-endian"
            )
        extractor, version = str(dataset.attrs["extractor"]), str(dataset.attrs["version"])
        return Stream(dataset.shape[1], extractor, version, str(dataset.dtype))

    def _offsets(self, prefix: str, owned: str) -> NDArray[np.int64]:
        """The (N + 1,) offsets into the dataset `owned`, checked."""
        offsets = np.asarray(self._dataset(f"{prefix}offsets")[:], np.int64)
        rows = len(self._dataset(owned)) if owned in self.file else 0
        well_formed = offsets.shape == (self.videos + 1,) and offsets[0] == 0 and (np.diff(offsets) >= 0).all()
        if not well_formed or offsets[-1] != rows:
            raise InputError(f"{self.path}: {prefix}offsets: not {self.videos + 1} rising numbers from 0 to {rows}")
        return offsets

    def _owned(self, prefix: str, owned: str, row: int) -> slice:
        """What the video in `row` has of the dataset `owned`."""
        start, stop = (int(offset) for offset in self._dataset(f"{prefix}offsets")[row : row + 2])
        rows = len(self._dataset(owned)) if owned in self.file else 0
        if not 0 <= start <= stop <= rows:
            raise InputError(f"{self.path}: {prefix}offsets: {start} and {stop} in row {row}, expected 0 to {rows}")
        return slice(start, stop)

    def column(self, name: str, which: slice = slice(None)) -> NDArray[Any]:
        """Of a per-video dataset all or some: `id`, `duration`, `split`, `tag_name`, `tag_index`."""
        with reading(self.path):
            values: NDArray[Any] = self._dataset(name)[which]
            if (fault := wrong_value(name, values, len(self._dataset("tag_name")))) is not None:
                raise InputError(f"{self.path}: {name}: {fault}")
            return values

    def tag_offsets(self) -> NDArray[np.int64]:
        """(N + 1,) where each video's tags begin in `tag_index`."""
        with reading(self.path):
            return self._offsets("tag_", "tag_index")

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows `start` to `stop` of `visual`, `audio`, `heard` or `span`: whole chunks, verified by their checksums."""
        with reading(self.path):
            values: NDArray[Any] = self._dataset(name)[start:stop]
            return values

    def layout(self, name: str) -> Layout | None:
        """Where the chunks of a dataset lie in the file; None where they are not stored as this package writes them."""
        with reading(self.path):
            found = layout_of(self._dataset(name))
            if found is None or found.rows % BLOCK_ROWS:
                return found
            return found._replace(sums=self._block_sums(name, int(self.offsets[-1])))

    def _block_sums(self, name: str, rows: int) -> NDArray[np.uint64] | None:
        if f"{name}_check" not in self.file:
            return None
        sums: NDArray[np.uint64] = self._dataset(f"{name}_check")[:]
        expected = (-(-rows // BLOCK_ROWS),)
        if sums.shape != expected or sums.dtype != np.uint64:
            raise InputError(f"{self.path}: {name}_check: {sums.dtype} {sums.shape}, expected uint64 {expected}")
        return sums

    def title(self, row: int) -> str:
        """Title of the video in `row`."""
        with reading(self.path):
            return bytes(self._dataset("title_bytes")[self._owned("title_", "title_bytes", row)]).decode()

    def labels(self, row: int) -> Labels | None:
        """Labels of the video in `row`, None where it has none. For evaluation: training never calls this."""
        with reading(self.path):
            which = self._owned("label_", "label_span", row)
            if which.start == which.stop:
                return None
            labels = Labels(self._dataset("label_span")[which], self._dataset("label_score")[which])
            if (fault := labels.fault()) is not None:
                raise InputError(f"{self.path}: row {row}: {fault}")
            return labels

    def video(self, row: int) -> Video:
        """The whole video in `row`, as it was added."""
        with reading(self.path):
            return self._video(row)

    def _video(self, row: int) -> Video:
        start, stop = (int(offset) for offset in self.offsets[row : row + 2])
        alone = slice(row, row + 1)
        tags = self.column("tag_name")[self.column("tag_index", self._owned("tag_", "tag_index", row))]
        rows = {name: self.rows(name, start, stop) for name in self.streams}
        heard = self.rows("heard", start, stop).astype(bool) if "audio" in rows else None
        return Video(
            id=self.column("id", alone)[0].decode(),
            duration=float(self.column("duration", alone)[0]),
            tags=tuple(tag.decode() for tag in tags),
            span=self.rows("span", start, stop),
            visual=rows.get("visual"),
            audio=rows.get("audio") if heard is not None and heard.any() else None,
            heard=heard if heard is not None and heard.any() else None,
            title=self.title(row),
            split=SPLITS[self.column("split", alone)[0]],
            labels=self.labels(row),
        )

    def __iter__(self) -> Iterator[Video]:
        return (self.video(row) for row in range(self.videos))
