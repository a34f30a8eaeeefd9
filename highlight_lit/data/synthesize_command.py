"""`highlight-lit synthesize`: a corpus with a planted audio-visual signal."""

from __future__ import annotations

import argparse
from pathlib import Path

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.errors import InputError
from highlight_lit.text import say, whole_number


def synthesize_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `synthesize`."""
    default = Plan()
    parser.add_argument("folder", type=Path, nargs="?", metavar="OUT", help="the corpus to write; must not exist")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the same, as other verbs have it")
    parser.add_argument("--topics", type=int, default=default.topics)
    parser.add_argument("--videos", type=int, default=default.videos, help="a topic, half of them under 60 s")
    parser.add_argument("--annotators", type=int, default=default.annotators, help="1 to 20")
    parser.add_argument("--rank", type=int, default=default.rank, help="of the planted bilinear form")
    parser.add_argument("--widths", default=f"{default.Dv},{default.Da}", metavar="DV,DA")
    parser.add_argument("--seed", type=int, default=default.seed)


def run_synthesize(options: argparse.Namespace) -> int:
    """Write the corpus that is asked for, and say what is in it."""
    try:
        Dv, Da = (whole_number(width) for width in options.widths.split(","))
    except ValueError:
        raise InputError(f"--widths {options.widths}: expected two whole numbers, as in 64,32") from None
    if (options.folder is None) == (options.out is None):
        raise InputError("synthesize: expected one folder to write, as OUT or as --out DIR")
    out = options.out or options.folder
    plan = Plan(options.topics, options.videos, options.annotators, options.rank, Dv, Da, options.seed)
    synthesize(out, plan)
    corpus = Corpus(out)
    say(f"{out}: {len(corpus)} videos of {len(corpus.topics)} topics, {int(corpus.clips.sum())} clips")
    return 0
