"""What an import tells while it runs: the first oddities of a kind, and what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from highlight_lit.data.video import Video
from highlight_lit.text import a_few

Say = Callable[[str], None]
MOST_TOLD = 10  # oddities of a kind


class FirstOf:
    """A report of oddities of one kind: the first ones line by line, the others counted.

    Args:
        report: Where lines go.
        what: What the oddities are, for the line that counts them.
    """

    def __init__(self, report: Say, what: str) -> None:
        self._report, self._what, self._count = report, what, 0

    def __call__(self, line: str) -> None:
        """Report one oddity."""
        self._count += 1
        if self._count <= MOST_TOLD:
            self._report(line)

    def close(self) -> None:
        """Report how many oddities were counted and not told."""
        if self._count > MOST_TOLD:
            self._report(f"and {self._count - MOST_TOLD} more {self._what}")


def tell_ties(where: Path, videos: int, report: Say) -> None:
    """Report how many videos, if any, have labels of which float32 makes one."""
    if videos:
        what = "videos have labels that differ by less than float32 holds, and tie; scale them, to below 1e6"
        report(f"{where}: {videos} {what}")


class Tally:
    """Counts the videos, clips, segments and tags that an import writes, for its closing line."""

    def __init__(self) -> None:
        self.videos = self.clips = self.segments = self.silent = self.tied = 0
        self.seconds = 0.0
        self.tags: set[str] = set()

    def watch(self, videos: Iterable[Video]) -> Iterator[Video]:
        """Yield the videos unchanged."""
        for video in videos:
            self.videos += 1
            self.clips += len(video.span)
            if video.labels is not None:
                self.segments += len(video.labels.span)
                self.tied += video.labels.tied
            self.silent += video.audio is None
            self.seconds += video.duration
            self.tags.update(video.tags)
            yield video

    def line(self, out: Path, topics: Iterable[str] | None) -> str:
        """The counts in one line. Every tag counts as a topic if `topics` is None."""
        names = sorted(self.tags if topics is None else topics)
        topic = f"{len(names)} topics ({a_few(names, 12)})" if names else "no tags, so no topic to train"
        silent = f" ({self.silent} without audio)" if 0 < self.silent < self.videos else ""
        return (
            f"{out}: {self.videos} videos{silent}, {self.clips} clips, {self.segments} labelled segments, {topic}, "
            f"{self.seconds / 3600:.2f} hours"
        )
