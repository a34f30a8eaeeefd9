"""Labels that came to a corpus after its features: a file beside the shards, which stay as they are.

The file is a shard without features, `labels-NUMBER.hdf5`. Once the manifest lists it, under `labels`, its labels are the
corpus', and those that its shards may hold are not. So a corpus has its old labels until the manifest is replaced, and then
the new ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.data.corpus.manifest import MANIFEST, read_manifest
from highlight_lit.data.shards import Shard, ShardWriter
from highlight_lit.data.video import Labels, Video
from highlight_lit.files import write_json
from highlight_lit.processes.locks import locked

_FILE = re.compile(r"labels-\d{1,9}\.hdf5")  # not .h5: no shard of videos
LOCK = ".labels.lock"  # held by who changes what the manifest lists as labels


class LabelsFile(Mapping[str, Labels]):
    """Labels by id, read from the file when asked for."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard

    @cached_property
    def _rows(self) -> dict[str, int]:
        ids, offsets = (self._shard.column(name) for name in ("id", "label_offsets"))
        return {ids[row].decode(): row for row in np.flatnonzero(np.diff(offsets) > 0).tolist()}

    def __getitem__(self, video_id: str) -> Labels:
        labels = self._shard.labels(self._rows[video_id])
        if labels is None:
            raise KeyError(video_id)
        return labels

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def set_labels(root: Path, labels: Mapping[str, Labels], durations: Mapping[str, float], **facts: Any) -> None:
    """Make these the labels of a corpus, in place of all that it has; killed anywhere, it has the old ones or these.

    Args:
        root: The corpus' folder.
        labels: By id, at least one.
        durations: Seconds, by id.
        facts: Of the manifest: what the labels are judged by.
    """
    with locked(root / LOCK, f"{root}: import of labels"):
        manifest = read_manifest(root)
        before = [path.name for path in root.glob("labels-*.hdf5") if _FILE.fullmatch(path.name)]
        path = next(root / name for n in range(len(before) + 1) if (name := f"labels-{n}.hdf5") not in before)
        with ShardWriter(path, {}, 1.0) as writer:
            for name, of_video in labels.items():
                writer.add(Video(name, durations[name], (), np.empty((0, 2)), labels=of_video))
        shard = Shard(path)
        entry = {"file": path.name, "bytes": path.stat().st_size, "digest": shard.digest()}
        shard.close()
        write_json(root / MANIFEST, {**manifest, **facts, "labels": entry})
        # Of labels before, or of an import that was killed.
        for left in [*(root / name for name in before), *root.glob(".labels-*.tmp"), *root.glob(f".{MANIFEST}.*.tmp")]:
            left.unlink(missing_ok=True)
