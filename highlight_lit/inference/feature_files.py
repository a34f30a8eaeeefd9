"""Features of single videos from files that a user names: .npy arrays, .npz archives, folders of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from highlight_lit.data.importers.formats.arrays import NpyRows
from highlight_lit.data.importers.formats.npz_rows import KEY, NpzRows, open_npz
from highlight_lit.data.video import STREAMS, Stream
from highlight_lit.errors import InputError
from highlight_lit.text import a_few, shown


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
    with open_npz(path, str(path)) as (_, _, there):
        wanted = {name: name for name in streams if name in there}
        if not wanted and len(streams) == 1 and KEY in there:
            wanted = {next(iter(streams)): KEY}
        if not wanted:
            keys = " and ".join(streams) + (f", or {KEY}" if len(streams) == 1 else "")
            raise InputError(f"{path}: has {a_few(there) or 'nothing'}; expected the keys {keys}")
    return {stream: NpzRows(path, str(path), key)[:] for stream, key in wanted.items()}
