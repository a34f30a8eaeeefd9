"""`highlight-lit reproduce`: every table and figure of the paper, from what the ledger holds after running what is missing.

    highlight-lit reproduce --profile quick|full [--corpus DIR ...] [--folds N] [--out reproduce] [Hydra overrides]

With no corpus given, three synthetic ones are made in the shapes of YouTube Highlights, TVSum and CoSum. The same command
again goes on where it was stopped and never runs a cell twice; when nothing is missing it writes the report alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from highlight_lit.errors import InputError, Interrupted, command
from highlight_lit.text import ArgumentParser, say

from . import plan
from .cells import Cell, Site, cells_of, cross_fitted, site, synthetic_roots, unique
from .report import Missing, write_report
from .runner import missing, run, stack
from .study import Profile, Study, profile, studies


@command("reproduce")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing and write the report; returns an exit status."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = ArgumentParser(prog="highlight-lit reproduce", description=__doc__, formatter_class=raw)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--corpus", action="append", type=Path, metavar="DIR", help="can be given several times")
    parser.add_argument("--study", action="append", help="these alone; can be given several times")
    parser.add_argument(
        "--folds", type=int, metavar="N", help="each corpus cross-fitted in N folds too, beside its lists"
    )
    parser.add_argument("--out", type=Path, default=Path("reproduce"), help="folder of runs and report")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="cells at once")
    parser.add_argument("--launcher", choices=("processes", "stacked"), default="processes",
                        help="stacked: cells of one shape are trained together first, where that pays")  # fmt: skip
    parser.add_argument("--allow-missing", action="store_true", help="exit with 0 although cells are missing")
    parser.add_argument("overrides", nargs="*", help="of every cell, as for 'highlight-lit train'")
    options = parser.parse_args(arguments)
    try:
        return _reproduce(options)
    except Missing as error:
        say(f"reproduce: {error}", file=sys.stderr)
        return 1
    except Interrupted as stop:
        say(f"reproduce: {stop}", file=sys.stderr)
        return stop.status


def _reproduce(options: argparse.Namespace) -> int:
    chosen = profile(options.profile)
    wanted = _wanted(options.study)
    for word in options.overrides:
        if (key := word.partition("=")[0]) in ("topic", "seed", "data.root", "out"):
            raise InputError(f"{word}: {key} is the profile's and the corpora's to say; expected no {key}= here")
    out: Path = options.out / chosen.name
    roots = options.corpus or synthetic_roots(options.out / "corpora" / chosen.name, chosen)
    sites = [site(root, chosen.topics) for root in roots]
    if "table4" in {study.name for study in wanted} and not any(where.benchmark == "cosum" for where in sites):
        # No CoSum features exist in public: table 4 then runs on the synthetic corpus, and says so.
        [root] = synthetic_roots(options.out / "corpora" / chosen.name, chosen, ["cosum"])
        sites.append(site(root, chosen.topics))
    if options.folds is not None:
        sites += [cross_fitted(where, options.folds) for where in sites]
    work = _work(wanted, sites, chosen, options.overrides)
    every = [cell for cells in work.values() for cell in cells]
    runs = out / "runs"
    left = missing(list(unique(every)), runs)
    say(f"{len({cell.id for cell in every})} cells, {len(left)} to run, in {runs}", file=sys.stderr)
    plan.write(out, chosen, wanted, sites, work, options.overrides)
    if options.launcher == "stacked":
        stack(left, runs)
    failures = run(left, runs, options.workers)
    for text, error in failures.items():
        say(f"failed: {text}: {error}", file=sys.stderr)
    holes = write_report(out)
    say(f"report: {out / 'report' / 'report.html'}")
    if failures or (holes and not options.allow_missing):
        raise Missing(f"{len(failures)} cells failed, {holes} are missing; the report shows them as holes")
    return 0


def _wanted(names: Sequence[str] | None) -> list[Study]:
    known = studies()
    if strange := [name for name in names or () if name not in {study.name for study in known}]:
        raise InputError(
            f"--study {strange[0]}: no such study; expected one of {', '.join(study.name for study in known)}"
        )
    return [study for study in known if not names or study.name in names]


def _work(
    wanted: Sequence[Study], sites: Sequence[Site], chosen: Profile, overrides: Sequence[str]
) -> dict[tuple[str, str], list[Cell]]:
    """Cells by study and corpus."""
    work = {}
    for study in wanted:
        for where in sites:
            if where.benchmark in study.benchmarks:
                systems = study.systems(chosen.only.get(study.sweep or ""))
                work[study.name, where.key] = cells_of(study, systems, where, chosen, overrides)
    return work


if __name__ == "__main__":
    sys.exit(main())
