"""A folder of videos to a corpus: every video once, whatever happens to the one before it.

Each video that is done is a small shard of its own under `CORPUS/parts`, whole or not there; a run that was cut off goes
on from these. When all are done they are packed into the corpus' shards and the manifest is written. Slices, on one
machine or many that share a disk, make parts alone; a run without a slice packs them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from highlight_lit.data.shards import ShardWriter
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.media.extractors import (
    AudioExtractor,
    VisualExtractor,
    audio_extractor,
    stream_of,
    visual_extractor,
)
from highlight_lit.media.features import extract_features
from highlight_lit.media.parts import CLIP_SECONDS, PARTS, check_root, held, known_ids, pack, part_of
from highlight_lit.media.sidecar import Sidecar, sidecar_of
from highlight_lit.media.workers import run_all

ENDINGS = frozenset(
    [
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".f4v",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogm",
        ".ogv",
        ".rm",
        ".rmvb",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)


@dataclass(frozen=True)
class ExtractorChoice:
    """Which extractors to use, as names and files: what a process needs to make them."""

    visual: str = "classic"
    audio: str = "classic"
    visual_weights: Path | None = None
    audio_weights: Path | None = None
    audio_pca: Path | None = None

    def streams(self) -> dict[str, Stream]:
        """The streams of a corpus made with them."""
        visual, audio = _extractors(self)
        return {"visual": stream_of(visual), "audio": stream_of(audio)}


@dataclass(frozen=True)
class Task:
    """One video to extract."""

    path: Path
    id: str
    sidecar: Sidecar
    choice: ExtractorChoice
    parts: Path
    threads: int


@dataclass
class Report:
    """What came of a folder.

    Attributes:
        done, skipped: Videos extracted now, and before.
        untagged: Videos without a sidecar among those to do.
        failed: (video, reason) of each that was not.
        notes: (video, remark) of some that were.
        seconds: Of video, extracted now.
    """

    done: int = 0
    skipped: int = 0
    untagged: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0


_MADE: dict[ExtractorChoice, tuple[VisualExtractor, AudioExtractor]] = {}


def _extractors(choice: ExtractorChoice) -> tuple[VisualExtractor, AudioExtractor]:
    """The choice's extractors, made once a process."""
    if choice not in _MADE:
        _MADE[choice] = (
            visual_extractor(choice.visual, choice.visual_weights),
            audio_extractor(choice.audio, choice.audio_weights, choice.audio_pca),
        )
    return _MADE[choice]


def find_videos(given: Iterable[Path]) -> list[Path]:
    """The videos among files and folders, sorted: every file named, and of folders those with a video's ending.

    Raises:
        InputError: A name that is not there, or nothing found.
    """
    found: dict[Path, None] = {}
    for path in given:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise InputError(f"{path}: no such file or folder; expected videos")
    if not found:
        raise InputError(f"{', '.join(map(str, given))}: no video in there; expected files such as .mp4, .mkv, .webm")
    return list(found)


def take_slice(videos: list[Path], which: str) -> list[Path]:
    """The videos of slice `i/n`: every n-th, from the i-th of 1..n.

    >>> take_slice([Path("a"), Path("b"), Path("c")], "1/2") == [Path("a"), Path("c")]
    True

    Raises:
        InputError: Not of that form.
    """
    number, _, count = which.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise InputError(f"--slice {which}: expected i/n with 1 <= i <= n, such as 1/4")
    return videos[int(number) - 1 :: int(count)]


def extract_corpus(
    videos: list[Path],
    root: Path,
    choice: ExtractorChoice,
    table: dict[str, Sidecar] | None = None,
    workers: int = 1,
    slice_of: str | None = None,
) -> Report:
    """Extract videos into the corpus `root`, which may exist and then grows.

    Args:
        videos: Files.
        root: The corpus' folder.
        choice: The extractors.
        table: Sidecars from a csv, by name.
        workers: Processes.
        slice_of: "i/n": work on that slice alone and leave the packing to a run without a slice.

    Raises:
        InputError: `root` holds something else or features of other extractors. A bad video is in the report.
    """
    streams = choice.streams()
    check_root(root)
    mine = set(videos if slice_of is None else take_slice(videos, slice_of))
    report = Report()
    with held(root):
        before = known_ids(root, streams)
        tasks = [
            Task(path, name, sidecar, choice, root / PARTS, 1 if workers > 1 else 0)
            for path, name, sidecar in _to_do(videos, mine, table or {}, before, report)
        ]
        _work(tasks, workers, report)
    if slice_of is None:
        with held(root, alone=True):
            pack(root, streams)
    return report


def _to_do(
    videos: list[Path], mine: set[Path], table: dict[str, Sidecar], before: set[str], report: Report
) -> Iterator[tuple[Path, str, Sidecar]]:
    """Path, id and sidecar of what is to be done of `mine`; what is not goes into the report.

    All `videos` are looked at, so that each slice takes the same one of two with the same id.
    """
    first: dict[str, Path] = {}
    for path in videos:
        ours = path in mine
        try:
            sidecar = sidecar_of(path, table)
        except InputError as error:
            if ours:
                report.failed.append((path, str(error)))
            continue
        name = (sidecar.id if sidecar and sidecar.id else path.stem).encode("utf-8", "replace").decode()
        if first.setdefault(name, path) != path:
            if ours:
                report.failed.append((path, f"{path}: id {name!r}: also that of {first[name]}"))
        elif ours and name in before:
            report.skipped += 1
        elif ours:
            report.untagged += sidecar is None
            yield path, name, sidecar or Sidecar()


def extract_one(task: Task) -> tuple[float, str]:
    """Extract a video and write its part.

    Returns:
        Its duration in seconds, and a remark or "".

    Raises:
        InputError: It cannot be used.
    """
    visual, audio = _extractors(task.choice)
    features = extract_features(task.path, visual, audio, task.threads)
    video = Video(
        id=task.id,
        duration=features.duration,
        tags=task.sidecar.tags,
        title=task.sidecar.title,
        split=task.sidecar.split,
        span=features.span,
        visual=features.visual,
        audio=features.audio,
        heard=features.heard,
    )
    with ShardWriter(part_of(task.parts, task.id), task.choice.streams(), CLIP_SECONDS) as writer:
        writer.add(video)
    remarks = []
    claimed = task.sidecar.duration
    if claimed is not None and abs(claimed - features.duration) > max(2.0, 0.05 * features.duration):
        remarks.append(f"the sidecar says {claimed:.0f} s, the video lasts {features.duration:.0f} s, which counts")
    if features.damaged:
        remarks.append(f"{features.damaged} damaged packets left out")
    return features.duration, "; ".join(remarks)


def _work(tasks: list[Task], workers: int, report: Report) -> None:
    """Do the tasks, saying how far it is."""
    start = time.monotonic()
    for count, (task, result) in enumerate(run_all(extract_one, tasks, min(workers, len(tasks))), start=1):
        if isinstance(result, tuple):
            report.done += 1
            report.seconds += result[0]
            if result[1]:
                report.notes.append((task.path, result[1]))
            said = f"{task.path.name}" + (f": {result[1]}" if result[1] else "")
        else:
            reason = (
                str(result) if isinstance(result, InputError) else f"{task.path}: {type(result).__name__}: {result}"
            )
            report.failed.append((task.path, reason.splitlines()[0] if reason else "failed"))
            said = f"skipped: {reason}"
        left = (time.monotonic() - start) / count * (len(tasks) - count)
        print(f"[{count}/{len(tasks)}, {_clock(left)} left] {said}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
