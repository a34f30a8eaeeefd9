"""Scores of one video as json and csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from highlight_lit.evaluation.scores_csv import LOGIT, write_csv
from highlight_lit.files import write_json
from highlight_lit.media.output.segments import Segment
from highlight_lit.media.output.video_scores import VideoScores

FORMAT = "highlight-lit scores"
VERSION = 1
NUMBERS, VIDEO = ("start", "end", "score"), "video"


def write_scores_json(path: Path, scores: VideoScores, highlights: Sequence[Segment]) -> None:
    """Write scores and highlights as json: seconds, p in [0, 1], loudness in dB."""
    clips = [
        {
            "start": round(float(start), 3),
            "end": round(float(end), 3),
            "score": round(float(p), 6),
            LOGIT: round(float(z), 4),
            "audio_mask": bool(audio_mask),
            "level_db": [round(float(each), 1) for each in loudness],
        }
        for (start, end), p, z, audio_mask, loudness in zip(
            scores.span, scores.score, scores.logit, scores.audio_mask, scores.loudness, strict=True
        )
    ]
    write_json(path, {"format": FORMAT, "version": VERSION, **facts(scores, highlights), "clips": clips})


def facts(scores: VideoScores, highlights: Sequence[Segment]) -> dict[str, Any]:
    """A video's name, title, tags, topic, duration and highlights, ready for JSON."""
    return {
        VIDEO: scores.video,
        "title": scores.title,
        "tags": list(scores.tags),
        "topic": scores.topic,
        "duration": round(scores.duration, 3),
        "highlights": [
            {"start": round(segment.start, 3), "end": round(segment.end, 3), "score": round(segment.score, 6)}
            for segment in highlights
        ],
    }


def write_scores_csv(path: Path, scores: VideoScores) -> None:
    """Write one line a clip: start, end, score, logit, audio_mask. Numbers alone: a spreadsheet finds no formula in it."""
    rows = (
        (f"{start:.3f}", f"{end:.3f}", f"{p:.6f}", f"{z:.4f}", int(audio_mask))
        for (start, end), p, z, audio_mask in zip(
            scores.span, scores.score, scores.logit, scores.audio_mask, strict=True
        )
    )
    write_csv(path, (*NUMBERS, LOGIT, "audio_mask"), rows)
