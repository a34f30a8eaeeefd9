"""`highlight-lit VERB`: the verbs; each calls the module that does its work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from highlight_lit import __version__
from highlight_lit.app.command import app_arguments, run_app
from highlight_lit.data import synthetic
from highlight_lit.data.importers.command import add_sources
from highlight_lit.errors import InputError, Interrupted
from highlight_lit.export.command import export_arguments, run_export
from highlight_lit.inference.score_command import run_score, score_arguments
from highlight_lit.media.arguments import trust_argument
from highlight_lit.media.extract_command import extract_arguments, run_extract, run_extract_jobs, wants_jobs
from highlight_lit.media.reel_command import reel_arguments, run_reel
from highlight_lit.origin import experiments
from highlight_lit.signals import raised_signals
from highlight_lit.text import one_line, say

LOADS_PYTORCH = ("evaluate", "export", "score")  # which takes seconds
EXPERIMENTS = {"demo": "demo", "reproduce": "reproduce.__main__"}  # verbs of experiments/: module


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0; 1 if something failed on the way; 2 for bad input, in one line on standard error; 130 after SIGINT; 143
        after SIGTERM. With HIGHLIGHT_LIT_TRACEBACK=1 in the environment the traceback comes too.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["train"]:  # it handles signals itself: it saves first
        return _run(words)
    extracts = words[:1] == ["extract"]
    with raised_signals("the same command does what is left" if extracts else "the same command starts again"):
        return _run(words)


def _run(words: list[str]) -> int:
    try:
        if words[:1] == ["train"]:  # all its words are Hydra's
            from highlight_lit.training.entry import main as train

            return train(words[1:])
        if words[:1] and words[0] in EXPERIMENTS:  # they read their own words
            return int(experiments(EXPERIMENTS[words[0]]).main(words[1:]))
        if words[:1] == ["extract"] and wants_jobs(words[1:]):
            return run_extract_jobs(words[1:])
        parser = _parser(words)
        if not words:
            parser.print_help(sys.stderr)
            return 2
        options, unknown = parser.parse_known_args(words)
        if unknown:
            files = all(Path(word).is_file() for word in unknown)
            advice = "; one file is expected where a pattern of the shell's has given several: name it" if files else ""
            parser.error(one_line(f"unrecognized arguments: {' '.join(unknown)}{advice}"))
        if words[0] in LOADS_PYTORCH and sys.stderr.isatty():
            say(f"highlight-lit {words[0]}: begins (PyTorch is being loaded)", file=sys.stderr)
        status: int = options.run(options)
        return status
    except InputError as error:
        if os.environ.get("HIGHLIGHT_LIT_TRACEBACK") == "1":
            raise
        say(f"highlight-lit: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, `head` say, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Interrupted as stop:
        say(f"highlight-lit: {stop}", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        say("highlight-lit: interrupted", file=sys.stderr)
        return 130


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="highlight-lit", description="Weakly supervised highlight detection from tagged videos."
    )
    parser.add_argument("--version", action="version", version=f"highlight-lit {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    verbs.add_parser(
        "demo", help="from nothing to a trained detector, a table and a picture, in minutes", add_help=False
    )
    importing = verbs.add_parser("import", help="features or labels on disk to a corpus")
    if words[:1] == ["import"]:  # each source is a module that would be loaded
        add_sources(importing.add_subparsers(metavar="SOURCE", required=True))
    synthesize = verbs.add_parser("synthesize", help="make a corpus with a planted audio-visual signal")
    synthetic.add_arguments(synthesize)
    synthesize.set_defaults(run=synthetic.run)
    verify = verbs.add_parser("verify", help="check every byte and row of a corpus")
    verify.add_argument("corpus", type=Path)
    verify.set_defaults(run=_verify)
    verbs.add_parser("train", help="train and judge; takes Hydra overrides and -m (see: train --help)", add_help=False)
    _evaluate_verb(
        verbs.add_parser("evaluate", help="judge a checkpoint, a method or any system's scores by a corpus' labels")
    )
    verbs.add_parser(
        "reproduce", help="every table and figure of the paper; goes on where it was stopped", add_help=False
    )
    doctor = verbs.add_parser("doctor", help="versions, device, what is installed, whether a corpus is valid")
    doctor.add_argument("corpus", type=Path, nargs="?")
    doctor.set_defaults(run=_doctor)
    for verb, add_arguments, run, described in (
        (
            "score",
            score_arguments,
            run_score,
            "score the seconds of videos, features or a corpus with a trained detector",
        ),
        ("export", export_arguments, run_export, "a trained detector for another runtime, or as a folder that travels"),
        ("app", app_arguments, run_app, "a page on this machine: drop a video, see its scores and its reel"),
        ("extract", extract_arguments, run_extract, "raw videos to a corpus of clip features"),
        ("reel", reel_arguments, run_reel, "cut the best seconds of a video into a reel"),
    ):
        parsed = verbs.add_parser(verb, help=described)
        add_arguments(parsed)
        parsed.set_defaults(run=run)
    return parser


def _verify(options: argparse.Namespace) -> int:
    from highlight_lit.data.corpus import Corpus
    from highlight_lit.doctor import refuse_faults

    refuse_faults(options.corpus)
    corpus = Corpus(options.corpus)
    say(f"{options.corpus}: valid; {len(corpus)} videos, {int(corpus.clips.sum())} clips, {len(corpus.topics)} topics")
    return 0


def _evaluate_verb(parser: argparse.ArgumentParser) -> None:
    # Not in evaluate_command, which imports PyTorch: another verb, or --help, does not wait for it.
    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument(
        "--checkpoint",
        type=Path,
        nargs="+",
        help="one or more, each judged on its own topic; several of a topic beside each other",
    )
    judged.add_argument(
        "--method",
        help="a method to compare with: smrs, quasi, mbf, cvs, kvs, desumnet, vesd, sum_gan, "
        "recurrence, recurrence_change, recurrence_network, slstm, dpp, submodular or labelled",
    )
    judged.add_argument("--scores", type=Path, help="csv with the columns video, start, end (seconds), score")
    parser.add_argument("--corpus", type=Path, metavar="DIR", required=True)
    parser.add_argument(
        "--labels", type=Path, metavar="CSV", help="video,start,end,label: judge by these, not by those of the corpus"
    )
    parser.add_argument("--modality", choices=("visual", "audio", "av"), default="visual", help="what --method reads")
    parser.add_argument("--rule", choices=("duration", "tag"), default="duration", help="weak labels of --method")
    parser.add_argument("--training", choices=("lists", "transductive"), default="lists", help="videos of --method")
    parser.add_argument("--seed", type=int, default=0, help="of --method, where it is random")
    trust_argument(parser)
    parser.add_argument("--topics", nargs="+", help="default: the checkpoints' topics, or all that have labels")
    parser.add_argument(
        "--split",
        choices=("test", "val", "all"),
        help="list of the corpus that --checkpoint is judged on (default: test)",
    )
    parser.add_argument("--empty", choices=("zero", "leave_out"), default="zero", help="a video without a positive")
    parser.add_argument(
        "--summary", action="store_true", help="also the F1 of summaries of 15 %% against annotators, mean and best"
    )
    parser.add_argument("--draws", type=int, default=200, help="random rankings behind chance (default: 200)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="also write evaluation.json, evaluation.csv, scores.csv"
    )
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from highlight_lit.inference.evaluate_command import run

    return run(options)


def _doctor(options: argparse.Namespace) -> int:
    from highlight_lit.doctor import report

    return report(options.corpus)
