"""A corpus with a planted audio-visual signal of known rank, for demonstrations and for tests of what is found.

What is planted, for a clip of a video of topic t:

- Each stream carries a hidden vector of signs, x for the visual and y for the audio one, both uniform on {-1, 1}^rank
  *in every clip*. In a highlight of topic t, y = M_t x with M_t an orthogonal matrix of signs; elsewhere y is drawn by
  itself. Neither stream alone tells a highlight from the rest; the bilinear form x' M_t' y, of the given rank, does.
- A weak cue in each stream alone: highlights are shifted along a direction of the topic, more in the visual than in
  the audio stream. So the visual stream alone beats chance, and the audio stream alone does too, by less.
- Distractors: strong events in one stream alone, in runs as long as highlights, as frequent in one topic as in another.
- Noise of standard deviation 1 in every dimension, and streams that differ in scale and offset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import write_corpus
from highlight_lit.data.video import Labels, Stream, Video
from highlight_lit.errors import InputError

Floats = NDArray[np.float64]

SIGNAL = 2.0  # size of the hidden signs, in units of the noise
CUES = {"visual": 1.0, "audio": 0.6}  # shift of a highlight along its topic's direction, in units of the noise
DISTRACTOR = 4.0
SCALES = {"visual": (1.0, 0.5), "audio": (0.1, -0.2)}  # factor and offset of the stored features
RUN_SECONDS = (3, 8)  # length of a highlight, and of a distractor
SHARE = {"short": 0.4, "long": 0.15}  # part of a video that is highlight: short videos are edited
SECONDS = {"short": (15, 59), "long": (61, 150)}
BENCHMARKS = {1: "youtube-highlights", 3: "cosum"}  # whose shape a number of annotators has; else tvsum
MAX_WIDTH = 1 << 14  # of a stream: an orthonormal basis of it is made


@dataclass(frozen=True)
class Plan:
    """What to synthesize.

    Attributes:
        topics: Number of topics, at least 2: each one's negatives are the others' videos.
        videos: Videos a topic, at least 4; half of them last under 60 s.
        annotators: 1 to 20. One gives a match label; 3 choose clips; others score from 1 to 5.
        rank: Rank of the planted bilinear form, at least 1, at most the smaller width less 2.
        Dv, Da: Widths of the streams.
        seed: Of everything.
    """

    topics: int = 3
    videos: int = 120
    annotators: int = 1
    rank: int = 8
    Dv: int = 64
    Da: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (("topics", 2, 99), ("videos", 4, 10**6), ("annotators", 1, 20), ("seed", 0, 2**63)):
            if not least <= getattr(self, name) <= most:
                raise InputError(f"--{name} {getattr(self, name)}: expected {least} to {most}")
        if max(self.Dv, self.Da) > MAX_WIDTH:
            raise InputError(f"--widths {self.Dv},{self.Da}: expected at most {MAX_WIDTH} each")
        if not 1 <= self.rank <= min(self.Dv, self.Da) - 2:
            raise InputError(f"--rank {self.rank}: expected 1 to the smaller of --widths less 2")


class Planted:
    """The directions and matrices that a corpus of this plan is made from: its truth.

    Attributes:
        basis: By stream, orthonormal columns (D, rank + 2): the hidden signs' directions, the distractor's, the cue's.
        relation: (topics, rank, rank) the orthogonal M_t.
        cue: By stream, (topics,) sign of each topic's cue.
    """

    def __init__(self, plan: Plan) -> None:
        generator = np.random.default_rng([plan.seed, 0])
        self.plan = plan
        self.basis = {
            name: np.linalg.qr(generator.normal(size=(width, plan.rank + 2)))[0]
            for name, width in (("visual", plan.Dv), ("audio", plan.Da))
        }
        order = [generator.permutation(plan.rank) for _ in range(plan.topics)]
        signs = generator.choice([-1.0, 1.0], (plan.topics, plan.rank, 1))
        self.relation = np.stack([np.eye(plan.rank)[p] for p in order]) * signs
        self.cue = {name: generator.choice([-1.0, 1.0], plan.topics) for name in self.basis}

    def video(self, number: int) -> Video:
        """Video `number` of the corpus, a pure function of the plan and the number."""
        plan = self.plan
        generator = np.random.default_rng([plan.seed, 1, number])
        topic, index = divmod(number, plan.videos)
        kind = "short" if index % 2 == 0 else "long"
        seconds = int(generator.integers(*SECONDS[kind], endpoint=True))
        highlight = _runs(generator, seconds, SHARE[kind])
        x = generator.choice([-1.0, 1.0], (seconds, plan.rank))
        unrelated = generator.choice([-1.0, 1.0], (seconds, plan.rank))
        y = np.where(highlight[:, None], x @ self.relation[topic].T, unrelated)
        rows = {
            name: self._features(generator, name, topic, signs, highlight)
            for name, signs in (("visual", x), ("audio", y))
        }
        span = np.stack([np.arange(seconds), np.arange(1, seconds + 1)], 1).astype(np.float64)
        return Video(
            id=f"synthetic-{number:06d}",
            duration=float(seconds),
            tags=(topic_name(topic),),
            title=f"Synthetic video {number} of {topic_name(topic)}",
            split="val" if index % 5 >= 3 else "train",
            span=span,
            visual=rows["visual"],
            audio=rows["audio"],
            labels=Labels(span, _annotate(generator, highlight, plan.annotators)),
        )

    def _features(
        self, generator: np.random.Generator, name: str, topic: int, signs: Floats, highlight: NDArray[np.bool_]
    ) -> Floats:
        """Rows (T_n, D) of one stream."""
        distractor = DISTRACTOR * _runs(generator, len(signs), 0.2)
        cue = CUES[name] * self.cue[name][topic] * highlight
        hidden = np.concatenate([SIGNAL * signs, distractor[:, None], cue[:, None]], 1)
        basis = self.basis[name]
        factor, offset = SCALES[name]
        return np.asarray(factor * (hidden @ basis.T + generator.normal(size=(len(signs), len(basis)))) + offset)


def topic_name(topic: int) -> str:
    """Name of a topic, counted from 0."""
    return f"topic{topic + 1:02d}"


def _runs(generator: np.random.Generator, seconds: int, share: float) -> NDArray[np.bool_]:
    """Runs of a few seconds until about `share` of a video is covered, at least one and never all of it. (T_n,)"""
    covered = np.zeros(seconds, bool)
    while covered.mean() < share:
        length = int(generator.integers(*RUN_SECONDS, endpoint=True))
        start = int(generator.integers(0, max(1, seconds - length)))
        covered[start : start + length] = True
    return covered


def _annotate(generator: np.random.Generator, highlight: NDArray[np.bool_], annotators: int) -> NDArray[np.float32]:
    """What annotators say of each clip, (T_n, A): truth seen through each one's own noise."""
    shape = (len(highlight), annotators)
    truth = highlight[:, None]
    if annotators == 1:
        return np.where(truth, 1.0, -1.0).astype(np.float32)
    if annotators == 3:  # each errs on one clip in ten
        return (truth ^ (generator.random(shape) < 0.1)).astype(np.float32)
    leaning = generator.normal(0, 0.5, (1, annotators))
    return np.clip(np.rint(2.0 + 1.8 * truth + leaning + generator.normal(0, 0.8, shape)), 1, 5).astype(np.float32)


def synthesize(out: Path, plan: Plan) -> None:
    """Write the corpus of a plan.

    Raises:
        InputError: `out` exists or cannot be written.
    """
    planted = Planted(plan)

    def videos() -> Iterator[Video]:
        return (planted.video(number) for number in range(plan.topics * plan.videos))

    streams = {"visual": Stream(plan.Dv, "synthetic-visual", "1"), "audio": Stream(plan.Da, "synthetic-audio", "1")}
    write_corpus(
        out,
        videos(),
        streams,
        name=f"synthetic ({Path(out).name})",
        clip_seconds=1.0,
        synthetic=vars(plan),
        benchmark=BENCHMARKS.get(plan.annotators, "tvsum"),
    )
