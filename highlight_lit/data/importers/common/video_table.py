"""The csv table of videos that comes with features: tags, and perhaps durations, titles and lists."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from highlight_lit.data.importers.common.values import number, safe_id
from highlight_lit.data.topics.tags import comma_note, plain_tags
from highlight_lit.data.video import MAX_SECONDS, SPLITS, Video
from highlight_lit.errors import InputError
from highlight_lit.text import say, shown
from highlight_lit.untrusted.csv_tables import read_table


def add_tags(parser: argparse.ArgumentParser) -> None:
    """Add `--tag` and `--videos`, of sources that say no tags themselves."""
    tags = parser.add_mutually_exclusive_group()
    tags.add_argument("--tag", help="the tag of all videos")
    tags.add_argument(
        "--videos", type=Path, metavar="CSV", help="columns id, tags (separated by ';'); perhaps duration, title, split"
    )


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add `--topics`, `--name` and `--allow-unmatched`, of importers with a table of videos."""
    parser.add_argument("--topics", nargs="+", help="tags that are topics; default: all")
    parser.add_argument("--name", help="the corpus' name in tables")
    parser.add_argument(
        "--allow-unmatched", action="store_true", help="leave out rows without arrays, and arrays without a row"
    )


def video_rows(path: Path, durations: bool) -> list[Video]:
    """The rows of a table, as videos without clips.

    Args:
        path: A csv with the columns id, tags (separated by ';'), duration (seconds), and perhaps title and split.
        durations: Whether each video needs its duration; without one it is NaN.

    Raises:
        InputError: The line names the row and field.
    """
    required = ("id", "duration", "tags") if durations else ("id", "tags")
    optional = ("title", "split") if durations else ("duration", "title", "split")
    rows: dict[str, Video] = {}
    for line, row in read_table(path, required, optional):
        name = safe_id(row["id"], f"{path}: line {line}")
        where = f"{path}: line {line}: video {name!r}"
        if name in rows:
            raise InputError(f"{where}: id: occurs twice")
        if (split := row.get("split", "")) not in SPLITS:
            raise InputError(f"{where}: split: {split!r}, expected one of {', '.join(map(repr, SPLITS))}")
        tags = plain_tags(row["tags"].split(";"), where)
        known = durations or row.get("duration")
        duration = number(row["duration"], f"{where}: duration (in seconds)") if known else math.nan
        if duration > MAX_SECONDS:
            raise InputError(
                f"{where}: duration: {duration:g} s; expected at most {MAX_SECONDS:g}, a bound that cannot be raised"
            )
        rows[name] = Video(name, duration, tags, np.empty((0, 2)), title=row.get("title", ""), split=split)
    if not rows:
        raise InputError(f"{path}: no video; expected a row for each")
    if (note := comma_note((row.tags for row in rows.values()), path)) is not None:
        say(f"note: {note}", file=sys.stderr)
    return list(rows.values())


def given_rows(videos: Path | None, tag: str | None, ids: Iterable[str]) -> list[Video]:
    """The rows of a table, or without one a row for each id, with the tag if there is one.

    Raises:
        InputError: The table cannot be used, or the tag is empty.
    """
    if videos is not None:
        return video_rows(videos, durations=False)
    tags = () if tag is None else plain_tags([tag], "--tag")
    if tag is not None and not tags:
        raise InputError(f"--tag {tag!r}: empty; expected a name")
    return [Video(safe_id(name, "id"), math.nan, tags, np.empty((0, 2))) for name in ids]


def chosen_topics(topics: Sequence[str] | None, rows: Sequence[Video], where: object) -> Sequence[str] | None:
    """The topics asked for in the form of tags; None: every tag.

    Raises:
        InputError: No video carries one of them.
    """
    if topics is None:
        return None
    given, topics = topics, plain_tags(topics, "--topics")
    if not topics:
        raise InputError(f"--topics {' '.join(given)}: empty; expected names of tags")
    for topic in sorted({*topics} - {tag for row in rows for tag in row.tags}):
        raise InputError(f"{where}: tags: no video is tagged {topic!r}, though it is to be a topic")
    return topics


def in_other_case(names: Sequence[str], ids: Iterable[str]) -> str:
    """Names the first of `names` that differs from an id in case alone, for an error; empty if none does."""
    there = {name.casefold(): name for name in (*names, *ids)}
    pairs = ((name, there[name.casefold()]) for name in names)
    return next((f" ({shown(name)} and {shown(other)} differ in case)" for name, other in pairs if name != other), "")
