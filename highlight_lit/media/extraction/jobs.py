"""`highlight-lit extract -m`: one extraction by many jobs, through Hydra's launchers (basic, joblib, submitit).

Each job takes a slice of the videos, makes their parts and leaves a note of what came of it in a folder of this command;
when all have ended, the parts are packed here.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from highlight_lit.config.overrides import MULTIRUN
from highlight_lit.errors import InputError, Interrupted
from highlight_lit.files import read_json, remove_other, remove_tree, write_json
from highlight_lit.launch import SWEEP_FILE, composed, launch
from highlight_lit.media.extraction.extract import (
    ExtractionReport,
    ExtractorChoice,
    extract_corpus,
    features_lines,
    finish,
)
from highlight_lit.media.extraction.find_videos import Listing, find_videos
from highlight_lit.media.extraction.parts import known_videos
from highlight_lit.media.extraction.parts_folder import PARTS, SCRATCH, check_root, held, remove_lock
from highlight_lit.media.extraction.sidecar import TagRow, read_csv
from highlight_lit.media.extraction.survey import survey
from highlight_lit.processes import ending_jobs
from highlight_lit.processes.signals import Signals
from highlight_lit.text import say
from highlight_lit.untrusted.shapes import check_shape

CONFIG = "extract"
AGAIN = "the same command does what is left"
JOBS = ".jobs"  # in the corpus' folder, as conf/extract.yaml says: what Hydra and its launchers leave


@dataclass(frozen=True)
class JobPlan:
    """What the configuration asks for."""

    listing: Listing
    out: Path
    choice: ExtractorChoice
    rows: list[TagRow]
    workers: int
    slices: int
    allow_untagged: bool


def plan_of(config: DictConfig) -> JobPlan:
    """Read a configuration.

    Raises:
        InputError: A value of another kind, or what it names is not there.
    """
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    videos = values["videos"] if isinstance(values["videos"], list) else [values["videos"]]
    for key in ("workers", "slices"):
        if type(values[key]) is not int or values[key] < 1:
            raise InputError(f"{key}={values[key]}: expected a whole number of at least 1")
    if not isinstance(values["allow_untagged"], bool):
        raise InputError(f"allow_untagged={values['allow_untagged']}: expected true or false")
    files = {key: _path(values[key]) for key in ("visual_weights", "audio_weights", "audio_pca")}
    return JobPlan(
        listing=find_videos([Path(str(name)) for name in videos]),
        out=Path(str(values["out"])),
        choice=ExtractorChoice(str(values["visual"]), str(values["audio"]), **files),
        rows=read_csv(Path(str(values["tags"]))) if values["tags"] is not None else [],
        workers=values["workers"],
        slices=values["slices"],
        allow_untagged=values["allow_untagged"],
    )


def _path(name: object) -> Path | None:
    return None if name is None else Path(str(name))


def run_jobs(words: Sequence[str]) -> tuple[ExtractionReport, Path]:
    """Extract by jobs and pack when all have ended.

    Args:
        words: Overrides of `conf/extract.yaml` and of Hydra, and -m.

    Returns:
        What came of all videos, and the corpus' folder.

    Raises:
        InputError: A word that cannot be used, or a job that did not end: the same words again do what is left.
    """
    config = _composed(words)
    elsewhere = not config.pop("hydra").launcher._target_.endswith(ending_jobs.HERE)
    plan = plan_of(config)
    streams = plan.choice.streams()
    check_root(plan.out)
    with held(plan.out):  # whoever comes later, and finds no more than the folder of jobs, may use it
        before = known_videos(plan.out, streams)
        before_jobs = survey(plan.listing, plan.rows, before, plan.allow_untagged)  # before any job begins
        jobs = plan.out / JOBS
        remove_other(jobs)
        jobs.mkdir(exist_ok=True)
        remove_other(jobs / SWEEP_FILE)
    say(*(f"note: {note}" for note in before_jobs.notes), file=sys.stderr)
    report = ExtractionReport()
    slices = range(1, plan.slices + 1)
    with _notes_of_jobs(plan.out, jobs) as notes:
        failure = _launch([*words, f"slice={','.join(map(str, slices))}", f"notes='{notes.name}'"], notes, elsewhere)
        for number in slices:
            _add(report, _read_note(_note(notes, number), f"slice {number} of {plan.slices}"))
        if failure is not None:
            raise failure
    with held(plan.out):
        now = survey(plan.listing, plan.rows, known_videos(plan.out, streams), plan.allow_untagged)
    finish(plan.out, streams, now, report, set(now.ids.values()) - before.keys())
    say(*features_lines(streams), file=sys.stderr)
    return report, plan.out


@contextmanager
def _notes_of_jobs(out: Path, within: Path) -> Iterator[Path]:
    """A folder for the jobs' notes; it goes with the block, and so does what jobs have left that were killed."""
    notes = Path(tempfile.mkdtemp(prefix="notes-", dir=within))
    try:
        yield notes
    finally:
        for folder in (notes, *(out / PARTS).glob(f"{SCRATCH}{notes.name}-*")):
            remove_tree(folder)
        remove_lock(out)


def _launch(words: Sequence[str], notes: Path, elsewhere: bool) -> Exception | None:
    """Run the jobs, maybe in other processes; returns what the launcher raised. What became of each job is in its note."""
    signals = Signals()
    error: Exception | Interrupted | None = None
    try:
        with ExitStack() as within:
            if elsewhere:
                within.enter_context(signals)
                within.enter_context(ending_jobs.conducted(notes, signals))
            launch("highlight-lit extract", CONFIG, job, words)
    except (Exception, Interrupted) as raised:
        error = raised
    if signals.received is not None:
        raise Interrupted(signals.received, AGAIN)
    if isinstance(error, InputError | Interrupted):
        raise error
    return error


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
    config = composed(CONFIG, [word for word in words if word not in MULTIRUN], with_hydra=True)
    OmegaConf.set_struct(config, False)
    return config


def job(config: DictConfig) -> None:
    """One slice, in whatever process or machine. What it raises goes into its note: the others go on."""
    out = Path(str(config.out))
    notes = out / JOBS / str(config.notes)
    name = f"{notes.name}-{config.slice}"
    elsewhere = ending_jobs.conducted_elsewhere()
    try:
        with ending_jobs.job(), Signals() if elsewhere else nullcontext():
            _slice(config, notes, name)
    except Interrupted:
        if not elsewhere:  # else the command, which is over, would be told of it by the launcher
            raise


def _slice(config: DictConfig, notes: Path, name: str) -> None:
    """Extract a slice and write its note."""
    try:
        plan = plan_of(config)
        report = extract_corpus(
            plan.listing,
            plan.out,
            plan.choice,
            plan.rows,
            plan.workers,
            slice_of=f"{config.slice}/{plan.slices}",
            allow_untagged=plan.allow_untagged,
            job=name,
        )
        note: dict[str, Any] = asdict(report)
    except Exception as error:
        note = {"error": str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"}
    note = {**note, **{key: [(str(path), text) for path, text in note.get(key, [])] for key in ("failed", "notes")}}
    if notes.is_dir():
        write_json(_note(notes, config.slice), note)


_NOTE = {"done": int, "skipped": int, "updated": int, "failed": [[str]], "notes": [[str]], "seconds": (int, float)}


def _note(notes: Path, number: int) -> Path:
    return notes / f"{number:05d}.json"


def _read_note(path: Path, which: str) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{which}: did not end; {AGAIN}")
    note: dict[str, Any] = read_json(path, "the note of a slice")
    if isinstance(note, dict) and "error" in note:
        raise InputError(f"{which}: {note['error']}; {AGAIN}")
    check_shape(note, _NOTE, str(path))
    if any(len(pair) != 2 for key in ("failed", "notes") for pair in note[key]):
        raise InputError(f"{path}: failed and notes: expected a file and what is said of it")
    return note


def _add(report: ExtractionReport, note: dict[str, Any]) -> None:
    """Add a slice's note to the report of all."""
    for field in fields(report):
        value = note[field.name]
        if isinstance(value, list):
            value = [(Path(path), text) for path, text in value]
        setattr(report, field.name, getattr(report, field.name) + value)
