"""The scores of one video, whatever they were made from, and the highlights that they mark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.media.output.segments import Segment, choose_segments

if TYPE_CHECKING:
    from highlight_lit.inference.detector import Detector
    from highlight_lit.inference.feature_files import VideoFeatures

HIGHLIGHT_SHARE, HIGHLIGHT_S = 0.25, 30.0  # of a video, and seconds at most, where nobody says how many
MAX_CLIP_S = 3600.0


@dataclass(frozen=True)
class VideoScores:
    """A scored video.

    Attributes:
        video: File name.
        title, tags: From its sidecar, if there is one.
        topic: What the detector was trained for.
        duration: Seconds.
        span: (T_n, 2) seconds.
        score: (T_n,) p in [0, 1].
        logit: (T_n,) z, whose sigmoid p is: it still tells clips apart where p is 1 to the last digit.
        loudness: (T_n, n) dB relative to full scale, n times a clip; n is 0 where no audio was decoded.
        audio_mask: (T_n,) whether a clip has audio.
    """

    video: str
    title: str
    tags: tuple[str, ...]
    topic: str
    duration: float
    span: NDArray[np.float64]
    score: NDArray[np.float32]
    logit: NDArray[np.float32]
    loudness: NDArray[np.float32]
    audio_mask: NDArray[np.bool_]

    @property
    def within(self) -> NDArray[np.float64]:
        """(T_n,) the score within the video: logits scaled so that its least is 0 and its largest 1, for curves.

        Where p is 1 to the last digit everywhere, this still shows where the video is best. All are 0.5 if all are the
        same.
        """
        low, high = float(self.logit.min()), float(self.logit.max())
        if not high > low:
            return np.full(len(self.logit), 0.5)
        return (self.logit.astype(np.float64) - low) / (high - low)

    def mean_within(self, start: float, end: float) -> float:
        """Mean of `within` over the seconds from `start` to `end`."""
        shares = np.clip(np.minimum(self.span[:, 1], end) - np.maximum(self.span[:, 0], start), 0.0, None)
        return float(self.within @ shares / max(1e-9, shares.sum()))


def scores_of_clips(
    video: str,
    topic: str,
    span: NDArray[np.float64],
    logit: NDArray[np.float64],
    audio_mask: NDArray[np.bool_],
    **facts: str,
) -> VideoScores:
    """`VideoScores` made from logits, for a video without a file: its loudness is not known.

    Args:
        video: Its id.
        topic: What the detector was trained for.
        span: (T_n, 2) seconds.
        logit: (T_n,) z.
        audio_mask: (T_n,) whether a clip has audio.
        facts: Its `title`.
    """
    return VideoScores(
        video=video,
        title=facts.get("title", ""),
        tags=(),
        topic=topic,
        duration=float(span[-1, 1]),
        span=span,
        score=expit(logit).astype(np.float32),
        logit=logit.astype(np.float32),
        loudness=np.zeros((len(logit), 0), np.float32),
        audio_mask=audio_mask,
    )


def scores_in_corpus(corpus: Corpus, video: int, topic: str, logit: NDArray[np.float64]) -> VideoScores:
    """Scores of a video of a corpus, by its index."""
    silent = np.zeros(len(logit), bool)
    audio_mask = corpus.rows(video, "audio_mask").astype(bool) if "audio" in corpus.streams else silent
    span = corpus.rows(video, "span").astype(np.float64)
    return scores_of_clips(corpus.ids[video].decode(), topic, span, logit, audio_mask)


def scores_of_features(
    videos: Iterable[VideoFeatures], detector: Detector, clip_seconds: float
) -> Iterator[VideoScores]:
    """Score videos by their features.

    Args:
        videos: As `videos_of` finds them.
        detector: Trained.
        clip_seconds: Length of a clip, over 0 and at most `MAX_CLIP_S`.

    Raises:
        InputError: A file that cannot be read, or features that this detector does not take.
    """
    for video in videos:
        where = f"--features {video.files[0][1]}"
        rows = video.read(detector.streams)
        try:
            logits = detector.logits(rows.get("visual"), rows.get("audio"))
        except InputError as error:
            raise InputError(f"{where}: {error}") from error
        start = clip_seconds * np.arange(len(logits))
        audio_mask = np.full(len(logits), "audio" in rows)
        span = np.stack([start, start + clip_seconds], axis=1)
        yield scores_of_clips(video.name, detector.topic, span, logits, audio_mask)


def highlights_of(
    scores: VideoScores, seconds: float | None = None, shortest: float = 3.0, merge: float = 2.0
) -> list[Segment]:
    """The segments that are marked: `choose_segments` of so many seconds, or of a quarter of the video, 30 s at most."""
    if seconds is None:
        seconds = min(HIGHLIGHT_S, HIGHLIGHT_SHARE * scores.duration)
    return choose_segments(scores.score, scores.span, seconds, shortest, merge, scores.logit)
