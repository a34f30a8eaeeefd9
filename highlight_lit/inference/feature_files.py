"""Features of single videos from files that a user names: .npy arrays, .npz archives, folders of them."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.formats.arrays import (
    ARRAY_ERRORS,
    MAX_ARRAY_BYTES,
    NpyRows,
    check_header,
    read_header,
)
from highlight_lit.data.importers.formats.npz_rows import MAX_MEMBERS_BYTES, members_of
from highlight_lit.data.video import STREAMS, Stream
from highlight_lit.errors import InputError, first_line
from highlight_lit.files import check_packed, open_regular, stored_bytes
from highlight_lit.text import a_few, shown
from highlight_lit.untrusted.zip_files import check_members

_WHOLE = "features"  # the key of an archive that holds one array
_ERRORS = (*ARRAY_ERRORS, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class VideoFeatures:
    """Files that hold the features of one video: a `.npy` a stream, or one `.npz`."""

    name: str
    files: tuple[tuple[str, Path], ...]  # stream and file; one stream "" where it is an archive

    def read(self, streams: Mapping[str, Stream]) -> dict[str, NDArray[Any]]:
        """Read the features of each stream that the files have, (T_n, D) by its name.

        Raises:
            InputError: A file that cannot be read as data, or lacks what is needed.
        """
        if self.files[0][0] == "":
            return _archive(self.files[0][1], streams)
        return {stream: NpyRows(path, f"{path.parent}: {stream}")[:] for stream, path in self.files}


def videos_of(paths: Sequence[Path], streams: Iterable[str]) -> list[VideoFeatures]:
    """The videos that some files or folders hold the features of.

    Args:
        paths: Archives, a video each; or `.npy` files of one video, a stream each, visual first; or a folder with
            `visual/ID.npy` and `audio/ID.npy`, as `import npy` takes it, or with `ID.npz`.
        streams: What the detector reads.

    Raises:
        InputError: Something else, or two videos of one name.
    """
    needed = [name for name in STREAMS if name in set(streams)]
    arrays = [path for path in paths if path.suffix.lower() == ".npy"]
    if arrays and len(arrays) < len(paths):
        raise InputError(
            f"--features {shown(arrays[0])}: .npy files are one video, a stream each; expected them alone, or .npz files"
        )
    if arrays:
        if len(arrays) > len(needed):
            raise InputError(
                f"--features: {len(arrays)} .npy files; expected {' and '.join(needed)} of one video. Many videos: a folder "
                "with visual/ID.npy and audio/ID.npy, or an .npz each"
            )
        same = len({path.name for path in arrays}) == 1
        name = arrays[0].parent.name if arrays[0].stem in STREAMS and not same else arrays[0].stem
        return [VideoFeatures(name or "video", tuple(zip(needed, arrays, strict=False)))]
    videos: dict[str, VideoFeatures] = {}
    for path in paths:
        for video in _of_folder(path, needed) if path.is_dir() else [VideoFeatures(path.stem, (("", path),))]:
            if video.name in videos:
                raise InputError(
                    f"--features {shown(path)}: a second video named {shown(video.name)}; expected names once"
                )
            videos[video.name] = video
    return list(videos.values())


def _of_folder(folder: Path, needed: Sequence[str]) -> Iterator[VideoFeatures]:
    """Videos of a folder in the layout of `import npy`, or of archives."""
    arrays = {name: {path.stem: path for path in sorted((folder / name).glob("*.npy"))} for name in needed}
    first = arrays[needed[0]]
    archives = sorted(folder.glob("*.npz"))
    if not first and not archives:
        raise InputError(f"--features {folder}: expected {needed[0]}/ID.npy in it, or ID.npz")
    for name in needed[1:]:
        if stray := sorted(set(arrays[name]) - set(first)):
            raise InputError(f"{folder / name}: {a_few(stray)}: no array of that name in {folder / needed[0]}")
    for stem in first:
        yield VideoFeatures(stem, tuple((name, arrays[name][stem]) for name in needed if stem in arrays[name]))
    yield from (VideoFeatures(path.stem, (("", path),)) for path in archives)


def _archive(path: Path, streams: Mapping[str, Stream]) -> dict[str, NDArray[Any]]:
    """Arrays of an archive with the keys `visual` and `audio`, or `features` where one stream is read."""
    with open_regular(path, "an .npz of clip features") as file:
        try:
            check_members(file, MAX_MEMBERS_BYTES)
            with zipfile.ZipFile(file) as archive:
                members = members_of(archive, (*streams, _WHOLE), str(path))
                wanted = {name: name for name in streams if name in members}
                if not wanted and len(streams) == 1 and _WHOLE in members:
                    wanted = {next(iter(streams)): _WHOLE}
                if not wanted:
                    keys = " and ".join(streams) + (f", or {_WHOLE}" if len(streams) == 1 else "")
                    raise InputError(f"{path}: has {a_few(members) or 'nothing'}; expected the keys {keys}")
                held = stored_bytes(file)  # an archive may say that it holds more
                return {stream: _member(archive, members[key], held, path, key) for stream, key in wanted.items()}
        except InputError:
            raise
        except _ERRORS as error:
            raise InputError(f"{path}: damaged, or no .npz of plain arrays ({first_line(error)})") from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, held: int, path: Path, key: str) -> NDArray[Any]:
    """One array, its size known before memory is asked for; nothing is unpickled."""
    if info.file_size > MAX_ARRAY_BYTES:
        raise InputError(
            f"{path}: {key}: {info.file_size >> 20} MiB; expected at most {MAX_ARRAY_BYTES >> 20} MiB, a bound that cannot be "
            "raised"
        )
    check_packed(info.file_size, min(info.compress_size, held), f"{path}: {key}")
    with archive.open(info) as file:
        assert isinstance(file, zipfile.ZipExtFile)
        check_header(file.peek(12))
        shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise InputError(f"{path}: {key}: pickled, which could run anything and is never read; expected a plain array")
    if len(shape) != 2 or dtype.kind != "f" or min(shape) < 1 or shape[0] * shape[1] * dtype.itemsize > info.file_size:
        raise InputError(f"{path}: {key}: {dtype} of shape {shape}; expected floating point (clips, width)")
    with archive.open(info) as file:
        rows: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):
            raise InputError(f"{path}: {key}: longer than its header says; expected the rows of shape {shape} alone")
    return rows
