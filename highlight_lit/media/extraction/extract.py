"""A folder of videos to a corpus: every video once, whatever happens to the one before it.

Each video that is done is a small shard of its own under `CORPUS/parts`, whole or not there; a run that was cut off goes
on from these. When all are done they are packed into the corpus' shards and the manifest is written. Slices, on one
machine or many that share a disk, make parts alone; a run without a slice packs them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from highlight_lit.data.shards import ShardWriter
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import NO_ROOM, InputError
from highlight_lit.media.extraction.find_videos import Listing
from highlight_lit.media.extraction.parts import CLIP_SECONDS, known_videos, pack
from highlight_lit.media.extraction.parts_folder import PARTS, check_root, held, part_of, scratch
from highlight_lit.media.extraction.sidecar import Sidecar, TagRow
from highlight_lit.media.extraction.sources import source_of, write_sources
from highlight_lit.media.extraction.survey import Survey, survey
from highlight_lit.media.extraction.workers import run_all
from highlight_lit.media.extractors import AudioExtractor, VisualExtractor, audio_extractor, stream_of, visual_extractor
from highlight_lit.media.features import extract_features
from highlight_lit.text import clock, say

PROGRESS_S = 5.0  # between two lines that say how far it is: hours of videos go to a log


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


def features_lines(streams: Mapping[str, Stream]) -> list[str]:
    """Lines for people: the extractors in use, and what features of `classic` cannot tell."""
    used = ", ".join(f"{name} {s.extractor} {s.version} ({s.width} wide)" for name, s in streams.items())
    lines = [f"features: {used}"]
    if any(stream.extractor == "classic" for stream in streams.values()):
        lines.append(
            "note: classic knows nothing of what is shown or said; networks do: --visual torchvision:r2plus1d_18,"
            " --audio hf:laion/clap-htsat-unfused (pip install 'highlight-lit[extractors]')"
        )
    return lines


@dataclass(frozen=True)
class Task:
    """One video to extract; its part is made in `scratch` and moved to `parts` when it is whole."""

    path: Path
    id: str
    sidecar: Sidecar
    choice: ExtractorChoice
    parts: Path
    scratch: Path
    threads: int


@dataclass
class ExtractionReport:
    """What came of a folder.

    Attributes:
        done, skipped: Videos extracted now, and before.
        updated: Videos extracted before of which something else is known now.
        failed: (video, reason) of each that was not.
        notes: (video or folder, remark) of some that were.
        seconds: Of video, extracted now.
    """

    done: int = 0
    skipped: int = 0
    updated: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0


class NoRoom(InputError):
    """The disk of the corpus is full, which is no video's fault: the next would fail alike, after minutes of work."""


_MADE: dict[ExtractorChoice, tuple[VisualExtractor, AudioExtractor]] = {}


def _extractors(choice: ExtractorChoice) -> tuple[VisualExtractor, AudioExtractor]:
    """The choice's extractors, made once a process."""
    if choice not in _MADE:
        _MADE[choice] = (
            visual_extractor(choice.visual, choice.visual_weights),
            audio_extractor(choice.audio, choice.audio_weights, choice.audio_pca),
        )
    return _MADE[choice]


def take_slice(videos: Sequence[Path], which: str) -> list[Path]:
    """The videos of slice `i/n`: every n-th, from the i-th of 1..n.

    >>> take_slice([Path("a"), Path("b"), Path("c")], "1/2") == [Path("a"), Path("c")]
    True

    Raises:
        InputError: Not of that form.
    """
    number, _, count = which.partition("/")
    if not (which.isascii() and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise InputError(f"--slice {which}: expected i/n with 1 <= i <= n, such as 1/4")
    return list(videos[int(number) - 1 :: int(count)])


def extract_corpus(
    listing: Listing,
    root: Path,
    choice: ExtractorChoice,
    rows: Sequence[TagRow] = (),
    workers: int = 1,
    slice_of: str | None = None,
    allow_untagged: bool = False,
    job: str | None = None,
) -> ExtractionReport:
    """Extract videos into the corpus `root`, which may exist and then grows.

    Args:
        listing: The videos, and the sidecars beside them.
        root: The corpus' folder.
        choice: The extractors.
        rows: Of a table of tags.
        workers: Processes.
        slice_of: "i/n": work on that slice alone and leave the packing to a run without a slice.
        allow_untagged: Go on though a row, a sidecar or a video found no partner.
        job: Name of this job of a command that tells the notes itself; None where this is the command.

    Raises:
        InputError: `root` holds something else or features of other extractors, or tags found no video, or videos no
            tags (`survey`). A bad video is in the report.
    """
    streams = choice.streams()
    check_root(root)
    mine = set(listing.videos if slice_of is None else take_slice(listing.videos, slice_of))
    report = ExtractionReport()
    with held(root):
        known = known_videos(root, streams)
        surveyed = survey(listing, rows, known, allow_untagged)
        if job is None:
            say(*features_lines(streams), file=sys.stderr)
            say(*(f"note: {note}" for note in surveyed.notes), file=sys.stderr)
        if slice_of is None or slice_of.startswith("1/"):  # what is wrong with a folder is of no slice
            report.failed += listing.faults
        report.failed += [(path, reason) for path, reason in surveyed.faults.items() if path in mine]
        say(*(f"[left out] {reason}" for _, reason in report.failed), file=sys.stderr)
        to_do = {path: name for path, name in surveyed.ids.items() if path in mine and name not in known}
        there = {path: name for path, name in surveyed.ids.items() if path in mine and name in known}
        report.skipped = len(there)
        for path, name in there.items():
            if remark := _duration_remark(surveyed.now[name], known[name].duration):
                report.notes.append((path, remark))
        with scratch(root, job) as folder:
            tasks = [
                Task(path, name, surveyed.now[name], choice, root / PARTS, folder, 1 if workers > 1 else 0)
                for path, name in to_do.items()
            ]
            _work(tasks, workers, report)
    if slice_of is None:
        finish(root, streams, surveyed, report, to_do.values())
    return report


def finish(
    root: Path, streams: dict[str, Stream], surveyed: Survey, report: ExtractionReport, fresh: Collection[str]
) -> None:
    """Pack the parts and complete the report.

    Args:
        root: The corpus' folder.
        streams: Its streams.
        surveyed: What is known of the videos now.
        report: Of the extraction.
        fresh: Ids of the videos extracted now.
    """
    with held(root, alone=True):
        report.updated = len(pack(root, streams, surveyed.now) - set(fresh))


def extract_one(task: Task) -> tuple[float, str]:
    """Extract a video and write its part.

    Returns:
        Its duration in seconds, and a remark or "".

    Raises:
        InputError: It cannot be used.
        NoRoom: Its part cannot be written.
    """
    visual, audio = _extractors(task.choice)
    features = extract_features(task.path, visual, audio, task.threads)
    damaged = f"{features.damaged} damaged packets left out" if features.damaged else ""
    remarks = [_duration_remark(task.sidecar, features.duration), damaged]
    video = Video(
        id=task.id,
        duration=features.duration,
        tags=task.sidecar.tags,
        title=task.sidecar.title,
        split=task.sidecar.split,
        span=features.span,
        visual=features.visual,
        audio=features.audio,
        audio_mask=features.audio_mask,
    )
    part = part_of(task.parts, task.id)
    unfinished = task.scratch / part.name
    try:
        write_sources(unfinished.with_suffix(".json"), {task.id: source_of(task.path)})
        with ShardWriter(unfinished, task.choice.streams(), CLIP_SECONDS) as writer:
            writer.add(video)
    except InputError as error:
        if isinstance(cause := error.__cause__, OSError) and cause.errno in NO_ROOM:
            raise NoRoom(f"{task.parts.parent}: cannot be written ({os.strerror(cause.errno)}); make room") from error
        raise
    os.replace(unfinished.with_suffix(".json"), part.with_suffix(".json"))
    os.replace(unfinished, part)  # the last thing: what is said to be skipped is not in the corpus
    return features.duration, "; ".join(filter(None, remarks))


def _duration_remark(sidecar: Sidecar, duration: float) -> str:
    """What to say where a sidecar claims another duration than the video has; "" where it does not."""
    claimed = sidecar.duration
    if claimed is None or abs(claimed - duration) <= max(2.0, 0.05 * duration):
        return ""
    return f"the sidecar says {claimed:.0f} s, the video lasts {duration:.0f} s, which counts"


def _work(tasks: list[Task], workers: int, report: ExtractionReport) -> None:
    """Do the tasks, saying how far it is: with each that is skipped, at the end, and otherwise every `PROGRESS_S`."""
    start = reported = time.monotonic()
    with closing(run_all(extract_one, tasks, min(workers, len(tasks)))) as results:
        for count, (task, result) in enumerate(results, start=1):
            if isinstance(result, tuple):
                report.done += 1
                report.seconds += result[0]
                if result[1]:
                    report.notes.append((task.path, result[1]))
                line = f"{task.path.name}" + (f": {result[1]}" if result[1] else "")
            elif isinstance(result, NoRoom):
                raise result
            else:
                known = isinstance(result, InputError)
                reason = str(result) if known else f"{task.path}: {type(result).__name__}: {result}"
                report.failed.append((task.path, reason))
                line = f"skipped: {reason}"
            now = time.monotonic()
            if line.startswith("skipped: ") or count == len(tasks) or now - reported >= PROGRESS_S:
                reported = now
                left = (now - start) / count * (len(tasks) - count)
                say(f"[{count}/{len(tasks)}, {clock(left)} left] {line}", file=sys.stderr)
