"""`highlight-lit app`: its arguments, its temporary folder, and the checkpoints that it offers."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from highlight_lit.errors import InputError
from highlight_lit.installation import need
from highlight_lit.media.arguments import weights_arguments, weights_of
from highlight_lit.text import shown
from highlight_lit.untrusted.arguments import trust_argument

PORT = 7860  # gradio's
RUNS = Path("runs")  # where `train` writes, unless told otherwise


def app_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `app`."""
    parser.add_argument(
        "--checkpoint", nargs="+", default=[], metavar="RUN",
        help="detectors to choose from: checkpoints, runs' folders, or folders of export --to safetensors",
    )  # fmt: skip
    parser.add_argument("--runs", type=Path, metavar="DIR", help="offer its runs (default without --checkpoint: runs)")
    parser.add_argument("--port", type=int, default=PORT, help=f"of the loopback, 127.0.0.1 ({PORT})")
    trust_argument(parser)
    weights_arguments(parser)


def run_app(args: argparse.Namespace) -> int:
    """Show the page until a signal comes.

    Raises:
        InputError: A missing extra, a checkpoint that cannot be used, none at all, or a port that is taken.
    """
    need("app", "app", "gradio")
    if not 0 < args.port < 1 << 16:
        raise InputError(f"--port {args.port}: expected a number from 1 to 65535")
    runs = args.runs or (None if args.checkpoint else RUNS)
    if not offered(args.checkpoint, runs):
        raise InputError(
            f"{runs}: no finished run in it; expected --runs DIR of 'highlight-lit train', or --checkpoint"
        )
    from highlight_lit.app.scoring import Order, Scored, Scorer, check_loads, score

    weights = weights_of(args)
    trust = tuple(args.trust)
    with tempfile.TemporaryDirectory(prefix="highlight-lit-app-") as folder, Scorer() as scorer:
        root = Path(folder).resolve()
        _settle(root)
        for checkpoint in args.checkpoint:
            scorer.do(check_loads, checkpoint, trust)

        def scored(name: str, dropped: Sequence[str], clip_seconds: float | None) -> tuple[Scored, str]:
            checkpoint = offered(args.checkpoint, runs).get(name)
            if checkpoint is None:
                raise InputError(f"{name}: no such checkpoint any more; expected one of the list")
            job = root / "jobs" / secrets.token_hex(8)
            given = tuple(taken(Path(file), root / "gradio", job / "features") for file in dropped)
            try:
                result = scorer.do(score, Order(checkpoint, given, clip_seconds, trust, weights), job)
            except InputError as error:
                folder_or_option = rf"^--features:? |{re.escape(str(job / 'features'))}(/|: )"  # neither is the page's
                raise InputError(re.sub(folder_or_option, "", str(error))) from error
            page = f"{job.name}.html"
            os.link(result.page, root / "pages" / page)
            return result, page

        from highlight_lit.app.page import serve

        serve(args.port, root, lambda: offered(args.checkpoint, runs), scored)
    return 0


def _settle(root: Path) -> None:
    """Have every temporary file of this process, and of gradio, lie in a folder; and no variable change what gradio does."""
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    for name in ("gradio", "pages", "examples"):
        (root / name).mkdir()
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1",
        "GRADIO_TEMP_DIR": str(root / "gradio"), "GRADIO_EXAMPLES_CACHE": str(root / "examples"), "TMPDIR": str(root),
    }  # fmt: skip
    for name in ("NO_PROXY", "no_proxy"):  # gradio looks whether its own page is there
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))
    tempfile.tempdir = str(root)


def offered(checkpoints: Sequence[str], runs: Path | None) -> dict[str, str]:
    """Names of checkpoints, as they stand in the list, and the checkpoints: given ones, and finished runs, newest first.

    Raises:
        InputError: A damaged record.
    """
    from highlight_lit.runs.ledger import RECORD, read_record
    from highlight_lit.runs.names import cell_name

    names = {shown(checkpoint): checkpoint for checkpoint in checkpoints}
    recorded = [] if runs is None else list(runs.glob(f"*/{RECORD}"))
    for path in sorted(recorded, key=lambda path: path.stat().st_mtime, reverse=True):
        record = read_record(path.parent)
        if record is not None and record["status"] == "done":
            names[shown(f"{cell_name(record)} ({path.parent.name[:8]})")] = str(path.parent)
    return names


def taken(file: Path, uploads: Path, into: Path) -> Path:
    """A file that was dropped, under its name in the folder of a job.

    Raises:
        InputError: It does not lie in the folder of what was dropped.
    """
    real = file.resolve()
    if not real.is_relative_to(uploads) or not real.is_file():
        raise InputError(f"{file.name}: not a file that was dropped on this page")
    into.mkdir(parents=True, exist_ok=True)
    target = into / file.name
    if target.exists():
        raise InputError(f"{file.name}: twice; expected a file once")
    os.link(real, target)
    return target
