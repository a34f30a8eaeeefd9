"""One video to the features of its clips: decoded once, in memory that does not grow with its frames or audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from highlight_lit.errors import InputError
from highlight_lit.media.extractors import AudioExtractor, VisualExtractor
from highlight_lit.media.io.audio_clips import RATE, AudioClip, AudioClips
from highlight_lit.media.io.bounds import SILENCE_DB
from highlight_lit.media.io.clips import FrameClips, clip_count, clip_spans
from highlight_lit.media.io.decode import Source

LOUDNESS_A_CLIP = 8
_SILENT = np.full(LOUDNESS_A_CLIP, SILENCE_DB, np.float32)


@dataclass(frozen=True)
class ExtractedFeatures:
    """The features of a video's clips.

    Attributes:
        duration: Seconds that were decoded: the longer of the two streams. Not what a header says.
        span: (T_n, 2) seconds.
        visual: (T_n, Dv), None if no visual extractor was asked for.
        audio: (T_n, Da), zeros where there is no audio; None for a video without any, or if none was asked for.
        audio_mask: (T_n,) whether at least half of the clip has audio; None for a video without any.
        loudness: (T_n, LOUDNESS_A_CLIP) dB relative to full scale, at least `SILENCE_DB`.
        damaged: Packets left out because they could not be decoded.
    """

    duration: float
    span: NDArray[np.float64]
    visual: NDArray[np.float32] | None
    audio: NDArray[np.float32] | None
    audio_mask: NDArray[np.bool_] | None
    loudness: NDArray[np.float32]
    damaged: int = 0


class _Rows:
    """Hands clips to an extractor in batches; keeps the rows."""

    def __init__(self, extractor: Callable[[NDArray[Any]], NDArray[np.float32]], batch: int) -> None:
        self._extractor, self._batch = extractor, batch
        self._waiting: list[NDArray[Any]] = []
        self._rows: list[NDArray[np.float32]] = []

    def add(self, clip: NDArray[Any]) -> None:
        self._waiting.append(clip)
        if len(self._waiting) == self._batch:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._rows.append(self._extractor(np.stack(self._waiting)))
            self._waiting.clear()

    def all(self) -> NDArray[np.float32]:
        self._flush()
        return np.concatenate(self._rows)


class _AudioRows:
    """Features, loudness and coverage of the audio, clip by clip; clips may be missing in between."""

    def __init__(self, extractor: AudioExtractor | None) -> None:
        self._rows = None if extractor is None else _Rows(extractor, extractor.batch)
        self._clips: list[tuple[int, int]] = []
        self._loudness: list[NDArray[np.float32]] = []

    def add(self, clip: AudioClip) -> None:
        self._clips.append((clip.index, clip.covered))
        if self._rows is not None:
            self._rows.add(clip.samples)
        power = np.square(clip.samples.reshape(LOUDNESS_A_CLIP, -1)).mean(1)
        self._loudness.append(np.maximum(SILENCE_DB, 10 * np.log10(power + 1e-10)).astype(np.float32))

    def all(
        self, span: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_] | None, NDArray[np.float32]]:
        """Audio rows, audio_mask and loudness of all T_n clips."""
        loudness = np.tile(_SILENT, (len(span), 1))
        audio_mask = np.zeros(len(span), bool)
        kept = [row for row, (clip, _) in enumerate(self._clips) if clip < len(span)]
        if not kept:
            return None, None, loudness
        index = np.array([self._clips[row][0] for row in kept])
        covered = np.array([self._clips[row][1] for row in kept])
        loudness[index] = np.stack(self._loudness)[kept]
        audio_mask[index] = covered >= 0.5 * RATE * (span[index, 1] - span[index, 0])
        if self._rows is None:
            return None, audio_mask, loudness
        rows = self._rows.all()
        audio = np.zeros((len(span), rows.shape[1]), np.float32)
        audio[index] = rows[kept]
        audio[~audio_mask] = 0
        return audio, audio_mask, loudness


def extract_features(
    path: Path, visual: VisualExtractor | None, audio: AudioExtractor | None, threads: int = 0
) -> ExtractedFeatures:
    """Decode a video and compute the features of its clips.

    Args:
        path: The video.
        visual, audio: The extractors; None for none.
        threads: Decoding threads, 0 for one a core.

    Raises:
        InputError: Not a video, no frame could be decoded, or it is cut off: it lasts much shorter than it states,
            and as a "short video" would be taken for a positive.
    """
    with Source(path, threads) as source:
        aspect = source.video.sample_aspect_ratio
        frames = None if visual is None else FrameClips(visual.frames, float(aspect) if aspect else 1.0)
        rows = None if visual is None else _Rows(visual, visual.batch)
        audio_clips, collected = AudioClips(), _AudioRows(audio)
        end, shown = 0.0, 0
        for piece in source.pieces():
            end = max(end, piece.end)
            if isinstance(piece.frame, av.VideoFrame):
                shown += 1
                if frames is not None and rows is not None:
                    for clip in frames.push(piece):
                        rows.add(clip)
            else:
                for audio_clip in audio_clips.push(piece):
                    collected.add(audio_clip)
        _check_whole(source, end, shown)
        for audio_clip in audio_clips.finish():
            collected.add(audio_clip)
        if frames is not None and rows is not None:
            for clip in frames.finish(end):
                rows.add(clip)
        span = clip_spans(end)
        audio_rows, audio_mask, loudness = collected.all(span)
        visual_rows = None if rows is None else rows.all()[: clip_count(end)]
        return ExtractedFeatures(end, span, visual_rows, audio_rows, audio_mask, loudness, source.damaged)


def _check_whole(source: Source, end: float, shown: int) -> None:
    if shown == 0:
        raise InputError(f"{source.path}: zero frames could be decoded")
    if end < 0.9 * source.stated - 2.0:
        raise InputError(
            f"{source.path}: cut off or damaged: {end:.1f} s of the {source.stated:.1f} s it states could be decoded"
        )
