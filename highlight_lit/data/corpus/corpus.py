"""A corpus that is open for reading: arrays over all its videos."""

from __future__ import annotations

import difflib
import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus.labels_file import LabelsFile
from highlight_lit.data.corpus.manifest import MANIFEST, read_manifest
from highlight_lit.data.shards import Shard
from highlight_lit.data.topics.tags import plain_tag
from highlight_lit.data.topics.weak_labels import RULES, evaluation_set, training_set
from highlight_lit.data.video import MAX_CLIPS, SPLITS, Labels
from highlight_lit.errors import InputError
from highlight_lit.text import a_few, say

MAX_COMPARED = 10_000  # topics with one that is not there, letter by letter: a second


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
        begin: (N,) the row of its shard that its first clip has.
        fingerprint: Hexadecimal digest of what the shards and the labels beside them hold now, and of the benchmark that
            judges them: two corpora with the same one have the same contents.
        audio_way: Changes a video's audio rows as they are read; None: they are read as they are.

    Raises:
        InputError: No manifest, a shard that is missing, damaged or not the one that the manifest lists, shards whose
            streams disagree, an id that occurs twice.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.audio_way: Callable[[NDArray[Any], NDArray[np.bool_], bytes], NDArray[Any]] | None = None
        self._labels: Mapping[str, Labels] | None = None
        self.manifest = read_manifest(self.root)
        columns: dict[str, list[NDArray[Any]]] = {"id": [], "duration": [], "split": []}
        self.shards: list[Shard] = []
        contents = [str(self.manifest.get("benchmark"))]
        for entry in self.manifest["shards"]:  # each is opened once: there may be more than can stay open
            shard, digest = _listed_shard(self.root, entry)
            self.shards.append(shard)
            contents.append(digest)
            for name, parts in columns.items():
                parts.append(shard.column(name))
            shard.close()
        if (listed := self.manifest.get("labels")) is not None:
            shard, digest = _listed_shard(self.root, listed)
            shard.close()
            self._labels = LabelsFile(shard)
            contents.append(f"labels {digest}")
        self.fingerprint = hashlib.sha256("\n".join(contents).encode()).hexdigest()
        self.streams = self.shards[0].streams
        for shard in self.shards:
            if shard.streams != self.streams:
                raise InputError(
                    f"{shard.path}: streams {shard.streams}, expected {self.streams} as in the first shard"
                )
        self.ids, self.duration, split = (np.concatenate(parts) for parts in columns.values())
        self.split = np.array(SPLITS)[split.astype(np.uint8)]  # shards with numbers of several types make floats
        self.clips = np.concatenate([np.diff(shard.offsets) for shard in self.shards])
        self.begin = np.concatenate([shard.offsets[:-1] for shard in self.shards])
        if self.streams and len(none := np.flatnonzero(self.clips == 0)):
            raise InputError(
                f"{self.root}: video {self.ids[none[0]].decode()!r}: span: zero clips; expected at least one"
            )
        if len(long := np.flatnonzero(self.clips > MAX_CLIPS)):
            clips, name = self.clips[long[0]], self.ids[long[0]].decode()
            raise InputError(
                f"{self.root}: video {name!r}: span: {clips} clips; expected at most {MAX_CLIPS} a video, a bound that "
                "cannot be raised"
            )
        self._first = np.cumsum([0, *(shard.videos for shard in self.shards)])
        self._order = np.argsort(self.ids, kind="stable")
        ordered = self.ids[self._order]
        if len(twice := np.flatnonzero(ordered[1:] == ordered[:-1])):
            raise InputError(f"{self.root}: video {ordered[twice[0]].decode()!r}: id: occurs twice")
        self.topics = tuple(sorted(self.manifest["topics"]))
        if slow := [shard.path.name for shard in self.shards if shard.slow]:
            say(
                f"{self.root}: {a_few(slow)}: features in chunks, or without checksums, as older versions and other tools write "
                "them: read more slowly",
                file=sys.stderr,
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return (
            f"<Corpus {self.root}: {len(self)} videos, {self.clips.sum()} clips, topics {a_few(self.topics) or 'none'}>"
        )

    def locate(self, video: int) -> tuple[Shard, int]:
        """The shard that holds a video, and the video's row in it."""
        (shard,), (row,) = self.shards_of(np.array([video]))
        return self.shards[shard], int(row)

    def shards_of(self, videos: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which shards hold some videos, (V,) numbers, and their rows there, (V,)."""
        shards = np.searchsorted(self._first, videos, side="right") - 1
        return shards, videos - self._first[shards]

    def index(self, video_id: str) -> int | None:
        """Index of the video with this id, None if the corpus has none."""
        name = video_id.encode(errors="surrogatepass")  # of the shell's bytes that are no UTF-8
        at = int(np.searchsorted(self.ids, name, sorter=self._order))
        return int(self._order[at]) if at < len(self) and self.ids[self._order[at]] == name else None

    def tagged(self, topic: str) -> NDArray[np.bool_]:
        """Which videos carry the topic's tag, (N,).

        Raises:
            InputError: The corpus has no such topic.
        """
        if topic not in self.topics:
            same = [name for name in self.topics if plain_tag(name) == plain_tag(topic)]
            close = same or difflib.get_close_matches(topic, self.topics[:MAX_COMPARED], 1)
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
        for videos, kind in ((positive, "positive"), (negative, "negative")):
            if len(videos) == 0:
                hint = " (data.rule=tag ignores durations)" if rule == "duration" else ""
                raise InputError(
                    f"topic={topic}: no {kind} video in {self.root} under data.rule={rule}, data.training={training}{hint}"
                )
        return positive, negative

    def evaluation_videos(self, topic: str, split: str = "test") -> NDArray[np.intp]:
        """Indices of the topic's videos to evaluate on.

        Args:
            topic: One of `topics`.
            split: `test`, `val` or `all`, see `evaluation_set`.
        """
        return np.flatnonzero(self.tagged(topic) & evaluation_set(self.split, split))

    def rows(self, video: int, name: str) -> NDArray[Any]:
        """Rows of one video: (T_n, D) of a stream, (T_n, 2) of `span` or (T_n,) of `audio_mask`."""
        shard, row = self.locate(video)
        rows = shard.rows(name, int(shard.offsets[row]), int(shard.offsets[row + 1]))
        if name == "audio" and self.audio_way is not None:
            return self.audio_way(rows, self.rows(video, "audio_mask").astype(bool), bytes(self.ids[video]))
        return rows

    def labels(self, video: int) -> Labels | None:
        """Labels of a video, None where it has none. For evaluation: training never calls this."""
        if self._labels is not None:
            return self._labels.get(self.ids[video].decode())
        shard, row = self.locate(video)
        return shard.labels(row)

    def labelled(self) -> NDArray[np.bool_]:
        """Which videos have labels, (N,)."""
        if self._labels is not None:
            return np.array([name.decode() in self._labels for name in self.ids], np.bool_)
        return np.concatenate([np.diff(shard.column("label_offsets")) > 0 for shard in self.shards])

    def label_by(self, labels: Mapping[str, Labels], benchmark: str) -> None:
        """Replace the labels in memory by others, by id, which `benchmark` judges; nothing is written."""
        self._labels = labels
        self.manifest["benchmark"] = benchmark


def _listed_shard(root: Path, entry: Mapping[str, Any]) -> tuple[Shard, str]:
    """Open a shard of a manifest; it, and its digest.

    Raises:
        InputError: It is missing, damaged, or not the one that was listed.
    """
    path = root / entry["file"]
    if not path.exists():
        raise InputError(f"{path}: no such file, though the manifest lists it")
    if (size := path.stat().st_size) != entry["bytes"]:
        raise InputError(f"{path}: {size} bytes, the manifest says {entry['bytes']}: truncated or replaced")
    shard = Shard(path)
    digest = shard.digest()
    if digest != entry.get("digest", digest):
        raise InputError(
            f"{path}: changed or replaced since {MANIFEST} was written (digest {digest}, listed {entry['digest']}); "
            "expected the shard that is listed: put it back, or make the corpus again"
        )
    return shard, digest


def _tagged(shard: Shard, topic: str) -> NDArray[np.bool_]:
    """Which videos of a shard carry a tag."""
    code = np.flatnonzero(shard.column("tag_name") == topic.encode())
    hits = np.concatenate([[0], np.cumsum(np.isin(shard.column("tag_index"), code))])
    offsets = shard.column("tag_offsets")
    return np.asarray(hits[offsets[1:]] > hits[offsets[:-1]])
