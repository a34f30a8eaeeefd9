"""A raw video scored by a trained detector: decoded, its features computed, one score a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.media.extraction.matching import sidecar_of
from highlight_lit.media.extraction.sidecar import Sidecar
from highlight_lit.media.extractors import (
    AUDIO,
    VISUAL,
    AudioExtractor,
    VisualExtractor,
    audio_extractor,
    stream_of,
    visual_extractor,
)
from highlight_lit.media.extractors.library import PREFIXES, is_plain
from highlight_lit.media.features import extract_features
from highlight_lit.media.output.video_scores import VideoScores

if TYPE_CHECKING:
    from highlight_lit.inference.detector import Detector


def score_video(
    path: Path,
    detector: Detector,
    visual_weights: Path | None = None,
    audio_weights: Path | None = None,
    audio_pca: Path | None = None,
) -> VideoScores:
    """Decode a video, compute the features the detector was trained on, and score its clips.

    Args:
        path: The video.
        detector: Trained; it names its extractors.
        visual_weights, audio_weights, audio_pca: Files of the extractors that need them.

    Raises:
        InputError: Not a video, or the extractors' weights are not those of the training.
    """
    visual, audio = _extractors_of(detector, visual_weights, audio_weights, audio_pca)
    features = extract_features(path, visual, audio)
    audio_mask = np.zeros(len(features.span), bool) if features.audio_mask is None else features.audio_mask
    logit = detector.logits(features.visual, features.audio, audio_mask)
    try:
        sidecar = sidecar_of(path) or Sidecar()
    except (InputError, OSError):  # a name that leaves no room for a sidecar's
        sidecar = Sidecar()  # a title is a nicety here
    name = path.name.encode("utf-8", "replace").decode()
    scores = VideoScores.of_logits(name, detector.topic, features.span, logit, audio_mask)
    return replace(
        scores, title=sidecar.title, tags=sidecar.tags, duration=features.duration, loudness=features.loudness
    )


def _extractors_of(
    detector: Detector, visual_weights: Path | None, audio_weights: Path | None, audio_pca: Path | None
) -> tuple[VisualExtractor | None, AudioExtractor | None]:
    """The extractors of the detector's streams, refused where their versions differ."""
    streams = detector.streams
    for name, known in (("visual", VISUAL), ("audio", AUDIO)):
        if name in streams and streams[name].extractor not in known and not _of_library(name, streams[name].extractor):
            raise InputError(
                f"{detector.source}: trained on imported {name} features (extractor {streams[name].extractor!r}), which cannot "
                "be computed from a video here; expected a checkpoint of a training on what 'highlight-lit extract' made; this "
                "one scores features: highlight-lit score --features FILE ..., or --corpus DIR"
            )
    visual = visual_extractor(streams["visual"].extractor, visual_weights) if "visual" in streams else None
    audio = None
    if "audio" in streams:
        audio = audio_extractor(streams["audio"].extractor, audio_weights, audio_pca, ask=False)
    for name, extractor in (("visual", visual), ("audio", audio)):
        if extractor is not None:
            _check_same(name, stream_of(extractor), streams[name])
    return visual, audio


def _of_library(stream: str, extractor: str) -> bool:
    """Whether a checkpoint names an extractor of another library for a stream, by a name and not a path."""
    return extractor.partition(":")[0] in PREFIXES[stream] and is_plain(extractor)


def _check_same(name: str, ours: Stream, trained: Stream) -> None:
    if (ours.version, ours.width) != (trained.version, trained.width):
        raise InputError(
            f"{name} extractor {ours.extractor}: version {ours.version!r}, {ours.width} wide;"
            f" the checkpoint was trained on version {trained.version!r}, {trained.width} wide;"
            " extract its videos again and train on them, or give the weights it was trained with"
        )
