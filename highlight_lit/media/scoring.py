"""Scores of one video's seconds by a trained detector, as a value, as json and as csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.files import read_json, write_json, write_text
from highlight_lit.media.extractors import (
    AUDIO,
    VISUAL,
    AudioExtractor,
    VisualExtractor,
    audio_extractor,
    stream_of,
    visual_extractor,
)
from highlight_lit.media.features import extract_features
from highlight_lit.media.matching import sidecar_of
from highlight_lit.media.segments import Segment
from highlight_lit.media.sidecar import Sidecar

if TYPE_CHECKING:
    from highlight_lit.training.detector import Detector

FORMAT = "highlight-lit scores"
VERSION = 1
_NUMBERS = ("start", "end", "score")
_LOGIT = "logit"


@dataclass(frozen=True)
class VideoScores:
    """A scored video.

    Attributes:
        video: File name.
        title, tags: From its sidecar, if there is one.
        topic: What the detector was trained for.
        duration: Seconds.
        span: (T, 2) seconds.
        score: (T,) p in [0, 1].
        logit: (T,) z, whose sigmoid p is: it still tells clips apart where p is 1 to the last digit.
        level: (T, n) loudness in dB relative to full scale, n times a clip.
        heard: (T,) whether a clip has sound.
    """

    video: str
    title: str
    tags: tuple[str, ...]
    topic: str
    duration: float
    span: NDArray[np.float64]
    score: NDArray[np.float32]
    logit: NDArray[np.float32]
    level: NDArray[np.float32]
    heard: NDArray[np.bool_]


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
    rows = {"visual": features.visual, "audio": features.audio}
    # As they would come out of a corpus: rounded the same.
    stored = {
        name: None if row is None else row.astype(detector.streams[name].dtype).astype(np.float32)
        for name, row in rows.items()
    }
    heard = np.zeros(len(features.span), bool) if features.heard is None else features.heard
    logit = detector.logits(stored["visual"], stored["audio"], heard)
    try:
        sidecar = sidecar_of(path) or Sidecar()
    except InputError:
        sidecar = Sidecar()  # a title is a nicety here
    return VideoScores(
        video=path.name.encode("utf-8", "replace").decode(),
        title=sidecar.title,
        tags=sidecar.tags,
        topic=detector.topic,
        duration=features.duration,
        span=features.span,
        score=expit(logit).astype(np.float32),
        logit=logit.astype(np.float32),
        level=features.level,
        heard=heard,
    )


def _extractors_of(
    detector: Detector, visual_weights: Path | None, audio_weights: Path | None, audio_pca: Path | None
) -> tuple[VisualExtractor | None, AudioExtractor | None]:
    """The extractors of the detector's streams, refused where their versions differ."""
    streams = detector.streams
    for name, known in (("visual", VISUAL), ("audio", AUDIO)):
        if name in streams and streams[name].extractor not in known:
            raise InputError(
                f"{detector.source}: trained on imported {name} features (extractor {streams[name].extractor!r}), which cannot "
                "be computed from a video here; expected a checkpoint of a training on what 'highlight-lit extract' made; this "
                "one scores videos of such a corpus: highlight-lit evaluate --checkpoint"
            )
    visual = visual_extractor(streams["visual"].extractor, visual_weights) if "visual" in streams else None
    audio = audio_extractor(streams["audio"].extractor, audio_weights, audio_pca) if "audio" in streams else None
    for name, extractor in (("visual", visual), ("audio", audio)):
        if extractor is not None:
            _check_same(name, stream_of(extractor), streams[name])
    return visual, audio


def _check_same(name: str, ours: Stream, trained: Stream) -> None:
    if (ours.version, ours.width) != (trained.version, trained.width):
        raise InputError(
            f"{name} extractor {ours.extractor}: version {ours.version!r}, {ours.width} wide;"
            f" the checkpoint was trained on version {trained.version!r}, {trained.width} wide;"
            " extract its videos again and train on them, or give the weights it was trained with"
        )


def write_scores_json(path: Path, scores: VideoScores, highlights: Sequence[Segment]) -> None:
    """Write scores and highlights as json: seconds, p in [0, 1], loudness in dB."""
    clips = [
        {
            "start": round(float(start), 3),
            "end": round(float(end), 3),
            "score": round(float(p), 6),
            _LOGIT: round(float(z), 4),
            "heard": bool(heard),
            "level_db": [round(float(level), 1) for level in levels],
        }
        for (start, end), p, z, heard, levels in zip(
            scores.span, scores.score, scores.logit, scores.heard, scores.level, strict=True
        )
    ]
    write_json(path, {"format": FORMAT, "version": VERSION, **facts(scores, highlights), "clips": clips})


def facts(scores: VideoScores, highlights: Sequence[Segment]) -> dict[str, Any]:
    """What is said of a video as a whole, ready for json."""
    return {
        "video": scores.video,
        "title": scores.title,
        "tags": list(scores.tags),
        "topic": scores.topic,
        "duration": round(scores.duration, 3),
        "highlights": [
            {"start": round(each.start, 3), "end": round(each.end, 3), "score": round(each.score, 6)}
            for each in highlights
        ],
    }


def write_scores_csv(path: Path, scores: VideoScores) -> None:
    """Write one line a clip: start, end, score, logit, heard."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_NUMBERS, _LOGIT, "heard"])
    for (start, end), p, z, heard in zip(scores.span, scores.score, scores.logit, scores.heard, strict=True):
        writer.writerow([f"{start:.3f}", f"{end:.3f}", f"{p:.6f}", f"{z:.4f}", int(heard)])
    write_text(path, text.getvalue())


def read_scores(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32] | None]:
    """Spans (T, 2), scores (T,) and, where it has them, logits (T,) of a file that `score` wrote or one of its form.

    Raises:
        InputError: Not such a file.
    """
    value = read_json(path, "scores written by 'highlight-lit score'")
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
        raise InputError(f"{path}: expected {FORMAT!r} version {VERSION}")
    clips = value.get("clips")
    clips = clips if isinstance(clips, list) and all(isinstance(clip, dict) for clip in clips) else []
    keys = [*_NUMBERS, *([_LOGIT] if clips and all(_LOGIT in clip for clip in clips) else [])]
    try:
        rows = np.array([[float(clip[key]) for key in keys] for clip in clips], np.float64).reshape(-1, len(keys))
    except (TypeError, KeyError, ValueError, OverflowError):
        rows = np.zeros((0, 3))
    span = rows[:, :2]
    rising = len(rows) > 0 and np.isfinite(rows).all() and (span[:, 0] < span[:, 1]).all() and span[0, 0] >= 0
    if not rising or (np.abs(span[1:, 0] - span[:-1, 1]) > 1e-3).any():
        raise InputError(f"{path}: clips: expected a list of start, end and score, one after the other")
    return span, rows[:, 2].astype(np.float32), rows[:, 3].astype(np.float32) if len(keys) > 3 else None
