"""Features, and videos of a corpus, scored by a trained detector: no file of theirs is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.media.output.video_scores import VideoScores
from highlight_lit.text import shown

if TYPE_CHECKING:
    from highlight_lit.inference.detector import Detector
    from highlight_lit.inference.feature_files import VideoFeatures

MAX_CLIP_S = 3600.0


def scores_of_clips(
    video: str,
    topic: str,
    span: NDArray[np.float64],
    logit: NDArray[np.float64],
    audio_mask: NDArray[np.bool_],
) -> VideoScores:
    """`VideoScores` made from logits, for a video without a file: its loudness is not known.

    Args:
        video: Its id.
        topic: What the detector was trained for.
        span: (T_n, 2) seconds.
        logit: (T_n,) z.
        audio_mask: (T_n,) whether a clip has audio.
    """
    return VideoScores(
        video=video,
        title="",
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
        yield scores_of_clips(shown(video.name), detector.topic, span, logits, audio_mask)
