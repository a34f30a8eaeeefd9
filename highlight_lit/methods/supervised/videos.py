"""A topic's videos with the labels of its training list's clips: for supervised methods alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.evaluation.to_segments import to_segments
from highlight_lit.methods.numerics import Floats
from highlight_lit.methods.videos import Clips, Videos


class Labelled(NamedTuple):
    """A training video and its clips' labels, (T_n,): the mean over annotators, carried over to clips in seconds."""

    video: Clips
    label: Floats

    @property
    def highlight(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Clips above the video's own mean label, (T_n,); none where all are labelled the same."""
        return np.asarray(self.label > self.label.mean() + 1e-9)


@dataclass(frozen=True, eq=False)
class SupervisedVideos:
    """What a supervised method may see of a topic: labelled training videos, and videos to score without labels.

    Attributes:
        topic: Its name.
        training: The training list's labelled videos with the topic's tag.
        evaluation: The videos to score.
    """

    topic: str
    training: tuple[Labelled, ...]
    evaluation: tuple[Clips, ...]

    @property
    def informative(self) -> list[Labelled]:
        """Training videos that hold highlights and other clips, all of them if none does."""
        return [labelled for labelled in self.training if labelled.highlight.any()] or list(self.training)


def supervise(corpus: Corpus, videos: Videos) -> SupervisedVideos:
    """Add the labels of a topic's training list, and of no other video.

    Raises:
        InputError: The corpus has no training list, or no labelled video of the topic on it.
    """
    training = []
    for video in videos.tagged:
        index = corpus.index(video.id)
        if index is None or corpus.split[index] != "train":
            continue
        if (labels := corpus.labels(index)) is not None:
            score = labels.score.mean(axis=1, dtype=np.float64)
            training.append(Labelled(video, to_segments(labels.span, score, video.span)))
    if not training:
        raise InputError(f"topic={videos.topic}: no labelled video on a training list of {corpus.root}")
    return SupervisedVideos(videos.topic, tuple(training), videos.evaluation)
