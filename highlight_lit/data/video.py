"""A video as the data layer knows it: features of its clips, weak tags, and (for evaluation) labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPLITS = ("", "train", "val", "test")
STREAMS = ("visual", "audio")
MODALITIES = {"av": STREAMS, "visual": ("visual",), "audio": ("audio",)}  # the streams that are read, by name
MAX_SECONDS = 1e9  # of a video, thirty years: sums and means of its times are numbers too
MAX_CLIPS = 1 << 21  # of a video: each frame of 19 hours
MAX_ANNOTATORS = 1000  # of a video's labels; each is judged by alone
MAX_SEGMENTS = 1 << 21  # of a video's labels, and of all that are judged at once
MAX_LABELS = 1 << 22  # numbers of a video's labels: 20 annotators of each frame of two hours
MAX_LABEL = np.float64(np.finfo(np.float32).max)
MEND_FEATURES = "expected finite numbers: make its features again, or leave the video out"
# Of a type of floats: the types its bits are looked at as, and the bits of infinity and of the sign.
_BITS = {
    np.dtype(np.float16): (np.uint16, np.int16, 0x1F << 10, 1 << 15),
    np.dtype(np.float32): (np.uint32, np.int32, 0xFF << 23, 1 << 31),
    np.dtype(np.float64): (np.uint64, np.int64, 0x7FF << 52, 1 << 63),
}


@dataclass(frozen=True)
class Stream:
    """What one stream of features is.

    Attributes:
        width: Length of a clip's row (Dv or Da).
        extractor, version: What made it; a checkpoint refuses features of another extractor.
        dtype: As stored, `float16` or `float32`.
    """

    width: int
    extractor: str = "unknown"
    version: str = ""
    dtype: str = "float16"

    def overflow(self, rows: NDArray[np.floating[Any]]) -> str | None:
        """Which finite value of (T_n, D) rows the stored type cannot hold, in words; None if it holds all."""
        most = np.finfo(self.dtype).max
        if rows.size == 0 or max(rows.max(), -rows.min()) <= most:  # no copy, as `abs` makes
            return None
        clip, column = np.unravel_index(np.abs(rows).argmax(), rows.shape)
        return f"{float(rows[clip, column]):.4g} in clip {clip} is a value beyond the range of {self.dtype} (largest {most:.4g})"


@dataclass(frozen=True)
class Labels:
    """Annotators' scores of a video's segments: `span` (S, 2) in seconds, `score` (S, A). For evaluation alone.

    Scores are stored as float32; an importer may give them as its source has them.
    """

    span: NDArray[np.float64]
    score: NDArray[Any]

    @property
    def tied(self) -> bool:
        """Whether two numbers of an annotator differ, and are one in float32."""
        with np.errstate(over="ignore"):  # what is too large is refused elsewhere
            stored = self.score.astype(np.float32)
        columns = [] if self.score.dtype == stored.dtype else zip(stored.T, self.score.T, strict=True)
        return any(len(np.unique(one)) < len(np.unique(other)) for one, other in columns)

    def fault(self) -> str | None:
        """What is wrong with the labels, in words; None if nothing is."""
        if (fault := _span_fault(self.span)) is not None:
            return f"labels.span: {fault}"
        if len(self.span) > MAX_SEGMENTS:
            return f"labels.span: {len(self.span)} segments; expected at most {MAX_SEGMENTS} a video, a bound that cannot be raised"
        if self.score.ndim != 2 or len(self.score) != len(self.span) or self.score.shape[1] == 0:
            return f"labels.score: shape {self.score.shape}, expected ({len(self.span)}, annotators)"
        if self.score.shape[1] > MAX_ANNOTATORS or self.score.size > MAX_LABELS:
            bounds = (
                f"at most {MAX_ANNOTATORS} annotators and {MAX_LABELS} numbers a video, bounds that cannot be raised"
            )
            return f"labels.score: shape {self.score.shape}; expected {bounds}"
        if not ((self.score >= -MAX_LABEL) & (self.score <= MAX_LABEL)).all():
            return "labels.score: NaN or infinite, as float32 stores it; expected finite numbers"
        return None


@dataclass(frozen=True)
class Video:
    """One video as it goes into a shard.

    Attributes:
        id: Unique in its corpus, not empty.
        duration: Seconds, above 0.
        tags: The tags it was published with; topics are tags.
        span: (T_n, 2) start and end of each clip in seconds.
        visual: (T_n, Dv), or None in a corpus without visual features.
        audio: (T_n, Da), or None for a video without audio.
        audio_mask: (T_n,) True where a clip has audio; None means all of them if there is audio.
        split: One of `SPLITS`.
        labels: A benchmark's labels, if it has them.
    """

    id: str
    duration: float
    tags: tuple[str, ...]
    span: NDArray[np.float64]
    visual: NDArray[np.floating[Any]] | None = None
    audio: NDArray[np.floating[Any]] | None = None
    audio_mask: NDArray[np.bool_] | None = None
    title: str = ""
    split: str = ""
    labels: Labels | None = None

    def fault(self, streams: Mapping[str, Stream]) -> str | None:
        """What keeps the video out of a corpus with these streams, in words; None if nothing does."""
        if not self.id or "\0" in self.id:
            return "id: empty or with a zero byte"
        if self.id != self.id.strip():
            return "id: expected a name without blanks around it, which no table keeps"
        if not 0 < self.duration <= MAX_SECONDS:
            return f"duration: {self.duration} is not a number of seconds above 0, at most {MAX_SECONDS:g}"
        if self.split not in SPLITS:
            return f"split: {self.split!r} is none of {', '.join(map(repr, SPLITS))}"
        if streams and len(self.span) == 0:
            return "span: zero clips"
        if len(self.span) > MAX_CLIPS:
            return f"span: {len(self.span)} clips; expected at most {MAX_CLIPS} a video, a bound that cannot be raised"
        if (fault := _span_fault(self.span)) is not None:
            return f"span: {fault}"
        for name, stream in streams.items():
            rows = self.visual if name == "visual" else self.audio
            if rows is None:
                if name == "visual":
                    return "visual: missing, though the corpus has this stream"
                continue
            if rows.ndim != 2 or rows.shape != (len(self.span), stream.width):
                return f"{name}: shape {rows.shape}, expected ({len(self.span)}, {stream.width})"
            if not all_finite(rows):
                bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
                more = f" and {len(bad) - 1} more" * (len(bad) > 1)
                return f"{name}: NaN or infinite in clip {bad[0]}{more}; {MEND_FEATURES}"
            if (fault := stream.overflow(rows)) is not None:
                held = np.abs(rows).max() <= np.finfo("float32").max
                return f"{name}: {fault}" + "; float32 holds it (--dtype float32)" * bool(held)
        if self.audio_mask is not None and self.audio_mask.shape != (len(self.span),):
            return f"audio_mask: shape {self.audio_mask.shape}, expected ({len(self.span)},)"
        return None if self.labels is None else self.labels.fault()


def all_finite(values: NDArray[Any]) -> bool:
    """Whether no value is NaN or infinite; on float16 in a tenth of the time that `np.isfinite` takes.

    What is not finite has all bits of its exponent set. The bits rise with a value's size: those of positive ones as
    signed numbers; as unsigned ones all, with the negative above the positive. So one look is enough where none is
    negative, as after a ReLU.
    """
    if values.size == 0 or (known := _BITS.get(values.dtype)) is None:  # not those in another byte order
        return bool(np.isfinite(values).all())
    unsigned, signed, infinity, sign = known
    bits = values.view(unsigned)
    largest = bits.item(bits.argmax())  # `max` takes twice as long on the rows of a window
    if largest < infinity:
        return True
    bits = values.view(signed)
    return bool(largest < sign + infinity and bits.item(bits.argmax()) < infinity)


def median_length(spans: Iterable[NDArray[np.float64]]) -> float:
    """Median length in seconds over all spans, (n, 2) of each video: what a corpus' clips are said to last."""
    return round(float(np.median(np.concatenate([np.ptp(span, axis=1) for span in spans]))), 3)


def _span_fault(span: NDArray[np.float64]) -> str | None:
    if span.ndim != 2 or span.shape[1] != 2:
        return f"shape {span.shape}, expected (clips, 2)"
    if not ((span >= 0) & (span <= MAX_SECONDS)).all() or (span[:, 0] >= span[:, 1]).any():
        return f"a start that is negative, not finite or not before its end, or a time over {MAX_SECONDS:g} s"
    steps = np.diff(span[:, 0])
    if (steps < 0).any():
        return "starts go backwards"
    if not (steps == 0).any():
        return None
    order = np.lexsort(span.T[::-1])  # of clips that start together the ends may go up and down
    same = (np.diff(span[order], axis=0) == 0).all(axis=1)
    if not same.any():
        return None
    first, second = order[(at := int(np.argmax(same))) : at + 2]
    start, end = span[first]
    return f"rows {first} and {second} both last from {start:g} to {end:g} s; expected each once"
