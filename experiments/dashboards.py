"""A saved view in W&B for each study of a reproduction or of a folder of runs, and the runs that were logged offline sent there.

    python -m experiments.dashboards views reproduce     # with a key in WANDB_API_KEY or after 'wandb login'
    python -m experiments.dashboards sync reproduce runs  # reproductions, and folders of runs (out=runs)

What was made is kept in `reproduce/PROFILE/dashboards.json`, so that a second time makes nothing twice. Without a key, or
without the package wandb-workspaces (the extra `dashboards`), `views` writes there what it would make, and says so. No
table of the report depends on W&B.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from highlight_lit.errors import InputError, command
from highlight_lit.evaluation.benchmarks import BENCHMARKS
from highlight_lit.files import read_json, write_json
from highlight_lit.runs import ledger
from highlight_lit.runs.sweep_table import varied_keys
from highlight_lit.text import ArgumentParser, a_few, say, shown
from highlight_lit.untrusted.shapes import check_shape

from .reproduce import plan
from .reproduce.study import Study, studies

# What a sweep's key is called in a run's config, where W&B nests it.
CONFIG_KEYS = {"model": "model._target_", "pooling": "model.pooling._target_", "loss": "loss._target_",
               "fusion": "model.fusion._target_", "context.T": "model.context.T"}  # fmt: skip
LOGARITHMIC = ("rank", "beta")
RUNS_A_CALL = 50  # of 'wandb sync', which takes seconds to start


@command("dashboards")
def main(arguments: Sequence[str] | None = None) -> int:
    """Make the views or send the runs; returns an exit status."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("views", "sync"))
    parser.add_argument("folders", type=Path, nargs="+", help="of reproductions, or of runs")
    parser.add_argument("--project", default="highlight-lit")
    options = parser.parse_args(arguments)
    if options.what == "sync":
        return sync(options.folders)
    folders = sorted(path.parent for folder in options.folders for path in folder.glob(f"*/{plan.FILE}"))
    runs = [folder for folder in options.folders if next(folder.glob(f"*/{ledger.RECORD}"), None) is not None]
    if not folders and not runs:
        raise InputError(
            f"{a_few(map(str, options.folders))}: no reproduction and no runs in it; expected folders of runs, as train's "
            "out=runs (make dashboards RUNS=DIR), or 'make reproduce-tables' first"
        )
    return make_views(folders, runs, options.project)


def views(planned: Mapping[str, Any], known: Sequence[Study], project: str) -> list[dict[str, Any]]:
    """What the views of a reproduction are: a curve or bars for each benchmark, and the runs, best first.

    Args:
        planned: The plan.
        known: The studies.
        project: In W&B.
    """
    wanted = []
    for study in known:
        cells = planned["studies"].get(study.name, {})
        if not cells:
            continue
        keys = list(study.axes())
        measures = sorted({BENCHMARKS[planned["corpora"][corpus]["benchmark"]].primary.name for corpus in cells})
        numeric = len(keys) == 1 and all(_is_number(value) for value in study.axes()[keys[0]])
        kind, runs = "curve" if numeric else "bars", {cell["id"] for of_corpus in cells.values() for cell in of_corpus}
        wanted.append(_view(f"{study.title}: {study.about}", project, measures, kind, keys[:1], keys, runs))
    return wanted


def views_of_runs(folder: Path, project: str) -> list[dict[str, Any]]:
    """A view of each study of a folder of runs, and one of the runs without a study: bars by what was varied.

    Args:
        folder: What trainings had as `out`.
        project: In W&B.
    """
    by_study: dict[str, list[dict[str, Any]]] = {}
    for record in ledger.records(folder):
        if record["status"] == "done":
            by_study.setdefault(record["study"] or folder.resolve().name, []).append(record)
    wanted = []
    for study, records in sorted(by_study.items()):
        measures = sorted({record["evaluation"]["primary"] for record in records if "evaluation" in record})
        measures = measures or ["train/loss"]
        keys = varied_keys(records)
        runs = [record["id"] for record in records]
        wanted.append(_view(f"{study}: by {' '.join(keys)}", project, measures, "bars", keys, keys, runs))
    return wanted


def _view(
    name: str, project: str, measures: Sequence[str], kind: str, over: Sequence[str], keys: Sequence[str], runs: Iterable[str]
) -> dict[str, Any]:  # fmt: skip
    """A view: a panel of a kind for each measure over each key, and runs, best first, with the keys as columns."""
    panels = [
        {"kind": kind, "y": measure, "x": CONFIG_KEYS.get(key, key), "logarithmic": key in LOGARITHMIC}
        for measure in measures
        for key in over
    ]
    columns = [*(CONFIG_KEYS.get(key, key) for key in keys), "topic", "seed"]
    return {"name": _plain(name), "project": project, "panels": panels, "runs": sorted(runs), "best_first": measures[0],
            "columns": columns}  # fmt: skip


def _plain(name: str) -> str:
    """A name as W&B takes it: one line without symbols, an equals sign among them."""
    return " ".join("".join(c for c in shown(name) if not unicodedata.category(c).startswith("S")).split())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def make_views(folders: Sequence[Path], runs: Sequence[Path], project: str) -> int:
    """Save the views in W&B, or write what they would be.

    Raises:
        InputError: W&B refuses, or cannot be reached.
    """
    key, package = _key(), find_spec("wandb_workspaces") is not None
    views_by_folder = [(folder, views(plan.read(folder), studies(), project)) for folder in folders]
    views_by_folder += [(folder, views_of_runs(folder, project)) for folder in runs]
    for folder, wanted in views_by_folder:
        file = folder / "dashboards.json"
        if key and package:
            _save_all(wanted, file)
        else:
            write_json(file, wanted)
            lacking = "no W&B key was found" if package else "the package wandb-workspaces is not installed"
            say(f"{lacking}: what would be made is written to {file} ({len(wanted)} views)")
    return 0


def _save_all(wanted: Sequence[dict[str, Any]], file: Path) -> None:
    """Save those that `file` does not have an address of, and write the address of each beside it as it is made."""
    kept = read_json(file, "the views of a reproduction") if file.exists() else []
    check_shape(kept, [{"name": str, "url": (str, type(None))}], str(file))
    urls = {json.dumps({**view, "url": None}): view["url"] for view in kept if view.get("url")}
    with_urls = [{**view, "url": urls.get(json.dumps({**view, "url": None}))} for view in wanted]
    for view in with_urls:
        view["url"] = view["url"] or save(view)
        write_json(file, with_urls)
        say(f"{view['name']}: {view['url']}")


def _key() -> bool:
    """Whether W&B would let us in."""
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    return bool(os.environ.get("WANDB_API_KEY")) or (netrc.is_file() and "api.wandb.ai" in netrc.read_text())


def workspace(view: Mapping[str, Any], entity: str) -> Any:
    """A view as an object of W&B's own workspaces API."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

    panels: list[Any] = []
    for panel in view["panels"]:
        x, y = wr.Config(panel["x"]), wr.SummaryMetric(panel["y"])
        if panel["kind"] == "curve":
            panels.append(wr.ScatterPlot(title=panel["y"], x=x, y=y, log_x=panel["logarithmic"], running_ymean=True))
        else:
            panels.append(wr.BarPlot(title=panel["y"], metrics=[panel["y"]], groupby=x, groupby_aggfunc="mean",
                                     groupby_rangefunc="stddev"))  # fmt: skip
    settings = ws.RunsetSettings(
        filters=expr.And(expr.Metric("ID").isin(list(view["runs"]))),
        order=[expr.Ordering(expr.Summary(view["best_first"]), ascending=False)],
        pinned_columns=["run:displayName", f"summary:{view['best_first']}",
                        *(f"config:{column}.value" for column in view["columns"])],
    )  # fmt: skip
    section = ws.Section(name="by what was varied", panels=panels, is_open=True)
    return ws.Workspace(entity=entity, project=view["project"], name=view["name"], sections=[section],
                        runset_settings=settings)  # fmt: skip


def save(view: Mapping[str, Any]) -> str:
    """Save a view; its address.

    Raises:
        InputError: W&B refuses, or cannot be reached.
    """
    import wandb

    try:
        saved = workspace(view, str(wandb.Api().default_entity))
        saved.save()
        return str(saved.url)
    except Exception as error:  # of W&B, of the network, of its models' validation: they share no class
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"W&B does not take the view {view['name']!r}: {reason}") from error


def sync(folders: Sequence[Path]) -> int:
    """Send the runs logged offline; those sent before are skipped by W&B, which leaves a mark beside each.

    Args:
        folders: What trainings had as `out`, or reproductions, which have their runs below.

    Raises:
        InputError: There is no such run, or no key.
    """
    within = ("", "*/", "*/runs/", "*/runs/*/")
    runs = sorted({run for folder in folders for path in within for run in folder.glob(f"{path}wandb/offline-run-*")})
    if not runs:
        raise InputError(
            f"{a_few(map(str, folders))}: no run that was logged offline; expected folders of runs, as train's out=runs (make sync "
            "RUNS=DIR), or of reproductions"
        )
    if not _key():
        raise InputError("no W&B key was found; expected WANDB_API_KEY, or 'wandb login' once")
    say(f"{len(runs)} runs to send")
    failed = 0
    for start in range(0, len(runs), RUNS_A_CALL):
        some = [str(run) for run in runs[start : start + RUNS_A_CALL]]
        if subprocess.run([sys.executable, "-m", "wandb", "sync", *some]).returncode:
            say(f"not all sent: {some[0]} to {some[-1]}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
