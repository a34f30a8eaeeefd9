"""The ledger: one JSON record a run, under its identity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from highlight_lit.config.run_identity import completed
from highlight_lit.errors import InputError, first_line
from highlight_lit.files import is_of_format, read_json, write_json
from highlight_lit.processes.locks import locked
from highlight_lit.runs.record_schema import check
from highlight_lit.text import shown

RECORD = "record.json"
FORMAT = "highlight-lit record"
VERSION = 1


def run_dir(out: Path, run_id: str) -> Path:
    """Folder of a run."""
    return out / run_id


@contextmanager
def claimed(out: Path, run_id: str, name: str) -> Iterator[Path]:
    """Hold a run for this process and yield its folder; another process that wants the same run waits for it.

    Two sweeps in one folder then never run a cell twice: who waited finds its record.

    Args:
        out: Folder of results.
        run_id: The run's identity.
        name: What people call it.

    Raises:
        InputError: `out` cannot be written, or the run's folder is a link: its name can be guessed, and what it leads to
            is not the run's.
    """
    folder = run_dir(out, run_id)
    with ExitStack() as held:
        try:
            held.enter_context(locked(out / ".locks" / run_id, name))
        except OSError as error:
            raise InputError(f"out={out}: cannot be written ({error.strerror})") from error
        if folder.is_symlink():
            raise InputError(
                f"{folder}: a link, through which a run would write elsewhere; expected a folder, or none (out= may be a link)"
            )
        yield folder


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write a run's record, atomically; it is there once the run is done or has failed, never in between."""
    write_json(folder / RECORD, {"format": FORMAT, "version": VERSION, **record})


@contextmanager
def failure_recorded(folder: Path, header: dict[str, Any]) -> Iterator[None]:
    """Write a record of what fails within; none of what is interrupted."""
    try:
        yield
    except Exception as error:
        with suppress(InputError):  # on a full disk the first error is the one to tell
            write_record(folder, {**header, "status": "failed", "error": first_line(error)})
        raise


def read_record(folder: Path, run_id: str | None = None) -> dict[str, Any] | None:
    """Record of a run, None if it has none.

    Args:
        folder: Of the run.
        run_id: The run that it must be of; None: any, since a run's folder may be renamed.

    Raises:
        InputError: It is damaged, of another format, version or run, or lacks what tables are made from.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    record = read_json(path, "a record of a run")
    if not is_of_format(record, FORMAT, VERSION):
        raise InputError(f"{path}: expected {FORMAT!r} version {VERSION}; move it away and run again")
    check(record, path)
    if run_id is not None and record["id"] != run_id:
        raise InputError(
            f"{path}: id: {shown(record['id'])}, another run's; expected {run_id}; move it away and run again"
        )
    completed(record["config"])
    return record


def records(out: Path) -> Iterator[dict[str, Any]]:
    """Every record under a folder of results, in the order of their folders' names.

    Raises:
        InputError: One is damaged, or two are of one run, which would count twice.
    """
    places: dict[str, Path] = {}
    for path in sorted(out.glob(f"*/{RECORD}")):
        if (record := read_record(path.parent)) is None:
            continue
        if (first := places.setdefault(record["id"], path)) != path:
            raise InputError(
                f"{path}: the run of {first} again; expected one folder for each run; move one of them away"
            )
        yield record
