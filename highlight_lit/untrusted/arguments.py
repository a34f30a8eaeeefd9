"""The argument of the verbs that read a checkpoint: whose networks it may name."""

from __future__ import annotations

import argparse


def trust_argument(parser: argparse.ArgumentParser) -> None:
    """`--trust`, of every verb that reads a checkpoint."""
    parser.add_argument(
        "--trust", action="append", default=[], metavar="PACKAGE",
        help="a package of yours whose networks the checkpoint may name; may be given again",
    )  # fmt: skip
