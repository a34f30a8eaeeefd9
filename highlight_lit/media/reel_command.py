"""`highlight-lit reel`: the best seconds of a video as a new one, or their list. Imports nothing heavy before it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from highlight_lit.errors import InputError
from highlight_lit.files import for_a_file, not_an_input, output_name
from highlight_lit.installation import need
from highlight_lit.media.arguments import choosing_arguments, weights_arguments, weights_of
from highlight_lit.text import say
from highlight_lit.untrusted.arguments import trust_argument

if TYPE_CHECKING:
    from highlight_lit.media.output.segments import Segment


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
    need("media", "reel", "av")
    from highlight_lit.media.output.reel import cut_reel, write_chapters

    if not (args.fade == 0 or 0.001 <= args.fade <= 10):
        raise InputError(f"--fade {args.fade}: expected 0, or seconds from 0.001 to 10")
    if args.video_id is not None and args.scores is None:
        raise InputError(f"--video-id {args.video_id}: names a video in --scores; leave it out with --checkpoint")
    ending = "chapters.vtt" if args.chapters else "reel.mp4"
    out = args.out or args.video.parent / output_name(args.video.stem, ending)
    not_an_input(out, args.video, args.checkpoint, args.scores, *weights_of(args).values())
    for_a_file(out)  # before minutes of scoring
    segments = _segments(args)
    if args.chapters:
        write_chapters(out, segments)
        say(out)
        return 0
    length = cut_reel(args.video, segments, out, args.fade)
    say(f"{out}: {length:.2f} s of {len(segments)} segment{'s' if len(segments) > 1 else ''}")
    return 0


def _segments(args: argparse.Namespace) -> list[Segment]:
    """The segments of the reel, with their ends moved to shot changes nearby."""
    from highlight_lit.inference.raw_video import score_video
    from highlight_lit.media.output.scores_reading import check_same_video, read_video_scores
    from highlight_lit.media.output.segments import choose_segments
    from highlight_lit.media.output.snapping import at_shots

    if args.scores is not None:
        read = read_video_scores(args.scores, args.video, args.video_id)
        check_same_video(args.scores, read, args.video)
        span, score, logit = read.span, read.score, read.logit
    else:
        from highlight_lit.inference.loading.load import load_detector

        scored = score_video(args.video, load_detector(args.checkpoint, args.trust), **weights_of(args))
        span, score, logit = scored.span, scored.score, scored.logit
    segments = choose_segments(score, span, args.seconds, args.shortest, args.merge, logit)
    return at_shots(args.video, segments, float(span[-1, 1]), args.seconds, args.shortest)
