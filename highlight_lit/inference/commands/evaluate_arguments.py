"""The arguments of `highlight-lit evaluate`, apart from its command, whose import of PyTorch --help need not wait for."""

from __future__ import annotations

import argparse
from pathlib import Path

from highlight_lit.data.topics.weak_labels import RULES
from highlight_lit.data.video import MODALITIES
from highlight_lit.untrusted.arguments import trust_argument


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `evaluate`."""
    from highlight_lit.methods import METHODS  # read where they are shown alone

    judged = parser.add_mutually_exclusive_group(required=True)
    judged.add_argument(
        "--checkpoint", type=Path, nargs="+",
        help="one or more, each judged on its own topic; several of a topic beside each other",
    )  # fmt: skip
    judged.add_argument("--method", help=f"a method to compare with: {', '.join(METHODS)}")
    judged.add_argument(
        "--scores", type=Path, help="csv with the columns video, start, end (seconds), score; perhaps logit"
    )
    parser.add_argument("--corpus", type=Path, metavar="DIR", required=True)
    parser.add_argument(
        "--labels", type=Path, metavar="CSV", help="video,start,end,label: judge by these, not by those of the corpus"
    )
    parser.add_argument("--modality", choices=tuple(MODALITIES), default="visual", help="what --method reads")
    parser.add_argument("--rule", choices=tuple(RULES), default="duration", help="weak labels of --method")
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


def run_evaluate(options: argparse.Namespace) -> int:
    """Judge, print the table, and write the files if a folder was named; see `evaluate.run`."""
    from highlight_lit.inference.commands.evaluate import run

    return run(options)
