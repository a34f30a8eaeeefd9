"""Frame rates of videos, for labels that count frames: the option `--fps` and its file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from highlight_lit.data.importers.common.report import Say
from highlight_lit.data.importers.common.values import number
from highlight_lit.errors import InputError
from highlight_lit.files import read_json
from highlight_lit.text import a_few
from highlight_lit.unicode_forms import same_form
from highlight_lit.untrusted.csv_tables import read_table


def add_fps(parser: argparse.ArgumentParser) -> None:
    """Add `--fps`, of importers of labels that count frames."""
    parser.add_argument("--fps", type=Path, metavar="FILE", help="frame rates: a csv with the columns id, fps")


def frame_rates(path: Path) -> dict[str, float]:
    """Frames a second by video id, from csv with columns `id,fps` or from an annotation json of UMT's layout.

    Raises:
        InputError: The file is neither, an id occurs twice, or a rate is not a number above 0.
    """
    rates: dict[str, float] = {}
    if path.suffix != ".json":
        for line, row in read_table(path, ("id", "fps")):
            if (name := same_form(row["id"])) in rates:
                raise InputError(f"{path}: line {line}: video {name!r}: id: occurs twice")
            rates[name] = number(row["fps"], f"{path}: line {line}: video {row['id']!r}: fps")
        return rates
    entries = read_json(path, "frame rates by video id")
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise InputError(f"{path}: expected an object with one object a video, each with its fps")
    for name, entry in entries.items():
        if (form := same_form(name)) in rates:
            raise InputError(f"{path}: video {form!r}: there twice, in two Unicode forms; expected one rate")
        rates[form] = number(entry.get("fps"), f"{path}: video {name!r}: fps")
    return rates


def report_unmatched(rates: Mapping[str, float], videos: Iterable[str], path: Path | None, report: Say) -> None:
    """Report the ids in a file of frame rates that no video has."""
    if strange := sorted(rates.keys() - set(videos)):
        report(f"{path}: {len(strange)} of {len(rates)} frame rates are of no video here: {a_few(strange)}")
