"""`highlight-lit extract`: a folder of videos to a corpus, in this command or by many jobs. Imports nothing heavy before it runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from highlight_lit.errors import InputError
from highlight_lit.installation import need
from highlight_lit.media.arguments import weights_arguments
from highlight_lit.text import say

if TYPE_CHECKING:
    from highlight_lit.media.extraction.extract import ExtractionReport

MAX_LISTED = 100  # videos at the end of an extraction


def extract_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `extract`."""
    parser.add_argument("videos", nargs="+", type=Path, help="video files, or folders of them; after -- for odd names")
    parser.add_argument("--out", required=True, type=Path, help="folder of the corpus; one that is there grows")
    parser.add_argument("--tags", type=Path, metavar="CSV", help="table: video, tags (a;b), and title, duration, split")
    parser.add_argument(
        "--allow-untagged", action="store_true", help="go on where a row, a sidecar or a video found no partner"
    )
    parser.add_argument(
        "--visual",
        default="classic",
        help="classic (default), torchvision:NAME, timm:NAME, resnet3d34 or resnet3d34_spread",
    )
    parser.add_argument("--audio", default="classic", help="classic (default), hf:NAME or vggish")
    weights_arguments(parser)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--slice", metavar="I/N", help="do every N-th video, from the I-th; pack later without it")
    parser.epilog = (
        "By many jobs: extract -m videos=DIR out=CORPUS slices=N hydra/launcher=joblib (see conf/extract.yaml)."
    )


def run_extract(args: argparse.Namespace) -> int:
    """Extract a folder of videos; 0, or 1 if some could not be."""
    need("media", "extract", "av")
    from highlight_lit.media.extraction.extract import ExtractorChoice, extract_corpus
    from highlight_lit.media.extraction.find_videos import find_videos
    from highlight_lit.media.extraction.sidecar import read_csv

    choice = ExtractorChoice(args.visual, args.audio, args.visual_weights, args.audio_weights, args.audio_pca)
    if args.workers < 1:
        raise InputError(f"--workers {args.workers}: expected at least 1")
    rows = read_csv(args.tags) if args.tags is not None else []
    listing = find_videos(args.videos)
    report = extract_corpus(listing, args.out, choice, rows, args.workers, args.slice, args.allow_untagged)
    if args.slice is not None:
        say(f"slice {args.slice}: run 'extract' again without --slice when all slices are done", file=sys.stderr)
    return _say(report, args.out)


def wants_jobs(words: Sequence[str]) -> bool:
    """Whether the words of `extract` are for Hydra: -m is among them (and no file of that name, after --)."""
    options = words[: words.index("--")] if "--" in words else words
    return "-m" in options or "--multirun" in options


def run_extract_jobs(words: Sequence[str]) -> int:
    """Extract a folder of videos by many jobs; 0, or 1 if some videos could not be."""
    need("media", "extract", "av")
    from highlight_lit.media.extraction.jobs import run_jobs, show_help

    if {"-h", "--help"} & set(words):
        return show_help()
    return _say(*run_jobs(words))


def _say(report: ExtractionReport, out: Path) -> int:
    """Say what came of an extraction; its exit status."""
    _listed("note", [f"{path}: {note}" for path, note in report.notes])
    _listed("skipped", [reason for _, reason in report.failed])
    updated = f" ({report.updated} with new tags, title or split)" if report.updated else ""
    say(
        f"{out}: {report.done} videos extracted ({report.seconds / 60:.1f} min of video),"
        f" {report.skipped} there before{updated}, {len(report.failed)} skipped"
    )
    return 1 if report.failed else 0


def _listed(kind: str, lines: Sequence[str]) -> None:
    """Say the first of many lines, and how many more there are."""
    say(*(f"{kind}: {line}" for line in lines[:MAX_LISTED]), file=sys.stderr)
    if len(lines) > MAX_LISTED:
        say(f"{kind}: {len(lines) - MAX_LISTED} more", file=sys.stderr)
