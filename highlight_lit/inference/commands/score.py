"""`highlight-lit score`: raw videos, features or a corpus in; json, csv and a picture a video out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from highlight_lit.errors import InputError
from highlight_lit.files import for_a_file, not_an_input, output_name
from highlight_lit.installation import need
from highlight_lit.media.arguments import choosing_arguments, weights_arguments, weights_of
from highlight_lit.text import a_few, say
from highlight_lit.untrusted.arguments import trust_argument

if TYPE_CHECKING:
    from highlight_lit.inference.detector import Detector
    from highlight_lit.media.output.video_scores import VideoScores

ALL = "scores.csv"  # of several videos or a corpus, as `train` and `evaluate` write theirs


def score_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `score`."""
    parser.add_argument("video", type=Path, nargs="*", help="raw videos; after -- for odd names")
    parser.add_argument(
        "--features", type=Path, nargs="+", metavar="FILE",
        help="in place of videos: visual.npy and audio.npy of one; .npz files with the keys visual and audio, one a "
        "video; or a folder with visual/ID.npy and audio/ID.npy",
    )  # fmt: skip
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="in place of videos: those of a corpus")
    parser.add_argument("--videos", nargs="+", metavar="ID", help="of the corpus (default: all)")
    parser.add_argument("--clip-seconds", type=float, metavar="S", help="length of a clip of --features (1)")
    parser.add_argument("--checkpoint", required=True, type=Path, help="a trained detector")
    parser.add_argument("--out", type=Path, help="folder for the results (default: the video's; ./scores of a corpus)")
    parser.add_argument("--seconds", type=float, help="seconds of highlights to mark (default: a quarter, at most 30)")
    parser.add_argument(
        "--html", action="store_true", help="write a page with the curve too, over the raw video where there is one"
    )
    choosing_arguments(parser)
    trust_argument(parser)
    weights_arguments(parser)


def run_score(args: argparse.Namespace) -> int:
    """Score what was named and write json, csv, a picture, and a page if asked for.

    Raises:
        InputError: Something that cannot be scored; what was scored before it stays.
    """
    if further := [path for path in args.video if path.suffix == ".ckpt"]:  # of a pattern that fits several runs
        raise InputError(f"--checkpoint: {a_few(map(str, [args.checkpoint, *further]))}: several; expected one")
    given = [bool(args.video), args.features is not None, args.corpus is not None]
    if sum(given) != 1:
        raise InputError(
            "score: expected raw videos, or --features FILE ..., or --corpus DIR"
            + (": one of them" if sum(given) else "")
        )
    _check_options(args)
    if args.video:
        need("media", "a raw video", "av")
    from highlight_lit.inference.loading.load import load_detector

    _check_videos(args)
    if args.corpus is not None:
        for_a_file(_folder(args) / ALL)
    detector = load_detector(args.checkpoint, args.trust)
    if args.video:
        scored = _of_videos(args, detector)
    else:
        scored = _of_features(args, detector) if args.features is not None else _of_corpus(args, detector)
    several: list[VideoScores] = []
    for folder, stem, scores in scored:
        _write(args, folder, stem, scores)
        if not args.video:
            several.append(scores)
    if len(several) > 1 or args.corpus is not None:
        _write_all(_folder(args) / ALL, several)
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that would be ignored."""
    if args.videos is not None and args.corpus is None:
        raise InputError("--videos: names videos of --corpus DIR; leave it out")
    if args.clip_seconds is not None:
        if args.features is None:
            raise InputError("--clip-seconds: of --features alone; leave it out")
        from highlight_lit.inference.stored_features import MAX_CLIP_S

        if not 0 < args.clip_seconds <= MAX_CLIP_S:
            raise InputError(f"--clip-seconds {args.clip_seconds}: expected seconds, over 0 and at most {MAX_CLIP_S:g}")
    if not args.video and any(weights_of(args).values()):
        raise InputError("--visual-weights, --audio-weights, --audio-pca: of raw videos alone; leave them out")


def _folder(args: argparse.Namespace) -> Path:
    """Folder for the results of features or of a corpus."""
    if args.out is not None:
        return Path(args.out)
    return Path("scores") if args.corpus is not None or args.features[0].is_dir() else Path(args.features[0]).parent


def _names(args: argparse.Namespace, folder: Path, stem: str) -> list[Path]:
    """The files written of a video: none is one that is read, and each is a name for a file."""
    endings = ("scores.json", "scores.csv", "timeline.png", *(["html"] if args.html else []))
    names = [folder / output_name(stem, ending) for ending in endings]
    for path in names:
        not_an_input(path, *args.video, args.checkpoint, *(args.features or ()), *weights_of(args).values())
        for_a_file(path)
    return names


def _check_videos(args: argparse.Namespace) -> None:
    """Refuse raw videos whose results would have one name."""
    written: set[Path] = set()
    for video in args.video:
        path = _names(args, args.out or video.parent, video.stem)[0].absolute()
        if path in written:
            raise InputError(
                f"{video}: a second video whose scores would be {path.name}; expected names once, or --out"
            )
        written.add(path)


ScoredVideos = Iterator[tuple[Path, str, "VideoScores"]]


def _of_videos(args: argparse.Namespace, detector: Detector) -> ScoredVideos:
    from highlight_lit.inference.raw_video import score_video

    for video in args.video:
        yield args.out or video.parent, video.stem, score_video(video, detector, **weights_of(args))


def _of_features(args: argparse.Namespace, detector: Detector) -> ScoredVideos:
    from highlight_lit.inference.feature_files import videos_of
    from highlight_lit.inference.stored_features import scores_of_features

    videos = videos_of(args.features, detector.streams)
    for video in videos:
        _names(args, _folder(args), video.name)
    if len(videos) > 1:
        for_a_file(_folder(args) / ALL)
    if args.clip_seconds is None:
        say("note: clips are taken as 1 s each; --clip-seconds says otherwise", file=sys.stderr)
    silent = []
    scored = scores_of_features(videos, detector, args.clip_seconds or 1.0)
    for video, scores in zip(videos, scored, strict=True):
        if not scores.audio_mask.any():
            silent.append(video.name)
        yield _folder(args), video.name, scores
    if silent and len(detector.streams) > 1:
        note = f"note: {len(silent)} of {len(videos)} videos have no audio and are scored without: {a_few(silent)}"
        say(note, file=sys.stderr)


def _of_corpus(args: argparse.Namespace, detector: Detector) -> ScoredVideos:
    import numpy as np

    from highlight_lit.data.corpus import Corpus
    from highlight_lit.inference.stored_features import scores_in_corpus

    corpus = Corpus(args.corpus)
    detector.check(corpus.streams, str(args.corpus))
    wanted = dict.fromkeys(args.videos) if args.videos is not None else [name.decode() for name in corpus.ids]
    if strange := [name for name in wanted if corpus.index(name) is None]:
        raise InputError(f"--videos {a_few(strange)}: not in {args.corpus}; expected ids as {corpus.ids[0].decode()!r}")
    stems: dict[str, str] = {}
    for name in wanted:
        _names(args, _folder(args), name.replace("/", "_"))  # before the first is written
        if (other := stems.setdefault(name.replace("/", "_"), name)) != name:
            raise InputError(
                f"{args.corpus}: videos {other!r} and {name!r}: their scores would have one name; expected one of them (--videos)"
            )
    for name in wanted:
        index = corpus.index(name)
        assert index is not None
        logits = detector.score_corpus(corpus, np.array([index]))[index]
        yield _folder(args), name.replace("/", "_"), scores_in_corpus(corpus, index, detector.topic, logits)


def _write(args: argparse.Namespace, folder: Path, stem: str, scores: VideoScores) -> None:
    """Write the files of a video."""
    from highlight_lit.media.output.scores_writing import write_scores_csv, write_scores_json
    from highlight_lit.media.output.timeline import draw_timeline
    from highlight_lit.media.output.video_scores import highlights_of

    written = _names(args, folder, stem)
    highlights = highlights_of(scores, args.seconds, args.shortest, args.merge)
    write_scores_json(written[0], scores, highlights)
    write_scores_csv(written[1], scores)
    draw_timeline(written[2], scores, highlights)
    if args.html:
        from highlight_lit.media.output.page import write_page

        video = next((path for path in args.video if path.stem == stem and (args.out or path.parent) == folder), None)
        write_page(written[3], video, scores, highlights)
    say(*written)


def _write_all(path: Path, several: Sequence[VideoScores]) -> None:
    """Write the scores of all videos to one csv, which `evaluate --scores` and `reel --scores` read."""
    from highlight_lit.evaluation.scores import ClipScores
    from highlight_lit.evaluation.scores_csv import write_scores

    write_scores(
        path,
        {each.video: ClipScores(each.span, each.score.astype(float), each.logit.astype(float)) for each in several},
    )
    say(path)
