"""`highlight-lit VERB`: the verbs; each calls the module that does its work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from highlight_lit import __version__
from highlight_lit.app.command import app_arguments, run_app
from highlight_lit.data.corpus.verify_command import run_verify, verify_arguments
from highlight_lit.data.importers.command import add_sources
from highlight_lit.data.synthesize_command import run_synthesize, synthesize_arguments
from highlight_lit.doctor import doctor_arguments, run_doctor
from highlight_lit.errors import InputError, Interrupted, answered
from highlight_lit.export.command import export_arguments, run_export
from highlight_lit.inference.commands.evaluate_arguments import evaluate_arguments, run_evaluate
from highlight_lit.inference.commands.score import run_score, score_arguments
from highlight_lit.installation import experiments
from highlight_lit.media.extract_command import extract_arguments, run_extract, run_extract_jobs, wants_jobs
from highlight_lit.media.reel_command import reel_arguments, run_reel
from highlight_lit.processes.signals import raised_signals
from highlight_lit.text import ArgumentParser, say

LOADS_PYTORCH = ("evaluate", "export", "score")  # which takes seconds
EXPERIMENTS = {"demo": "demo", "reproduce": "reproduce.__main__"}  # verbs of experiments/: module
# Each verb, its purpose, what adds its arguments, and what it runs; None: it reads its own words.
_VERBS: tuple[tuple[str, str, Callable[[argparse.ArgumentParser], None] | None, Callable[..., int] | None], ...] = (
    ("demo", "from nothing to a trained detector, a table and a picture, in minutes", None, None),
    ("import", "features or labels on disk to a corpus", add_sources, None),
    ("synthesize", "make a corpus with a planted audio-visual signal", synthesize_arguments, run_synthesize),
    ("verify", "check every byte and row of a corpus", verify_arguments, run_verify),
    ("train", "train and judge; takes Hydra overrides and -m (see: train --help)", None, None),
    ("evaluate", "judge a checkpoint, a method or any system's scores by a corpus' labels", evaluate_arguments, run_evaluate),
    ("reproduce", "every table and figure of the paper; goes on where it was stopped", None, None),
    ("doctor", "versions, device, what is installed, whether a corpus is valid", doctor_arguments, run_doctor),
    ("score", "score the seconds of videos, features or a corpus with a trained detector", score_arguments, run_score),
    ("export", "a trained detector for another runtime, or as a folder that travels", export_arguments, run_export),
    ("app", "a page on this machine: drop a video, see its scores and its reel", app_arguments, run_app),
    ("extract", "raw videos to a corpus of clip features", extract_arguments, run_extract),
    ("reel", "cut the best seconds of a video into a reel", reel_arguments, run_reel),
)  # fmt: skip


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
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # as long as the process
    try:
        return answered("highlight-lit", lambda: _do(words))
    except Interrupted as stop:
        say(f"highlight-lit: {stop}", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        say("highlight-lit: interrupted", file=sys.stderr)
        return 130


def _do(words: list[str]) -> int:
    """Run a verb."""
    _check_working_folder()
    if words[:1] == ["train"]:  # all its words are Hydra's
        from highlight_lit.training.command import main as train

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
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{advice}")
    if words[0] in LOADS_PYTORCH and sys.stderr.isatty():
        say(f"highlight-lit {words[0]}: begins (PyTorch is being loaded)", file=sys.stderr)
    status: int = options.run(options)
    return status


def _check_working_folder() -> None:
    """Refuse a working folder that was removed, or has settings of Matplotlib, which name programs: libraries read them, or wait."""
    try:
        os.getcwd()
    except OSError as error:
        raise InputError(f"the working folder: {error.strerror}; expected one that is there: cd to another") from error
    # Matplotlib would read it as soon as Lightning is imported, and start LaTeX by it.
    if os.path.lexists("matplotlibrc"):
        raise InputError(
            "matplotlibrc: settings of Matplotlib in the working folder, which may start programs; expected none:"
            " move it to ~/.config/matplotlib, or cd to another folder"
        )


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="highlight-lit", description="Weakly supervised highlight detection from tagged videos."
    )
    parser.add_argument("--version", action="version", version=f"highlight-lit {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb, purpose, add_arguments, run in _VERBS:
        parsed = verbs.add_parser(verb, help=purpose, add_help=add_arguments is not None)
        parsed.set_defaults(run=run)
        if add_arguments is not None and verb in words:  # those of `import` load a module a source
            add_arguments(parsed)
    return parser
