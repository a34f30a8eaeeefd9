"""Which files of a folder are videos to extract: what is taken, what is followed, what is left out.

A file that is named itself is taken whatever it is called. Of a folder, files with a video's ending are, and of the
folders within it; what else has such an ending is counted and named, so that nothing is missing without a word.
"""

from __future__ import annotations

import os
import re
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from highlight_lit.errors import InputError
from highlight_lit.files import open_regular
from highlight_lit.text import a_few

ENDINGS = frozenset(
    [".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
     ".mts", ".mxf", ".ogm", ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv"]
)  # fmt: skip
SIDECAR = ".info.json"  # as yt-dlp names it
REEL = ".reel"  # NAME.reel.mp4, as `reel` names it
REEL_MARK = "highlight-lit reel"  # the comment in every video that this package writes, whatever its name

# Why a file or folder is left out.
HIDDEN = "hidden, system or in the bin"
UNFINISHED = "unfinished downloads"
OWN = "reels of highlight-lit"
TWICE = "links to what is taken already"

# Beside names that start with a dot: bins, thumbnails and snapshots of Windows, Synology and QNAP, and of zip files.
_SYSTEM = frozenset(
    ["$recycle.bin", "recycler", "system volume information", "@eadir", "#recycle", "@recycle", "#snapshot",
     "lost+found", "__macosx"]
)  # fmt: skip
_UNFINISHED_ENDING = re.compile(r"\.(part|ytdl|part-frag\d+|crdownload|aria2|partial|download)$", re.IGNORECASE)
# yt-dlp's streams before it joins them (NAME.f137.mp4, NAME.fhls-720p.mp4), and what it joins them to.
_UNFINISHED_STEM = re.compile(r"\.(temp|f(\d{2,}|hls|dash|http)[\w-]*)$", re.IGNORECASE)
_ARIA2 = ".aria2"  # NAME.mp4.aria2 lies beside NAME.mp4 until it is whole
_MAX_BOXES = 64  # of an mp4 that are looked through for its head
_MARK_BYTES = 4096  # at the end of an mp4's head, where its comment is


@dataclass
class Listing:
    """Videos and sidecars that were found, and what was left out.

    Attributes:
        videos: To extract, in an order that is the same on every machine.
        sidecars: Names of the sidecars in each folder.
        left_out: What is not taken though it looks like a video, by reason.
        followed: Links to folders that were followed.
        faults: (path, reason) of what could not be looked into.
    """

    videos: list[Path] = field(default_factory=list)
    sidecars: dict[Path, list[str]] = field(default_factory=dict)
    left_out: dict[str, list[Path]] = field(default_factory=dict)
    followed: list[Path] = field(default_factory=list)
    faults: list[tuple[Path, str]] = field(default_factory=list)

    def notes(self) -> list[str]:
        """Lines on links that were followed and on what was left out."""
        lines = []
        if self.followed:
            lines.append(f"{len(self.followed)} links to folders followed: {a_few(map(str, self.followed))}")
        for reason, paths in self.left_out.items():
            lines.append(f"{len(paths)} left out ({reason}): {a_few(map(str, paths))}")
        return lines


def find_videos(paths: Iterable[Path]) -> Listing:
    """Look through files and folders for videos.

    Folders are walked in the order of their names. Links to folders are followed after all else, each folder once, so
    loops end. Left out are hidden names, bins and other folders of the system, downloads that are not finished and
    reels that this package made.

    Raises:
        InputError: A name that is not there, or nothing found.
    """
    paths = list(paths)
    walk = _Walk()
    for path in paths:
        if path.is_dir():
            walk.folder(path)
        elif path.exists():
            walk.take(path)
        else:
            raise InputError(f"{path}: no such file or folder; expected videos")
    listing = walk.finish()
    if not listing.videos and not listing.faults:
        rest = "; ".join(listing.notes())
        raise InputError(
            f"{a_few(map(str, paths))}: no video in there; expected files such as .mp4, .mkv, .webm"
            + f" ({rest})" * bool(rest)
        )
    return listing


class _Walk:
    """Goes through folders, each once."""

    def __init__(self) -> None:
        self.listing = Listing()
        self._folders: set[tuple[int, int]] = set()
        self._files: set[str] = set()
        self._folder_links: deque[Path] = deque()
        self._file_links: list[Path] = []

    def take(self, path: Path) -> None:
        """Take a file that was named itself."""
        if not self._known(os.path.realpath(path)):
            self.listing.videos.append(path)

    def _known(self, real: str) -> bool:
        if real in self._files:
            return True
        self._files.add(real)
        return False

    def folder(self, top: Path) -> None:
        """Go through a folder and all within it; links to folders wait for `finish`."""
        waiting = [top]
        while waiting:
            path = waiting.pop()
            try:
                status = path.stat()
                if (status.st_dev, status.st_ino) in self._folders:
                    continue
                with os.scandir(path) as entries:
                    listed = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self.listing.faults.append((path, f"{path}: folder cannot be read ({error.strerror})"))
                continue
            self._folders.add((status.st_dev, status.st_ino))
            within = self._look(path, listed)
            waiting += reversed(within)

    def finish(self) -> Listing:
        """Follow the links that were met, and give what was found."""
        while self._folder_links:
            path = self._folder_links.popleft()
            status = path.stat()
            if (status.st_dev, status.st_ino) in self._folders:
                self._leave_out(TWICE, path)
            else:
                self.listing.followed.append(path)
                self.folder(path)
        for path in self._file_links:
            if self._known(os.path.realpath(path)):
                self._leave_out(TWICE, path)
            else:
                self.listing.videos.append(path)
        return self.listing

    def _leave_out(self, reason: str, path: Path) -> None:
        self.listing.left_out.setdefault(reason, []).append(path)

    def _look(self, folder: Path, listed: list[os.DirEntry[str]]) -> list[Path]:
        """Sort what is in a folder; the folders within it."""
        names = {entry.name for entry in listed}
        real = os.path.realpath(folder)
        within = []
        sidecars = self.listing.sidecars.setdefault(folder, [])
        for entry in listed:
            path = folder / entry.name
            is_folder = _is_folder(entry)
            if reason := _left_out(entry.name, is_folder, names):
                self._leave_out(reason, path)
            elif entry.name.startswith("."):
                continue
            elif entry.name.lower().endswith(SIDECAR):
                sidecars.append(entry.name)
            elif is_folder and entry.is_symlink():
                self._folder_links.append(path)
            elif is_folder:
                within.append(path)
            elif path.suffix.lower() in ENDINGS:
                self._video(path, entry, os.path.join(real, entry.name))
            elif not path.suffix and entry.is_symlink() and not path.exists():  # a folder of a disk that is not there
                self.listing.faults.append((path, f"{path}: a link to nothing; expected a folder"))
        return within

    def _video(self, path: Path, entry: os.DirEntry[str], real: str) -> None:
        """Take a file with a video's ending, if it is a file and no reel of ours."""
        try:
            with open_regular(path, "a video") as file:
                own = path.suffix.lower() == ".mp4" and _has_mark(file.fileno())
        except InputError as error:
            self.listing.faults.append((path, str(error)))
            return
        if own:
            self._leave_out(OWN, path)
        elif entry.is_symlink():
            self._file_links.append(path)
        elif not self._known(real):
            self.listing.videos.append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say: opening it tells
        return False


def _left_out(name: str, is_folder: bool, beside: set[str]) -> str | None:
    """Why a name is left out that looks like a video or a folder of some; None if it is not."""
    if is_folder:
        return HIDDEN if name.startswith(".") or name.lower() in _SYSTEM else None
    stem, ending = os.path.splitext(name)
    media = ending.lower() in ENDINGS
    if _UNFINISHED_ENDING.search(name) or (media and (_UNFINISHED_STEM.search(stem) or name + _ARIA2 in beside)):
        return UNFINISHED
    if not media:
        return None
    if name.startswith("."):
        return HIDDEN
    return OWN if stem.lower().endswith(REEL) and ending.lower() == ".mp4" else None


def whole_name(name: str) -> str:
    """The name, without its ending, that the video of an unfinished download will have.

    >>> whole_name("A walk.f137.mp4.part"), whole_name("A walk.mp4")
    ('A walk', 'A walk')
    """
    while _UNFINISHED_ENDING.search(name):
        name = os.path.splitext(name)[0]
    stem = os.path.splitext(name)[0]
    return _UNFINISHED_STEM.sub("", stem)


def _has_mark(file: int) -> bool:
    """Whether an mp4 says at the end of its head that this package wrote it."""
    try:
        at = 0
        for _ in range(_MAX_BOXES):
            header = os.pread(file, 16, at)
            if len(header) < 8:
                return False
            size = struct.unpack(">I", header[:4])[0]
            if size == 1 and len(header) == 16:
                size = struct.unpack(">Q", header[8:])[0]
            if header[4:8] == b"moov":
                end = at + size
                return REEL_MARK.encode() in os.pread(file, _MARK_BYTES, max(at, end - _MARK_BYTES))
            if size < 8:
                return False
            at += size
    except (OSError, OverflowError):  # the decoder says what is wrong with it
        pass
    return False
