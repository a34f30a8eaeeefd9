"""Features, and videos of a corpus, scored by a trained detector: no file of theirs is decoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.media.output.video_scores import VideoScores
from highlight_lit.text import shown

if TYPE_CHECKING:
    from highlight_lit.inference.detector import Detector
    from highlight_lit.inference.feature_files import VideoFeatures

MAX_CLIP_S = 3600.0


def scores_in_corpus(corpus: Corpus, video: int, topic: str, logit: NDArray[np.float64]) -> VideoScores:
    """Scores of a video of a corpus, by its index."""
    silent = np.zeros(len(logit), bool)
    audio_mask = corpus.rows(video, "audio_mask").astype(bool) if "audio" in corpus.streams else silent
    span = corpus.rows(video, "span").astype(np.float64)
    return VideoScores.of_logits(corpus.ids[video].decode(), topic, span, logit, audio_mask)


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
        yield VideoScores.of_logits(shown(video.name), detector.topic, span, logits, audio_mask)
