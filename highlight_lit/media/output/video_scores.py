"""The scores of one video, whatever they were made from, and the highlights that they mark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from highlight_lit.media.output.segments import Segment, choose_segments

HIGHLIGHT_SHARE, HIGHLIGHT_S = 0.25, 30.0  # of a video, and seconds at most, where nobody says how many


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

    @classmethod
    def of_logits(
        cls, video: str, topic: str, span: NDArray[np.float64], z: NDArray[np.float64], audio_mask: NDArray[np.bool_]
    ) -> VideoScores:
        """Scores of a video of which no more is known than its clips' logits z, (T_n,): it ends with its last clip."""
        score, logit, loudness = expit(z).astype(np.float32), z.astype(np.float32), np.zeros((len(z), 0), np.float32)
        return cls(video, "", (), topic, float(span[-1, 1]), span, score, logit, loudness, audio_mask)

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


def highlights_of(
    scores: VideoScores, seconds: float | None = None, shortest: float = 3.0, merge: float = 2.0
) -> list[Segment]:
    """The segments that are marked: `choose_segments` of so many seconds, or of a quarter of the video, 30 s at most."""
    if seconds is None:
        seconds = min(HIGHLIGHT_S, HIGHLIGHT_SHARE * scores.duration)
    return choose_segments(scores.score, scores.span, seconds, shortest, merge, scores.logit)
