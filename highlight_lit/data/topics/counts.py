"""What a corpus has of each of its topics, counted in one pass however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.topics.weak_labels import RULES, evaluation_set, training_set

Counts = NDArray[np.intp]


@dataclass(frozen=True)
class Topics:
    """Videos of each topic.

    Attributes:
        names: (K,) the corpus' topics, sorted.
        tagged: (K,) videos that carry the tag.
        positive, negative: By weak label rule, (K,) training videos it calls so.
        judged: (K,) videos with labels, of the corpus' validation and test lists.
    """

    names: Sequence[str]
    tagged: Counts
    positive: dict[str, Counts]
    negative: dict[str, Counts]
    judged: Counts

    def trainable(self, rule: str) -> NDArray[np.bool_]:
        """(K,) whether a topic has positives and negatives to train on."""
        return (self.positive[rule] > 0) & (self.negative[rule] > 0)


def topics_of(corpus: Corpus, training: str = "lists") -> Topics:
    """Count the videos of every topic; `training` as in `training_set`."""
    topic, video = _pairs(corpus)
    count = len(corpus.topics)

    def of_each(among: NDArray[np.bool_]) -> Counts:
        return np.bincount(topic[among[video]], minlength=count)

    trained, evaluation = training_set(corpus.split, training), evaluation_set(corpus.split)
    positive, negative = {}, {}
    for name, rule in RULES.items():
        with_tag, without = (rule(np.full(len(corpus), tagged), corpus.duration) for tagged in (True, False))
        positive[name] = of_each(trained & (with_tag == 1))
        untagged = trained & (without == -1)
        negative[name] = int(untagged.sum()) - of_each(untagged)
    everything = np.ones(len(corpus), bool)
    return Topics(corpus.topics, of_each(everything), positive, negative, of_each(evaluation & corpus.labelled()))


def _pairs(corpus: Corpus) -> tuple[Counts, Counts]:
    """Each tag that is a topic of each video, once: (P,) number of the topic, and of the video."""
    number = {name.encode(): place for place, name in enumerate(corpus.topics)}
    topics, videos, first = [], [], 0
    for shard in corpus.shards:
        names, offsets = shard.column("tag_name"), shard.column("tag_offsets")
        topic = np.array([number.get(name, -1) for name in names], np.intp)[shard.column("tag_index")]
        video = first + np.repeat(np.arange(shard.videos), np.diff(offsets))
        topics.append(topic[topic >= 0])
        videos.append(video[topic >= 0])
        first += shard.videos
    pairs = np.unique(np.stack([np.concatenate(topics), np.concatenate(videos)]), axis=1)
    return pairs[0], pairs[1]
