"""What the json files of UMT's layout say: a video's clips and labels, and the training and validation lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.data.importers.common.values import matrix, number, safe_id, text
from highlight_lit.data.video import SPLITS, Labels, Video
from highlight_lit.errors import InputError
from highlight_lit.files import read_json
from highlight_lit.text import a_few
from highlight_lit.unicode_forms import same_form

SHOT_SECONDS = 2.0


def read_annotations(source: Path) -> tuple[str, list[Video]]:
    """The benchmark that a folder is annotated for, and its videos without features: their clips, tags and labels.

    Raises:
        InputError: No annotation file or several, or one with a field that is missing or of another kind.
    """
    named = [source / name for name in ("youtube_anno.json", "tvsum_anno.json")]
    files = [path for path in named if path.is_file()] or sorted(source.glob("*anno*.json"))
    if len(files) != 1:
        raise InputError(f"{source}: {len(files)} files named *anno*.json, expected one")
    path = files[0]
    entries = read_json(path, "UMT's annotations by video id")
    if not isinstance(entries, dict) or not entries or not all(isinstance(entry, dict) for entry in entries.values()):
        raise InputError(f"{path}: expected an object with one object a video, at least one")
    for kind, fields in (("youtube-highlights", {"clip", "match"}), ("tvsum", {"anno"})):
        if fields <= next(iter(entries.values())).keys():
            return kind, [_annotated(path, kind, name, entry) for name, entry in entries.items()]
    raise InputError(f"{path}: expected clip and match (YouTube Highlights) or anno (TVSum) of each video")


def _annotated(path: Path, kind: str, name: str, entry: Mapping[str, Any]) -> Video:
    """A video as annotated, without features; its clips are the labelled segments."""
    name = safe_id(name, str(path))
    where = f"{path}: video {name!r}"
    fps = number(entry.get("fps"), f"{where}: fps")
    duration = number(entry.get("frames"), f"{where}: frames") / fps
    if not (topic := text(entry.get("domain"))):
        raise InputError(f"{where}: domain: {entry.get('domain')!r}, expected the name of a topic")
    if kind == "tvsum":
        score = matrix(entry.get("anno"), f"{where}: anno")
        start = SHOT_SECONDS * np.arange(len(score))
        span = np.stack([start, np.minimum(start + SHOT_SECONDS, duration)], axis=1)
        title = entry.get("title")
    else:
        span = matrix(entry.get("clip"), f"{where}: clip", 2) / fps
        match = entry.get("match")
        score = matrix([match] if isinstance(match, list) else None, f"{where}: match", len(span)).T
        info = entry.get("info")
        title = info[5] if isinstance(info, list) and len(info) > 5 else None
    video = Video(name, duration, (topic,), span, title=text(title), labels=Labels(span, score))
    if (fault := video.fault({})) is not None:
        raise InputError(f"{where}: {fault}")
    return video


def read_splits(path: Path, topics: set[str]) -> dict[str, str]:
    """The list each video is on, by id, of the topics at hand.

    Raises:
        InputError: No table of lists shares a topic with those at hand, or several do; or a video is on two lists.
    """
    split: dict[str, str] = {}
    for topic, lists in _table(path, topics).items():
        for name, ids in lists.items():
            if not isinstance(ids, list) or not all(isinstance(member, str) for member in ids):
                raise InputError(f"{path}: {topic}.{name}: expected a list of video ids")
            for member in ids:
                if (other := split.setdefault(same_form(member), name)) != name:
                    raise InputError(f"{path}: video {member!r}: {topic}: on the {other} and on the {name} list")
    return split


def _table(path: Path, topics: set[str]) -> dict[str, dict[str, Any]]:
    """The lists by topic, of the topics at hand."""
    content = read_json(path, "training and validation lists by topic")
    tables = [content] if _is_table(content) else list(content.values()) if isinstance(content, dict) else []
    fitting = [table for table in tables if _is_table(table) and topics & table.keys()]
    if len(fitting) != 1:
        raise InputError(
            f"{path}: {len(fitting)} tables of lists with a topic among {a_few(sorted(topics), 12)}; expected one, "
            'as {topic: {"train": [...], "val": [...]}}'
        )
    return {topic: lists for topic, lists in fitting[0].items() if topic in topics}


def _is_table(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(lists, dict) and lists.keys() <= set(SPLITS[1:]) for lists in value.values()
    )
