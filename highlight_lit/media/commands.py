"""The command line's verbs that read video: extract, reel. Imports nothing heavy until one of them runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from highlight_lit.errors import InputError
from highlight_lit.text import say

if TYPE_CHECKING:
    from highlight_lit.media.extraction.extract import Report
    from highlight_lit.media.output.segments import Segment

MAX_LISTED = 100  # videos at the end of an extraction


def need_media() -> None:
    """Refuse to start without PyAV.

    Raises:
        InputError: PyAV is missing.
    """
    if find_spec("av") is None:
        raise InputError("this verb needs PyAV: pip install 'highlight-lit[media]'")


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
    need_media()
    from highlight_lit.media.extraction.extract import ExtractorChoice, extract_corpus
    from highlight_lit.media.extraction.folder import find_videos
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
    need_media()
    from highlight_lit.media.extraction.jobs import run_jobs, show_help

    if {"-h", "--help"} & set(words):
        return show_help()
    return _say(*run_jobs(words))


def _say(report: Report, out: Path) -> int:
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


def weights_arguments(parser: argparse.ArgumentParser) -> None:
    """Files of the extractors that need them."""
    parser.add_argument(
        "--visual-weights",
        type=Path,
        metavar="FILE",
        help="weights of resnet3d34 and resnet3d34_spread, or a copy of torchvision's or timm's",
    )
    parser.add_argument(
        "--audio-weights", type=Path, metavar="FILE", help="weights of vggish, or a folder with hf:NAME"
    )
    parser.add_argument("--audio-pca", type=Path, metavar="FILE", help="VGGish's PCA parameters (default: without)")


def trust_argument(parser: argparse.ArgumentParser) -> None:
    """`--trust`, of every verb that reads a checkpoint."""
    parser.add_argument(
        "--trust", action="append", default=[], metavar="PACKAGE",
        help="a package of yours whose networks the checkpoint may name; may be given again",
    )  # fmt: skip


def choosing_arguments(parser: argparse.ArgumentParser) -> None:
    """How segments are chosen."""
    parser.add_argument("--shortest", type=float, default=3.0, metavar="L", help="least seconds of a segment (3)")
    parser.add_argument("--merge", type=float, default=2.0, metavar="S", help="segments closer than this are one (2)")


def _inputs(args: argparse.Namespace) -> list[Path | None]:
    """The files that `reel` reads, which it never writes over."""
    weights = [args.visual_weights, args.audio_weights, args.audio_pca]
    return [args.video, args.checkpoint, getattr(args, "scores", None), *weights]


def reel_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `reel`."""
    parser.add_argument("video", type=Path, help="the video; after -- for odd names")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", type=Path, help="a trained detector")
    source.add_argument(
        "--scores",
        type=Path,
        metavar="FILE",
        help="json or csv that 'score', 'train' or 'evaluate' wrote: no scoring anew",
    )
    parser.add_argument("--video-id", metavar="ID", help="of the video in a csv of several (default: its file's name)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the reel (30)")
    parser.add_argument("--fade", type=float, default=0.0, metavar="S", help="seconds of fading at the joins (0)")
    parser.add_argument(
        "--chapters", action="store_true", help="write the list of segments (WebVTT) instead of a video"
    )
    parser.add_argument("--out", type=Path, help="the new file (default: NAME.reel.mp4 or NAME.chapters.vtt)")
    choosing_arguments(parser)
    trust_argument(parser)
    weights_arguments(parser)


def run_reel(args: argparse.Namespace) -> int:
    """Choose the best segments and cut them, or write their list."""
    need_media()
    from highlight_lit.files import not_an_input, output_name
    from highlight_lit.media.output.reel import cut_reel, write_chapters

    if not 0 <= args.fade <= 10:
        raise InputError(f"--fade {args.fade}: expected seconds from 0 to 10")
    if args.video_id is not None and args.scores is None:
        raise InputError(f"--video-id {args.video_id}: names a video in --scores; leave it out with --checkpoint")
    ending = "chapters.vtt" if args.chapters else "reel.mp4"
    out = args.out or args.video.with_name(output_name(args.video.stem, ending))
    not_an_input(out, *_inputs(args))
    segments = _segments(args)
    if args.chapters:
        write_chapters(out, segments)
        say(out)
        return 0
    length = cut_reel(args.video, segments, out, args.fade)
    say(f"{out}: {length:.2f} s of {len(segments)} segments")
    return 0


def _segments(args: argparse.Namespace) -> list[Segment]:
    """The segments of the reel, their ends at shot changes where there are any nearby."""
    from highlight_lit.inference.raw_video import score_video
    from highlight_lit.media.output.scores_file import check_same_video, read_scores
    from highlight_lit.media.output.segments import choose_segments

    if args.scores is not None:
        read = read_scores(args.scores, args.video, args.video_id)
        check_same_video(args.scores, read, args.video)
        span, score, logit = read.span, read.score, read.logit
    else:
        from highlight_lit.inference.detector import load_detector

        detector = load_detector(args.checkpoint, args.trust)
        scored = score_video(args.video, detector, args.visual_weights, args.audio_weights, args.audio_pca)
        span, score, logit = scored.span, scored.score, scored.logit
    segments = choose_segments(score, span, args.seconds, args.shortest, args.merge, logit)
    return at_shots(args.video, segments, float(span[-1, 1]), args.seconds, args.shortest)


def at_shots(
    video: Path, segments: Sequence[Segment], end: float, seconds: float, shortest: float = 3.0
) -> list[Segment]:
    """Segments of a video that ends at `end`, moved as `snap_to_shots` does to the shot changes that are in it."""
    from highlight_lit.media.io.shots import shot_changes
    from highlight_lit.media.output.segments import snap_to_shots

    shots = shot_changes(video, [side for segment in segments for side in (segment.start, segment.end)])
    return snap_to_shots(segments, shots, min(seconds, end), shortest, end)


Verb = tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]
VERBS: dict[str, Verb] = {
    "extract": (extract_arguments, run_extract),
    "reel": (reel_arguments, run_reel),
}


def add_verb(name: str, parser: argparse.ArgumentParser) -> None:
    """Give a parser a verb's arguments, and the function that does it as its default `run`."""
    add_arguments, run = VERBS[name]
    add_arguments(parser)
    parser.set_defaults(run=run)
