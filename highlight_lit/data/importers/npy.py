"""A folder of arrays and a csv table of videos: one's own features.

SOURCE/visual/ID.npy    (T_n, Dv) clip features
SOURCE/audio/ID.npy     (T_n, Da); absent for a video without audio
SOURCE/span/ID.npy      (T_n, 2) start and end of each clip in seconds; the folder is optional
table                   columns id, duration (seconds), tags (separated by ';'), and perhaps title and split

Tags are kept in the form that `extract` keeps them in: lower case, NFC (`highlight_lit.data.topics.tags`).
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from highlight_lit.data.importers.common.folders import ArrayOptions, Arrays, Folder, import_arrays
from highlight_lit.data.importers.common.report import Say
from highlight_lit.data.importers.common.values import number
from highlight_lit.data.importers.common.video_table import add_choices, video_rows
from highlight_lit.data.importers.common.writing import add_dtype
from highlight_lit.data.importers.formats.arrays import files_of
from highlight_lit.data.video import STREAMS, Video
from highlight_lit.errors import InputError
from highlight_lit.text import say

PURPOSE = "a folder of arrays and a csv of tags and durations: your own features"
FOLDERS = (*STREAMS, "span")
_FROM_NPZ = "python -c \"import sys, numpy as np; [np.save(p[:-4], np.load(p)['features']) for p in sys.argv[1:]]\""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `import npy`."""
    add_dtype(parser)
    parser.add_argument(
        "--videos", type=Path, required=True, metavar="CSV", help="columns id, duration, tags (separated by ';')"
    )
    parser.add_argument(
        "--labels", type=Path, metavar="FILE", help="labels.csv (video,start,end,label), or a corpus with labels"
    )
    parser.add_argument("--clip-seconds", type=float, default=1.0)
    add_choices(parser)


def import_corpus(
    source: Path,
    out: Path,
    *,
    videos: Path,
    clip_seconds: float = 1.0,
    report: Say = say,
    **options: Unpack[ArrayOptions],
) -> None:
    """Import features from a folder of arrays; nothing in them is unpickled.

    Streams of a video that differ from each other or from its duration by one or two clips are cut to the shortest.

    Args:
        source: The folder.
        out: Where the corpus goes; new or empty.
        videos: The csv table. Each row has its arrays, each array its row; ids are compared in one Unicode form.
        clip_seconds: Length of a clip: clip i lasts from `i * clip_seconds` to the next or to the video's end.
            A clip or two may lack at the end. With the folder `span`, a nominal length.
        report: Called with a line for each oddity and a closing line.
        options: As of `import_arrays`.

    Raises:
        InputError: Anything that cannot be used: the line names file, video and field.
    """
    clip_seconds = number(clip_seconds, "clip_seconds")
    rows = video_rows(videos, durations=True)
    folders = _folders(source)
    arrays = Arrays(source, folders, clip_seconds, lambda lacking: _advice(folders, lacking))
    import_arrays(arrays, out, videos, rows, source="npy", report=report, **options)


def _folders(source: Path) -> dict[str, list[Folder]]:
    """The folders visual, audio and span that are there, by name."""
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; expected one with visual/ID.npy or audio/ID.npy, or both")
    folders = {name: [Folder(source / name, files_of(source / name))] for name in FOLDERS if (source / name).is_dir()}
    if not folders and files_of(source):
        above = f", so name the folder above: {source.parent}" if source.name in FOLDERS else ""
        raise InputError(f"{source}: arrays lie in it; expected them in its folders visual and audio{above}")
    if not folders.keys() & set(STREAMS):
        raise InputError(f"{source}: no visual/ID.npy and no audio/ID.npy")
    return folders


def _advice(folders: dict[str, list[Folder]], lacking: Sequence[Video]) -> str:
    """Advice for videos whose features are there as `.npz`; empty for others."""
    for path in (folder.path for stream_folders in folders.values() for folder in stream_folders):
        if files_of(path, ".npz").keys() & {row.id for row in lacking}:
            files = f"{shlex.quote(str(path))}/*.npz"
            return f"there are .npz files, which 'import npz' reads; or convert them: {_FROM_NPZ} {files}"
    return ""
