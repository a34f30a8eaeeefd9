"""The corpus: a folder of shards and its manifest, opened as arrays over all its videos."""

from __future__ import annotations

import difflib
import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.probe import probe
from highlight_lit.data.shard import Shard
from highlight_lit.data.shard_writer import ShardWriter
from highlight_lit.data.video import SPLITS, Labels, Stream, Video
from highlight_lit.data.weak_labels import RULES, training_set
from highlight_lit.errors import InputError
from highlight_lit.files import plain_name, read_json, sha256, write_json
from highlight_lit.text import a_few

MANIFEST = "manifest.json"
FORMAT = "highlight-lit corpus"
VERSION = 1
SHARD_BYTES = 256 << 20


class Corpus:
    """A corpus of N videos in one or more shards, open for reading.

    The index is arrays, so that it holds millions of videos; feature rows are read from the shards when asked for.

    Attributes:
        root: Its folder.
        manifest: What `manifest.json` says.
        streams: Its feature streams by name; empty for a corpus of labels alone.
        topics: The topics that can be trained, sorted.
        ids: (N,) UTF-8 bytes.
        duration: (N,) seconds.
        split: (N,) "", "train", "val" or "test".
        clips: (N,) number of clips T_n.

    Raises:
        InputError: No manifest, a shard that is missing, of another size than the manifest says or damaged, shards
            whose streams disagree, an id that occurs twice.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.manifest = read_manifest(self.root)
        paths = [self._shard_path(entry) for entry in self.manifest["shards"]]
        probe(paths)
        columns: dict[str, list[NDArray[Any]]] = {"id": [], "duration": [], "split": []}
        self.shards = []
        for path in paths:  # each is opened once: there may be more than can stay open
            self.shards.append(Shard(path))
            for name, parts in columns.items():
                parts.append(self.shards[-1].column(name))
        self.streams = self.shards[0].streams
        for shard in self.shards:
            if shard.streams != self.streams:
                raise InputError(
                    f"{shard.path}: streams {shard.streams}, expected {self.streams} as in the first shard"
                )
        self.ids, self.duration, split = (np.concatenate(parts) for parts in columns.values())
        self.split = np.array(SPLITS)[split]
        self.clips = np.concatenate([np.diff(shard.offsets) for shard in self.shards])
        if self.streams and len(none := np.flatnonzero(self.clips == 0)):
            raise InputError(
                f"{self.root}: video {self.ids[none[0]].decode()!r}: span: zero clips; expected at least one"
            )
        self._first = np.cumsum([0, *(shard.videos for shard in self.shards)])
        self._order = np.argsort(self.ids, kind="stable")
        ordered = self.ids[self._order]
        if len(twice := np.flatnonzero(ordered[1:] == ordered[:-1])):
            raise InputError(f"{self.root}: video {ordered[twice[0]].decode()!r}: id: occurs twice")
        self.topics = tuple(sorted(self.manifest["topics"]))

    def _shard_path(self, entry: Mapping[str, Any]) -> Path:
        path = self.root / plain_name(entry["file"], f"{self.root / MANIFEST}: shards.file")
        if not path.is_file():
            raise InputError(f"{path}: no such file, though the manifest lists it")
        if path.stat().st_size != entry["bytes"]:
            raise InputError(
                f"{path}: {path.stat().st_size} bytes, the manifest says {entry['bytes']}: truncated or replaced"
            )
        return path

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digest of what the shards hold: two corpora with the same one have the same bytes."""
        sums = "".join(entry["sha256"] for entry in self.manifest["shards"])
        return hashlib.sha256(sums.encode()).hexdigest()

    def locate(self, video: int) -> tuple[Shard, int]:
        """The shard that holds a video, and its row there."""
        shard, row = self.shard_of(video)
        return self.shards[shard], row

    def shard_of(self, video: int) -> tuple[int, int]:
        """Number of the shard that holds a video, and its row there."""
        shard, row = self.shards_of(np.array([video]))
        return int(shard[0]), int(row[0])

    def shards_of(self, videos: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The same of many: (V,) numbers of shards and (V,) rows."""
        shards = np.searchsorted(self._first, videos, side="right") - 1
        return shards, videos - self._first[shards]

    def index(self, video_id: str) -> int | None:
        """Index of the video with this id, None if the corpus has none."""
        name = video_id.encode()
        at = int(np.searchsorted(self.ids, name, sorter=self._order))
        return int(self._order[at]) if at < len(self) and self.ids[self._order[at]] == name else None

    def tagged(self, topic: str) -> NDArray[np.bool_]:
        """Which videos carry the topic's tag, (N,).

        Raises:
            InputError: The corpus has no such topic.
        """
        if topic not in self.topics:
            close = difflib.get_close_matches(topic, self.topics, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"topic={topic}: no such topic in {self.root}; it has {a_few(self.topics, 12)}{hint}")
        return np.concatenate([_tagged(shard, topic) for shard in self.shards])

    def weak_labels(self, topic: str, rule: str, training: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indices of the positive and the negative training videos of a topic.

        Args:
            topic: One of `topics`.
            rule: A key of `RULES`.
            training: `lists` or `transductive`, see `training_set`.

        Raises:
            InputError: Unknown topic, or no positive, or no negative video.
        """
        label = RULES[rule](self.tagged(topic), self.duration) * training_set(self.split, training)
        positive, negative = np.flatnonzero(label == 1), np.flatnonzero(label == -1)
        for found, kind in ((positive, "positive"), (negative, "negative")):
            if len(found) == 0:
                hint = " (data.rule=tag ignores durations)" if rule == "duration" else ""
                raise InputError(
                    f"topic={topic}: no {kind} video in {self.root} under data.rule={rule}, data.training={training}{hint}"
                )
        return positive, negative

    def evaluation_videos(self, topic: str) -> NDArray[np.intp]:
        """Indices of the topic's videos to evaluate on: its validation (or test) list, all of them without lists."""
        listed = np.isin(self.split, ("val", "test"))
        return np.flatnonzero(self.tagged(topic) & (listed if listed.any() else True))

    def rows(self, video: int, name: str) -> NDArray[Any]:
        """Rows of one video: (T_n, D) of a stream, (T_n, 2) of `span` or (T_n,) of `heard`."""
        shard, row = self.locate(video)
        return shard.rows(name, int(shard.offsets[row]), int(shard.offsets[row + 1]))

    def labels(self, video: int) -> Labels | None:
        """Labels of a video, None where it has none. For evaluation: training never calls this."""
        shard, row = self.locate(video)
        return shard.labels(row)


def refuse_not_finite(corpus: Corpus, video: int, name: str, rows: NDArray[Any]) -> None:
    """Refuse rows of a video that are not all finite.

    Raises:
        InputError: One is not.
    """
    if not np.isfinite(rows).all():
        shard, row = corpus.locate(video)
        clip = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        identifier = corpus.ids[video].decode()
        raise InputError(f"{shard.path}: video {identifier!r} (row {row}): {name}: NaN or infinite in clip {clip}")


def _tagged(shard: Shard, topic: str) -> NDArray[np.bool_]:
    """Which videos of a shard carry a tag."""
    code = np.flatnonzero(shard.column("tag_name") == topic.encode())
    hits = np.concatenate([[0], np.cumsum(np.isin(shard.column("tag_index"), code))])
    offsets = shard.tag_offsets()
    return np.asarray(hits[offsets[1:]] > hits[offsets[:-1]])


def read_manifest(root: Path) -> dict[str, Any]:
    """Read and check a corpus' manifest.

    Raises:
        InputError: It is missing or not one of this format.
    """
    path = root / MANIFEST
    manifest = read_json(path, "a corpus manifest (made by 'highlight-lit import' or 'synthesize')")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or manifest.get("version") != VERSION:
        raise InputError(f"{path}: expected {FORMAT!r} version {VERSION}")
    shards, topics = manifest.get("shards"), manifest.get("topics")
    entries = isinstance(shards, list) and all(
        isinstance(entry, dict) and {"file", "bytes", "sha256"} <= entry.keys() for entry in shards
    )
    if not shards or not entries:
        raise InputError(f"{path}: shards: expected a list of objects with file, bytes and sha256, at least one")
    if not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
        raise InputError(f"{path}: topics: expected a list of names")
    return manifest


def write_manifest(root: Path, name: str, topics: Iterable[str] | None = None, **facts: Any) -> None:
    """Index the shards in a folder, in the order of their names: counts, bytes and SHA-256 of each.

    Args:
        root: The folder.
        name: The corpus' name in tables.
        topics: Tags that are topics; None: every tag.
        facts: Further facts to keep, such as `benchmark` or `source`.
    """
    shards = [Shard(path) for path in sorted(root.glob("*.h5"))]
    tags = {tag.decode() for shard in shards for tag in shard.column("tag_name")}
    entries = [
        {
            "file": shard.path.name,
            "videos": shard.videos,
            "clips": int(shard.offsets[-1]),
            "bytes": shard.path.stat().st_size,
            "sha256": sha256(shard.path),
        }
        for shard in shards
    ]
    header = {"format": FORMAT, "version": VERSION, "name": name, **facts}
    write_json(root / MANIFEST, {**header, "topics": sorted(tags if topics is None else topics), "shards": entries})


def write_corpus(
    root: Path,
    videos: Iterable[Video],
    streams: Mapping[str, Stream],
    *,
    name: str,
    clip_seconds: float,
    topics: Sequence[str] | None = None,
    shard_bytes: int = SHARD_BYTES,
    **facts: Any,
) -> None:
    """Write a whole corpus: all of it appears under `root`, or nothing does.

    Args:
        root: A folder that does not exist yet (or is empty).
        videos: In the order they are to have; read one at a time.
        streams: The streams every video has.
        name, topics, facts: As for `write_manifest`.
        clip_seconds: Nominal length of a clip.
        shard_bytes: A shard is closed when its features reach this size.

    Raises:
        InputError: `root` is not empty or cannot be written, or a video does not fit.
    """
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root}: exists already; expected a new or empty folder")
    partial = root.with_name(f".{root.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write_shards(partial, videos, streams, clip_seconds, shard_bytes)
        write_manifest(partial, name, topics, **facts)
        Corpus(partial)
        partial.replace(root)
    except OSError as error:
        raise InputError(f"{root}: cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_shards(
    root: Path, videos: Iterable[Video], streams: Mapping[str, Stream], clip_seconds: float, shard_bytes: int
) -> None:
    remaining = iter(videos)
    clip_bytes = sum(stream.width * np.dtype(stream.dtype).itemsize for stream in streams.values()) + 17
    video = next(remaining, None)
    number = 0
    while video is not None or number == 0:
        with ShardWriter(root / f"shard-{number:05d}.h5", streams, clip_seconds) as writer:
            while video is not None and writer.clips * clip_bytes < shard_bytes:
                writer.add(video)
                video = next(remaining, None)
        number += 1
