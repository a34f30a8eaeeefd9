"""Scores of one video, read from a file that `score`, `train` or `evaluate` wrote: what `reel` is cut by."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.errors import InputError
from highlight_lit.evaluation.scores_csv import LOGIT, MAX_ROWS, MAX_VIDEOS
from highlight_lit.files import is_of_format, read_json
from highlight_lit.media.io.bounds import MAX_SECONDS
from highlight_lit.media.output.scores_writing import FORMAT, NUMBERS, VERSION, VIDEO
from highlight_lit.text import a_few, say
from highlight_lit.untrusted.csv_tables import cell_number, read_table

# In memory json takes some twenty-five times its bytes; that of twelve hours has ten million.
MAX_JSON_BYTES = 16 << 20
MAX_CSV_BYTES = 64 << 20
MAX_SCORE = 1e6  # of a score or logit, either sign: sums of them stay exact enough to tell clips apart
LENGTHS_APART_S = 2.0  # of scores and a video that are one's own: the last clip may be left out
_MAY_OVERLAP = 1e-3  # seconds: times are written with three decimals


@dataclass(frozen=True)
class ReadScores:
    """Scores of one video, as a file gives them.

    Attributes:
        span: (T_n, 2) seconds, one after the other.
        score: (T_n,).
        logit: (T_n,), None if the file has none.
        video: The video's file name or id, "" if the file names none.
    """

    span: NDArray[np.float64]
    score: NDArray[np.float32]
    logit: NDArray[np.float32] | None
    video: str


def read_video_scores(path: Path, video: Path, video_id: str | None = None) -> ReadScores:
    """Read the scores of a video from a json or csv file that `score`, `train` or `evaluate` wrote, or one of its form.

    Args:
        path: csv if it is named so (columns start, end, score, and perhaps video, logit, audio_mask), else json.
        video: The video that they are wanted for.
        video_id: Its id in a csv of several videos; None: the one that is in it, or named as `video` is.

    Raises:
        InputError: Not such a file, or numbers that no scores have; names the clip or line.
    """
    if path.suffix.lower() == ".csv":
        return _checked(path, *_csv_rows(path, video, video_id))
    if video_id is not None:
        raise InputError(f"--video-id {video_id}: only a csv holds several videos; leave it out with {path}")
    return _checked(path, *_json_rows(path))


def check_same_video(path: Path, scores: ReadScores, video: Path) -> None:
    """Refuse scores that are as long as another video; a name that differs, as after a renaming, is a note.

    Raises:
        InputError: The lengths differ by more than two seconds, a clip and a hundredth.
    """
    from highlight_lit.media.io.decode import Source  # PyAV, which features alone do not need

    end = float(scores.span[-1, 1])
    allowed = max(LENGTHS_APART_S, 0.01 * end, float((scores.span[:, 1] - scores.span[:, 0]).max()))
    with Source(video) as source:
        length = source.stated
        if abs(length - end) > allowed:  # what a container states may be wrong: look
            length = source.length()
    if abs(length - end) > allowed:
        raise InputError(
            f"{path}: scores of {end:.1f} s, but {video} lasts {length:.1f} s; expected scores of this video: make them"
            f" with 'highlight-lit score'"
        )
    if scores.video not in ("", video.name, video.stem):
        say(f"note: {path}: scores of {scores.video!r}, used for {video.name!r}", file=sys.stderr)


ScoreRow = tuple[str, Mapping[str, Any]]  # where it stands, for errors, and its fields


def _json_rows(path: Path) -> tuple[str, Iterator[ScoreRow]]:
    """The video that a json file names, and its clips."""
    value = read_json(path, "scores written by 'highlight-lit score'", MAX_JSON_BYTES)
    if not is_of_format(value, FORMAT, VERSION):
        raise InputError(
            f"{path}: expected {FORMAT!r} version {VERSION}, as 'highlight-lit score' writes to NAME.scores.json;"
            " scores of another system are read from a csv with the columns start, end, score"
        )
    clips, name = value.get("clips"), value.get(VIDEO)
    if not isinstance(clips, list) or not all(isinstance(clip, dict) for clip in clips):
        raise InputError(f"{path}: clips: expected a list of objects with start, end and score")
    return name if isinstance(name, str) else "", ((f"clips[{at}]", clip) for at, clip in enumerate(clips))


def _csv_rows(path: Path, video: Path, video_id: str | None) -> tuple[str, list[ScoreRow]]:
    """The video that is wanted of a csv file, and its rows in their order in time."""
    names: dict[str, None] = {}
    for _, row in _table(path):
        names[row.get(VIDEO, "")] = None
        if len(names) > MAX_VIDEOS:
            raise InputError(f"{path}: over {MAX_VIDEOS} videos, a bound that cannot be raised; expected fewer")
    likely = [video_id] if video_id is not None else [video.name, video.stem, *([*names] if len(names) == 1 else [])]
    wanted = next((name for name in likely if name in names), None)
    if names and wanted is None:
        fault = "--video-id is needed: it has" if video_id is None else f"--video-id {video_id}: not among"
        raise InputError(f"{path}: {fault} the {len(names)} videos {a_few(names)}")
    rows: list[ScoreRow] = []
    for line, row in _table(path):
        if row.get(VIDEO, "") == wanted and len(rows) <= MAX_SECONDS:
            rows.append((f"line {line}", {key: _parsed(text) for key, text in row.items() if key != VIDEO}))
    rows.sort(key=lambda row: row[1]["start"] if isinstance(row[1]["start"], float) else 0.0)
    return wanted or "", rows


def _table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    return read_table(path, NUMBERS, (VIDEO, LOGIT, "audio_mask", "heard"), MAX_CSV_BYTES, MAX_ROWS)


def _parsed(text: str) -> float | str:
    return text if isnan(value := cell_number(text)) else value


def _checked(path: Path, video: str, rows: Iterable[ScoreRow]) -> ReadScores:
    """Clips as arrays, each number checked before it is used."""
    clips: list[tuple[float, ...]] = []
    logits: list[float] | None = []
    for where, row in rows:
        if len(clips) == MAX_SECONDS:
            raise InputError(f"{path}: over {MAX_SECONDS} clips, a bound that cannot be raised; expected one video's")
        start, stop, score = (_number(path, where, key, row.get(key)) for key in NUMBERS)
        if clips and abs(start - clips[-1][1]) > _MAY_OVERLAP:
            raise InputError(
                f"{path}: {where}: starts at {start:g} s; expected {clips[-1][1]:g} s, where the one before it ends"
            )
        if not 0 <= start < stop <= MAX_SECONDS:
            raise InputError(
                f"{path}: {where}: from {start:g} to {stop:g} s; expected 0 <= start < end <= {MAX_SECONDS}"
            )
        if row.get(LOGIT) is None:
            logits = None
        elif logits is not None:
            logits.append(_number(path, where, LOGIT, row[LOGIT]))
        clips.append((start, stop, score))
    if not clips:
        raise InputError(f"{path}: no clips; expected a start, end and score for each")
    table = np.array(clips, np.float64)
    logit = None if logits is None else np.array(logits, np.float32)
    return ReadScores(table[:, :2], table[:, 2].astype(np.float32), logit, video)


def _number(path: Path, where: str, key: str, value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if isfinite(number) and abs(number) <= MAX_SCORE:
            return number
    actual = "missing" if value is None else str(value)
    actual = actual if len(actual) <= 30 else f"{actual[:30]}..."
    raise InputError(f"{path}: {where}: {key}: {actual}; expected a number between -{MAX_SCORE:g} and {MAX_SCORE:g}")
