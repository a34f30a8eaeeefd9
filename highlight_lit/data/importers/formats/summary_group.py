"""One group of an `.h5` file of video summarization, as a video; the rules are those of `importers.h5`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.importers.common.report import Say
from highlight_lit.data.importers.common.values import TOLERATED_ROWS
from highlight_lit.data.importers.formats.foreign_hdf5 import has, numbers, stored
from highlight_lit.data.topics.tags import MAX_TAG
from highlight_lit.data.video import MAX_ANNOTATORS, MAX_CLIPS, MAX_LABELS, Labels, Video
from highlight_lit.errors import InputError
from highlight_lit.text import a_few
from highlight_lit.unicode_forms import plain_line
from highlight_lit.untrusted.hdf5_files import inside

MAX_FRAMES = 1 << 40
MAX_FEATURES = 1 << 26  # numbers of a video's features, which take four bytes each and more
MAX_SUMMARY = 1 << 27  # numbers of all annotators' summaries of a video: 50 of a day at 30 frames a second
MAX_LISTED = 1 << 23  # frames of a summary: one annotator's are 8 bytes each once they are counted
MAX_TITLE = 4 * MAX_TAG  # bytes


def clip_length(where: str, group: h5py.Group, row: Video, rate: float, clip_seconds: float) -> float:
    """Nominal length of a video's clips, in seconds."""
    if not has(group, "picks"):
        return clip_seconds
    picks, frames = _picks(group, where)
    return float(np.median(np.diff(picks, append=frames))) * _duration(row, frames, rate) / frames


def _duration(row: Video, frames: int, rate: float) -> float:
    return frames / rate if np.isnan(row.duration) else row.duration


def _numbers(group: h5py.Group, name: str, where: str, most: int | None = MAX_CLIPS) -> NDArray[Any]:
    return numbers(stored(group, name, f"{where}: {name}"), f"{where}: {name}", most)


def _picks(group: h5py.Group, where: str) -> tuple[NDArray[np.int64], int]:
    """(T_n,) the frame that each row of features is of, and how many frames there are."""
    picks, frames = (
        _numbers(group, name, where, most).astype(np.float64) for name, most in (("picks", MAX_CLIPS), ("n_frames", 10))
    )
    count = frames.item() if frames.size == 1 else math.nan
    if not (1 <= count < MAX_FRAMES and count == int(count)):
        raise InputError(f"{where}: n_frames: {a_few(map(str, frames.ravel()))}, expected a number of frames")
    rising = picks.ndim == 1 and len(picks) > 0 and picks[0] >= 0 and (np.diff(picks) > 0).all() and picks[-1] < count
    if not rising or not (picks == np.rint(picks)).all():
        raise InputError(f"{where}: picks: expected rising numbers of frames from 0 to below n_frames, {count:g}")
    return picks.astype(np.int64), int(count)


def read_video(
    where: str, group: h5py.Group, row: Video, kind: str, rate: float, clip_seconds: float, cuts: Say
) -> Video:
    """A video with its features and labels, cut to its shortest array."""
    counted, scored = has(group, "picks"), kind == "gtscore" and has(group, kind)
    arrays = {"features": _numbers(group, "features", where, MAX_FEATURES)}
    if len(arrays["features"]) > MAX_CLIPS:
        raise InputError(f"{where}: features: {len(arrays['features'])} clips, expected at most {MAX_CLIPS}")
    if scored:
        arrays[kind] = _numbers(group, kind, where)
    if scored and arrays[kind].size != len(arrays[kind]):
        raise InputError(f"{where}: gtscore: shape {arrays[kind].shape}, expected a number for each clip")
    lengths = {name: len(rows) for name, rows in arrays.items()}
    picks, frames = _picks(group, where) if counted else (np.empty(0, np.int64), 0)
    if counted:
        lengths["picks"] = len(picks)
    elif not np.isnan(row.duration):
        lengths[f"{row.duration:.2f} s in clips of {clip_seconds:g} s"] = math.ceil(row.duration / clip_seconds)
    clips = min(lengths.values())
    if max(lengths.values()) > clips:
        line = f"{where}: {{}}: {', '.join(f'{name}: {count}' for name, count in lengths.items())}"
        if max(lengths.values()) - clips > TOLERATED_ROWS:
            raise InputError(line.format(f"rows disagree by more than {TOLERATED_ROWS}") + "; expected a row a clip")
        cuts(line.format(f"cut to {clips} clips"))
    if counted:
        edges = np.append(picks, frames)[: clips + 1]
        duration = _duration(row, frames, rate)
        bounds = edges * (duration / frames)
    else:
        duration = clips * clip_seconds if np.isnan(row.duration) else row.duration
        edges, bounds = np.empty(0, np.int64), np.minimum(clip_seconds * np.arange(clips + 1), duration)
    span = np.stack([bounds[:-1], bounds[1:]], axis=1)
    labels = None
    if scored:
        labels = Labels(span, arrays["gtscore"].reshape(-1, 1)[:clips])
    elif kind == "user_summary" and has(group, kind):
        labels = Labels(span, _chosen(group, frames, edges, where))
    title = row.title or _title(group)
    visual = arrays["features"][:clips]
    visual = visual if visual.dtype.kind == "f" else visual.astype(np.float32)
    return replace(row, duration=duration, span=span, visual=visual, title=title, labels=labels)


def _chosen(group: h5py.Group, frames: int, edges: NDArray[np.int64], where: str) -> NDArray[np.float32]:
    """(T_n, A) 1 where at least half of a clip's frames are in an annotator's summary."""
    summary = _numbers(group, "user_summary", where, MAX_SUMMARY)
    if not frames or summary.ndim != 2 or len(summary) == 0 or summary.shape[1] != frames:
        raise InputError(
            f"{where}: user_summary: shape {summary.shape}, expected (annotators, {frames or 'n_frames'}), and picks and n_frames"
        )
    if len(summary) > MAX_ANNOTATORS:
        raise InputError(f"{where}: user_summary: {len(summary)} annotators, expected at most {MAX_ANNOTATORS}")
    if (len(edges) - 1) * len(summary) > MAX_LABELS:
        raise InputError(
            f"{where}: user_summary: {len(summary)} annotators of {len(edges) - 1} clips: over {MAX_LABELS}"
        )
    if frames > MAX_LISTED:
        raise InputError(f"{where}: user_summary: {frames} frames, expected at most {MAX_LISTED}")
    chosen = np.empty((len(edges) - 1, len(summary)), np.float32)
    for annotator, frames_chosen in enumerate(summary):  # one at a time in whole numbers of 8 bytes
        if not ((frames_chosen == 0) | (frames_chosen == 1)).all():
            raise InputError(f"{where}: user_summary: expected 0 and 1 alone")
        upto = np.append(0, np.cumsum(frames_chosen, dtype=np.int64))[edges]
        chosen[:, annotator] = 2 * np.diff(upto) >= np.diff(edges)
    return chosen


def _title(group: h5py.Group) -> str:
    """`video_name`, where it is one text that lies in the file."""
    title = inside(group, "video_name")
    if not isinstance(title, h5py.Dataset) or title.shape != () or title.nbytes > MAX_TITLE:
        return ""
    if title.external or title.is_virtual:
        return ""
    value = title[()] if title.dtype.kind in "SO" else b""
    return plain_line(value[:MAX_TITLE].decode("utf-8", "replace"))[:MAX_TAG] if isinstance(value, bytes) else ""
