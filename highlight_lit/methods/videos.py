"""What a method without clip labels may see of a corpus: features, durations and weak labels of one topic's videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.topics.weak_labels import training_set
from highlight_lit.data.video import MODALITIES
from highlight_lit.errors import InputError
from highlight_lit.methods.numerics import TINY, Rows, evenly, unit

MOST = 400  # training videos of a kind that are held in memory; drawn evenly from the list beyond that


@dataclass(frozen=True, eq=False)
class Clips:
    """One video's clips: arrays, and no way back to the corpus they come from.

    Attributes:
        id: The video's.
        duration: Seconds.
        span: (T_n, 2) start and end of each clip in seconds.
        x: (T_n, D) features, each row of length 1 at most; see `ComparableFeatures`.
        widths: Widths of the S streams that stand side by side in x; none: x is one stream.
        size: (T_n, S) what rows were divided by, in units of the mean over the video; None: all were of one size.
    """

    id: str
    duration: float
    span: NDArray[np.float64]
    x: Rows
    widths: tuple[int, ...] = ()
    size: Rows | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def sized(self) -> Rows:
        """The clips before they were scaled to length 1, (T_n, D): for methods that look for extreme clips."""
        return self.x if self.size is None else self.x * np.repeat(self.size, self.widths, axis=1)


@dataclass(frozen=True, eq=False)
class Videos:
    """A topic's videos, without labels of clips.

    Attributes:
        topic: Its name.
        positive: Training videos that the weak label rule calls positive.
        negative: Those it calls negative.
        tagged: Training videos with the topic's tag, of any duration.
        evaluation: The videos to score.
    """

    topic: str
    positive: tuple[Clips, ...]
    negative: tuple[Clips, ...]
    tagged: tuple[Clips, ...]
    evaluation: tuple[Clips, ...]

    def peers(self, video: Clips) -> list[Clips]:
        """The positives but for the video itself, which is one of them under `transductive` training."""
        return [other for other in self.positive if other.id != video.id]


class ComparableFeatures:
    """Clips' features ready to compare: the cosine of two rows is then the correlation of two clips.

    Each stream is centred by its mean over the training clips and scaled to length 1 a clip; a clip without audio has
    zeros for it. Two streams stand side by side, each weighed by 1/sqrt(2).

    Args:
        corpus: Where rows are read from.
        streams: Names of the streams.
        training: Indices of the videos whose clips give the mean.

    Raises:
        InputError: The corpus lacks a stream.
    """

    def __init__(self, corpus: Corpus, streams: Sequence[str], training: NDArray[np.intp]) -> None:
        for name in streams:
            if name not in corpus.streams:
                available = ", ".join(corpus.streams) or "labels alone"
                raise InputError(f"{corpus.root}: {name}: no such stream; the corpus has {available}")
        self._corpus, self._streams = corpus, streams
        self._mean = {name: self._mean_of(name, training) for name in streams}

    def _mean_of(self, name: str, videos: NDArray[np.intp]) -> NDArray[np.float64]:
        total, count = np.zeros(self._corpus.streams[name].width), 0
        for video in videos:
            rows, there = self._rows(int(video), name)
            total += rows[there].sum(0, dtype=np.float64)
            count += int(there.sum())
        return total / max(count, 1)

    def _rows(self, video: int, name: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Rows of a stream, and which of them exist: every visual row, and audio rows where `audio_mask` is True."""
        rows = self._corpus.rows(video, name)
        there = np.ones(len(rows), np.bool_)
        return rows, self._corpus.rows(video, "audio_mask").astype(np.bool_) if name == "audio" else there

    def clips(self, video: int) -> Clips:
        """A video's clips.

        Raises:
            InputError: It has no clip, or a feature is not finite.
        """
        parts, sizes = [], []
        id_ = self._corpus.ids[video].decode()
        for name in self._streams:
            rows, there = self._rows(video, name)
            centred = (rows.astype(np.float64) - self._mean[name]) * there[:, None]
            if len(centred) == 0 or not np.isfinite(centred).all():
                raise InputError(f"{self._corpus.root}: video {id_!r}: {name}: expected a clip or more, all finite")
            parts.append(unit(centred) / np.sqrt(len(self._streams)))
            length = np.linalg.norm(centred, axis=1)
            sizes.append(length / max(float(length[there].mean()) if there.any() else 0.0, TINY))
        x, size = np.concatenate(parts, axis=1).astype(np.float32), np.stack(sizes, axis=1).astype(np.float32)
        widths = tuple(part.shape[1] for part in parts)
        return Clips(id_, float(self._corpus.duration[video]), self._corpus.rows(video, "span"), x, widths, size)


def view(
    corpus: Corpus, topic: str, *, modality: str = "visual", rule: str = "duration", training: str = "lists"
) -> Videos:
    """Read a topic's videos into memory.

    Args:
        corpus: The corpus; no label of its clips is read.
        topic: One of its topics.
        modality: `visual`, `audio` or `av`.
        rule: Weak label rule, `duration` or `tag`.
        training: `lists` or `transductive`.

    Raises:
        InputError: An unknown topic or modality, a missing stream, no positive, no negative, nothing to evaluate on.
    """
    if modality not in MODALITIES:
        raise InputError(f"modality={modality}: expected one of {', '.join(MODALITIES)}")
    positive, negative = (_at_most(listed) for listed in corpus.weak_labels(topic, rule, training))
    tagged = _at_most(np.flatnonzero(corpus.tagged(topic) & training_set(corpus.split, training)))
    evaluation = corpus.evaluation_videos(topic)
    if len(evaluation) == 0:
        raise InputError(f"topic={topic}: no video to evaluate on in {corpus.root}")
    features = ComparableFeatures(corpus, MODALITIES[modality], np.concatenate([positive, negative]))
    wanted = np.unique(np.concatenate([positive, negative, tagged, evaluation]))
    clips = {int(video): features.clips(int(video)) for video in wanted}
    kinds = (tuple(clips[int(video)] for video in kind) for kind in (positive, negative, tagged, evaluation))
    return Videos(topic, *kinds)


def _at_most(videos: NDArray[np.intp]) -> NDArray[np.intp]:
    """At most `MOST` of some videos, spread evenly over them."""
    return videos[evenly(len(videos), MOST)] if len(videos) else videos
