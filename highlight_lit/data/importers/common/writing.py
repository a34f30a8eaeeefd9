"""How an importer writes its corpus: each video checked, the type that is stored, the closing line."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.data.corpus import write_corpus
from highlight_lit.data.importers.common.report import Say, Tally, tell_ties
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError


def add_dtype(parser: argparse.ArgumentParser) -> None:
    """Add `--dtype`, of importers of features."""
    parser.add_argument("--dtype", choices=("float16", "float32"), help="as stored; default: the source's")


def stored_dtype(sources: Iterable[np.dtype[Any]], wanted: str | None) -> str:
    """The type to store a stream in: `wanted`, or float16 where all of the source is float16, else float32.

    >>> stored_dtype([np.dtype("float16"), np.dtype("float64")], None)
    'float32'
    """
    return wanted or ("float16" if all(dtype == np.float16 for dtype in sources) else "float32")


def checked(video: Video, streams: Mapping[str, Stream], source: Path) -> Video:
    """The video, if it fits a corpus with these streams; the shard would refuse it too, but name itself.

    Raises:
        InputError: It does not.
    """
    if (fault := video.fault(streams)) is not None:
        raise InputError(f"{source}: video {video.id!r}: {fault}")
    return video


def write_and_report(
    out: Path, videos: Iterable[Video], streams: Mapping[str, Stream], report: Say, *, source: str, name: str | None = None,
    topics: Sequence[str] | None = None, **about: Any,
) -> None:  # fmt: skip
    """Write a corpus, as `write_corpus` does, and say what is in it in a closing line; its name is the source's if None."""
    tally = Tally()
    write_corpus(out, tally.watch(videos), streams, name=name or source, topics=topics, source=source, **about)
    tell_ties(out, tally.tied, report)
    report(tally.line(out, topics))
