"""Folders of `.npz` files with the key `features`, side by side: QVHighlights' features as Moment-DETR and others keep them.

SOURCE/slowfast_features/ID.npz    (T_n, D) visual features; several such folders' columns are put side by side
SOURCE/clip_features/ID.npz
SOURCE/pann_features/ID.npz        (T_n, Da) audio: a folder whose name holds `pann`, `vggish` or `audio`
SOURCE/clip_text_features          features of queries (`text` or `txt` in the name) are left out

The folders have one rate, a row every `clip_seconds`; a row or two more are cut off. SOURCE may also hold the files itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from highlight_lit.data.importers.common.folders import ArrayOptions, Arrays, Folder, import_arrays
from highlight_lit.data.importers.common.report import Say
from highlight_lit.data.importers.common.values import number
from highlight_lit.data.importers.common.video_table import add_choices, add_tags, given_rows
from highlight_lit.data.importers.common.writing import add_dtype
from highlight_lit.data.importers.formats.arrays import files_of
from highlight_lit.data.importers.formats.npz_rows import NpzRows
from highlight_lit.errors import InputError
from highlight_lit.text import a_few, say

PURPOSE = "folders of .npz files with the key 'features' (QVHighlights: SlowFast, CLIP, PANN)"
CLIP_SECONDS = 2.0  # of QVHighlights
_AUDIO = ("pann", "vggish", "audio")
_TEXT = ("text", "txt")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `import npz`."""
    add_dtype(parser)
    add_tags(parser)
    parser.add_argument("--visual", nargs="+", metavar="FOLDER", help="default: all but those of audio and text")
    parser.add_argument("--audio", nargs="+", metavar="FOLDER", help="default: pann, vggish or audio in the name")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="labels.csv (video,start,end,label), or a corpus")
    parser.add_argument(
        "--clip-seconds", type=float, default=CLIP_SECONDS, help=f"from a row to the next; default: {CLIP_SECONDS:g}"
    )
    add_choices(parser)


def import_corpus(
    source: Path,
    out: Path,
    *,
    tag: str | None = None,
    videos: Path | None = None,
    visual: Sequence[str] | None = None,
    audio: Sequence[str] | None = None,
    clip_seconds: float = CLIP_SECONDS,
    report: Say = say,
    **options: Unpack[ArrayOptions],
) -> None:
    """Import features from folders of `.npz` files; nothing in them is unpickled.

    Args:
        source: The folder of the folders, or one of them.
        out: Where the corpus goes; new or empty.
        tag: The tag of all videos; None: no tag, unless `videos` gives some.
        videos: A csv with the columns id, tags, and perhaps duration (seconds; else a video lasts as long as its clips),
            title and split. Each row has its files, each file its row.
        visual, audio: Names of folders; None: as the names tell.
        clip_seconds: From a row to the next.
        report: Called with a line for each oddity and a closing line.
        options: As of `import_arrays`.

    Raises:
        InputError: Anything that cannot be used: the line names file, video and field.
    """
    clip_seconds = number(clip_seconds, "clip_seconds")
    folders = _folders(source, visual, audio, report)
    ids = dict.fromkeys(
        name for stream_folders in folders.values() for folder in stream_folders for name in folder.files
    )
    rows, arrays = given_rows(videos, tag, sorted(ids)), Arrays(source, folders, clip_seconds)
    import_arrays(arrays, out, videos or source, rows, source="npz", report=report, **options)


def _opened(path: Path, where: str) -> NpzRows:
    return NpzRows(path, f"{where}: {path.name}")


def _folders(
    source: Path, visual: Sequence[str] | None, audio: Sequence[str] | None, report: Say
) -> dict[str, list[Folder]]:
    """The folders of each stream."""
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; expected one of folders of .npz files")
    paths = [source] if files_of(source, ".npz") else sorted(path for path in source.iterdir() if path.is_dir())
    there = {
        path.resolve().name: Folder(path, files, ".npz", _opened) for path in paths if (files := files_of(path, ".npz"))
    }
    if not there:
        other = "; there are .npy files, which 'import npy' reads" * any(source.glob("**/*.npy"))
        raise InputError(f"{source}: no .npz file in it or in a folder of it{other}")
    for name in (*(visual or ()), *(audio or ())):
        if name not in there:
            raise InputError(f"{source}: {name}: no folder of .npz files; there are {a_few(there)}")
    audible = list(dict.fromkeys(audio)) if audio else [name for name in there if _named(name, _AUDIO)]
    text = [name for name in there if _named(name, _TEXT) and name not in audible]
    visible = list(dict.fromkeys(visual)) if visual else [name for name in there if name not in (*audible, *text)]
    audible = [name for name in audible if audio or name not in visible]
    if both := set(visible) & set(audible):
        raise InputError(f"{source}: {a_few(sorted(both))}: as --visual and as --audio; expected one of them")
    if left := [name for name in there if name not in (*visible, *audible)]:
        report(f"{source}: {a_few(left)}: left out (--visual and --audio name folders)")
    if not visible and not audible:
        raise InputError(f"{source}: no folder of visual or audio features; --visual and --audio name them")
    report(f"{source}: visual: {' + '.join(visible) or 'none'}; audio: {' + '.join(audible) or 'none'}")
    chosen = {"visual": visible, "audio": audible}
    return {stream: [there[name] for name in names] for stream, names in chosen.items() if names}


def _named(name: str, words: Sequence[str]) -> bool:
    return any(word in name.lower() for word in words)
