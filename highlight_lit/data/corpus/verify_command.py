"""`highlight-lit verify`: say that a corpus is valid, or what its faults are."""

from __future__ import annotations

import argparse
from pathlib import Path

from highlight_lit.data.corpus.corpus import Corpus
from highlight_lit.data.corpus.faults import refuse_faults
from highlight_lit.text import say


def verify_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `verify`."""
    parser.add_argument("corpus", type=Path)


def run_verify(options: argparse.Namespace) -> int:
    """Check a corpus and say that it is valid.

    Raises:
        InputError: It has faults; they were printed.
    """
    refuse_faults(options.corpus)
    corpus = Corpus(options.corpus)
    say(f"{options.corpus}: valid; {len(corpus)} videos, {int(corpus.clips.sum())} clips, {len(corpus.topics)} topics")
    return 0
