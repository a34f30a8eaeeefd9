"""The official labels of YouTube Highlights (Sun et al., ECCV 2014), which count frames.

    SOURCE/TOPIC/vlist.json             [[[id, ...], "TraiTightL"], ...]: training (Trai...) and test (Test...) lists
    SOURCE/TOPIC/ID/match_label.json    [[[start, end], ...], [label, ...]]: clips in frames, and -1, 0 or 1 of each
    SOURCE/TOPIC/ID/info.json           the video's length at [3], in whole seconds, rounded up; its title at [5]

No file gives a frame rate. Without `fps` the rate is the first common one that the length in seconds allows for the
last labelled frame. Of the videos whose rate is known, that puts the end of the last clip within 0.3 s of the truth in
95 of 100, within 0.51 s in 99 of 100, and at worst 1.9 s away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.data.importers.common.frame_rates import add_fps, frame_rates, report_unmatched
from highlight_lit.data.importers.common.report import Say
from highlight_lit.data.importers.common.values import matrix, number, safe_id, text
from highlight_lit.data.importers.common.writing import write_and_report
from highlight_lit.data.video import Labels, Video, median_length
from highlight_lit.errors import InputError
from highlight_lit.files import read_json
from highlight_lit.text import a_few, say
from highlight_lit.unicode_forms import same_form

PURPOSE = "YouTube Highlights' official labels (json), without features"
NAME = "youtube-highlights"  # of the source, and of its benchmark
RATES = (30000 / 1001, 25.0, 24000 / 1001, 30.0, 24.0, 15.0)
"""Common rates in the order in which they are tried."""
TRAILING_FRAMES = 10
"""The last clip ends within this many frames of the video's end."""
add_options = add_fps


def import_corpus(source: Path, out: Path, *, fps: Path | None = None, report: Say = say) -> None:
    """Import the labels of YouTube Highlights: a corpus without features, with official training and test lists.

    Args:
        source: The folder of topics.
        out: Where the corpus goes; new or empty.
        fps: Frame rates: csv with columns `id,fps`, or an annotation json of UMT's layout. Rates of videos that it
            lacks are estimated; if there are any, the manifest's `clock` says `estimated`.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: No topic there, or a file that is missing, unreadable or does not fit: the line names it.
    """
    rates = {} if fps is None else frame_rates(fps)
    topics = sorted(path.parent for path in source.glob("*/vlist.json"))
    if not topics:
        raise InputError(f"{source}: no TOPIC/vlist.json; expected the folder of topics of YouTube Highlights")
    videos = [video for topic in topics for video in _topic(topic, rates, report)]
    if not videos:
        raise InputError(f"{source}: no TOPIC/ID/match_label.json in any topic")
    report_unmatched(rates, (video.id for video in videos), fps, report)
    if estimated := [video.id for video in videos if video.id not in rates]:
        report(
            f"{source}: frame rates of {len(estimated)} videos are estimated from their length in whole seconds: "
            "their spans may be off by half a second at the end, few by more"
        )
    length = median_length(video.labels.span for video in videos if video.labels is not None)
    clock = "estimated" if estimated else "exact"
    write_and_report(out, videos, {}, report, source=NAME, benchmark=NAME, clip_seconds=length, clock=clock)


def estimated_rate(last_frame: float, seconds: float) -> float:
    """Frames a second from the last labelled frame and the length in seconds, rounded up to a whole number.

    >>> round(estimated_rate(4721, 158), 2)
    29.97
    """
    fitting = [
        rate for rate in RATES if last_frame / rate <= seconds and (last_frame + TRAILING_FRAMES) / rate >= seconds - 1
    ]
    return fitting[0] if fitting else last_frame / (seconds - 0.5 if seconds > 1 else seconds)


def _topic(topic: Path, rates: Mapping[str, float], report: Say) -> Iterator[Video]:
    lists = _lists(topic / "vlist.json")
    folders = sorted(path for path in topic.iterdir() if (path / "match_label.json").is_file())
    names = {same_form(path.name) for path in folders}
    if absent := sorted(lists.keys() - names):
        report(f"{topic}: {len(absent)} listed videos have no labels: {a_few(absent)}")
    if unlisted := sorted(names - lists.keys()):
        report(f"{topic}: {len(unlisted)} videos are on no list: {a_few(unlisted)}")
    for folder in folders:
        yield _video(text(topic.name), folder, rates, lists.get(same_form(folder.name), ""))


def _lists(path: Path) -> dict[str, str]:
    """The split of each listed video: `train` for the lists named Trai..., `test` for those named Test..."""
    split: dict[str, str] = {}
    content = read_json(path, "lists of videos")
    for entry in content if isinstance(content, list) else [None]:
        ids, name = entry if isinstance(entry, list) and len(entry) == 2 else (None, "")
        kind = {"Trai": "train", "Test": "test"}.get(name[:4] if isinstance(name, str) else "")
        if kind is None or not isinstance(ids, list) or not all(isinstance(member, str) for member in ids):
            raise InputError(f"{path}: expected pairs of a list of ids and its name, Trai... or Test...")
        for member in ids:
            if split.setdefault(same_form(member), kind) != kind:
                raise InputError(f"{path}: video {member!r}: on a training and on a test list")
    return split


def _video(topic: str, folder: Path, rates: Mapping[str, float], split: str) -> Video:
    name = safe_id(folder.name, str(folder.parent))
    path = folder / "match_label.json"
    where = f"{path}: video {name!r}"
    content = read_json(path, "clips and their labels")
    clips, match = content if isinstance(content, list) and len(content) == 2 else (None, None)
    frames = matrix(clips, f"{where}: clips", 2)
    score = matrix([match] if isinstance(match, list) else None, f"{where}: labels", len(frames)).T
    last = number(frames.max(), f"{where}: clips")
    length, title = _info(folder / "info.json", where)
    rate = rates[name] if name in rates else estimated_rate(last, length)
    duration = last / rate if name in rates else length
    labels = Labels(frames / rate, score)
    return Video(name, duration, (topic,), np.empty((0, 2)), title=title, split=split, labels=labels)


def _info(path: Path, where: str) -> tuple[float, str]:
    """Length in whole seconds, rounded up, and title."""
    info: Any = read_json(path, "what YouTube says of the video")
    if not isinstance(info, list) or len(info) < 6:
        raise InputError(
            f"{path}: {where.rsplit(': ', 1)[1]}: expected a list with the length at [3], the title at [5]"
        )
    return number(info[3], f"{path}: {where.rsplit(': ', 1)[1]}: length"), text(info[5])
