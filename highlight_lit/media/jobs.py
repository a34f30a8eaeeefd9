"""`highlight-lit extract -m`: one extraction by many jobs, through Hydra's launchers (basic, joblib, submitit).

Each job takes a slice of the videos, makes their parts and leaves a note of what came of it; when all have ended, the
parts are packed here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from highlight_lit.errors import InputError
from highlight_lit.files import read_json, write_json
from highlight_lit.launch import MULTIRUN, composed, launch
from highlight_lit.media.extract import ExtractorChoice, Report, extract_corpus, find_videos
from highlight_lit.media.parts import check_root, held, pack
from highlight_lit.media.sidecar import Sidecar, read_csv

CONFIG = "extract"
JOBS = ".jobs"  # in the corpus' folder, as conf/extract.yaml says: what Hydra and its launchers leave


@dataclass(frozen=True)
class Plan:
    """What the configuration asks for."""

    videos: list[Path]
    out: Path
    choice: ExtractorChoice
    table: dict[str, Sidecar]
    workers: int
    slices: int


def plan_of(config: DictConfig) -> Plan:
    """Read a configuration.

    Raises:
        InputError: A value of another kind, or what it names is not there.
    """
    given = OmegaConf.to_container(config, resolve=True)
    assert isinstance(given, dict)
    videos = given["videos"] if isinstance(given["videos"], list) else [given["videos"]]
    for key in ("workers", "slices"):
        if not isinstance(given[key], int) or given[key] < 1:
            raise InputError(f"{key}={given[key]}: expected a whole number of at least 1")
    files = {key: _path(given[key]) for key in ("visual_weights", "audio_weights", "audio_pca")}
    return Plan(
        videos=find_videos([Path(str(name)) for name in videos]),
        out=Path(str(given["out"])),
        choice=ExtractorChoice(str(given["visual"]), str(given["audio"]), **files),
        table=read_csv(Path(str(given["tags"]))) if given["tags"] is not None else {},
        workers=given["workers"],
        slices=given["slices"],
    )


def _path(name: object) -> Path | None:
    return None if name is None else Path(str(name))


def run_jobs(words: Sequence[str]) -> tuple[Report, Path]:
    """Extract by jobs and pack when all have ended.

    Args:
        words: Overrides of `conf/extract.yaml` and of Hydra, and -m.

    Returns:
        What came of all videos, and the corpus' folder.

    Raises:
        InputError: A word that cannot be used, or a job that did not end: the same words again do what is left.
    """
    plan = plan_of(_composed(words))
    streams = plan.choice.streams()
    check_root(plan.out)
    with held(plan.out):  # whoever comes later, and finds no more than the folder of jobs, may use it
        jobs = plan.out / JOBS
        jobs.mkdir(exist_ok=True)
    slices = range(1, plan.slices + 1)
    report = Report()
    with tempfile.TemporaryDirectory(prefix="notes-", dir=jobs) as notes:
        sweep = [f"slice={','.join(map(str, slices))}", f"notes='{Path(notes).name}'"]
        launch("highlight-lit extract", CONFIG, job, [*words, *sweep])
        for number in slices:
            _add(report, _read_note(_note(plan.out, Path(notes).name, number), f"slice {number} of {plan.slices}"))
    with held(plan.out, alone=True):
        pack(plan.out, streams)
    return report, plan.out


def show_help() -> int:
    """Show what `extract -m` takes, as Hydra shows it."""
    launch("highlight-lit extract -m", CONFIG, job, ["--help"])
    return 0


def _composed(words: Sequence[str]) -> DictConfig:
    """The configuration that all jobs share."""
    flags = [word for word in words if word.startswith("-") and word not in MULTIRUN]
    if flags:
        raise InputError(
            f"{flags[0]}: with -m, expected KEY=VALUE as in conf/extract.yaml, such as slices=4 out=CORPUS"
        )
    ours = [word for word in words if word not in MULTIRUN and not word.lstrip("+~").startswith("hydra")]
    return composed(CONFIG, ours)


def job(config: DictConfig) -> None:
    """One slice, in whatever process or machine. What it raises goes into its note: the others go on."""
    plan = plan_of(config)
    slice_of = f"{config.slice}/{plan.slices}"
    try:
        report = extract_corpus(plan.videos, plan.out, plan.choice, plan.table, plan.workers, slice_of)
        note: dict[str, Any] = asdict(report)
    except Exception as error:
        note = {"error": str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"}
    note = {**note, **{key: [(str(path), text) for path, text in note.get(key, [])] for key in ("failed", "notes")}}
    write_json(_note(plan.out, str(config.notes), config.slice), note)


def _note(out: Path, notes: str, number: int) -> Path:
    return out / JOBS / notes / f"{number:05d}.json"


def _read_note(path: Path, which: str) -> dict[str, Any]:
    again = "the same command again does what is left"
    if not path.is_file():
        raise InputError(f"{which}: did not end; {again}")
    note = read_json(path, "the note of a slice")
    if "error" in note:
        raise InputError(f"{which}: {note['error']}; {again}")
    return note


def _add(report: Report, note: dict[str, Any]) -> None:
    """Add a slice's note to the report of all."""
    for each in fields(report):
        value = note[each.name]
        if isinstance(value, list):
            value = [(Path(path), text) for path, text in value]
        setattr(report, each.name, getattr(report, each.name) + value)
