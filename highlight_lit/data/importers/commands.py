"""The command line of `highlight-lit import`: one sub-command a source."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

SOURCES = {
    "umt": "features and labels in the layout of UMT (YouTube Highlights, TVSum)",
    "ave": "AVE's own files: features, event labels a second, lists",
    "npy": "a folder of arrays and a csv of tags and durations: your own features",
    "tvsum": "TVSum's official labels (.mat), without features",
    "youtube-highlights": "YouTube Highlights' official labels (json), without features",
    "cosum": "CoSum's labels (.mat), without features",
}


def add_sources(sources: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add a parser for each source; the options carry the names of its `import_corpus`."""
    for source, purpose in SOURCES.items():
        parser = sources.add_parser(source, help=purpose, description=purpose)
        parser.add_argument("source", type=Path, help="file or folder to import")
        parser.add_argument(
            "--out", type=Path, required=True, metavar="DIR", help="the corpus to write; must not exist"
        )
        _add_options(parser, source)
        parser.set_defaults(run=_run, importer=source)


def _add_options(parser: argparse.ArgumentParser, source: str) -> None:
    if source in ("umt", "npy", "ave"):
        parser.add_argument("--dtype", choices=("float16", "float32"), help="as stored; default: the source's")
    if source == "umt":
        parser.add_argument("--splits", type=Path, metavar="JSON", help="training and validation lists by topic")
        parser.add_argument(
            "--pca", type=_widths, metavar="DV,DA", help="reduce the streams; fitted on training videos"
        )
    if source == "npy":
        parser.add_argument("--videos", type=Path, required=True, metavar="CSV", help="columns id, duration, tags")
        parser.add_argument("--labels", type=Path, metavar="DIR", help="a corpus to take the videos' labels from")
        parser.add_argument("--topics", nargs="+", help="tags that are topics; default: all")
        parser.add_argument("--clip-seconds", type=float, default=1.0)
        parser.add_argument("--name", help="the corpus' name in tables")
        parser.add_argument(
            "--allow-unmatched", action="store_true", help="leave out rows without arrays, and arrays without a row"
        )
    if source in ("youtube-highlights", "cosum"):
        parser.add_argument("--fps", type=Path, metavar="FILE", help="frame rates: a csv with the columns id, fps")


def _widths(text: str) -> tuple[int, int]:
    Dv, Da = (int(width) for width in text.split(","))
    return Dv, Da


def _run(options: argparse.Namespace) -> int:
    module = importlib.import_module(f"highlight_lit.data.importers.{options.importer.replace('-', '_')}")
    given = {key: value for key, value in vars(options).items() if key not in ("run", "importer", "source", "out")}
    module.import_corpus(options.source, options.out, **given)
    return 0
