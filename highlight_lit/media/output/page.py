"""One page that shows a scored video: self-contained, loads nothing, treats every text as text."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.files import open_regular, same_file, write_text
from highlight_lit.media.output.scores_writing import facts
from highlight_lit.media.output.segments import Segment
from highlight_lit.media.output.video_scores import VideoScores
from highlight_lit.text import shown

# What every browser plays goes in as it is, if it is not too large; anything else is encoded again, within the size.
_AS_IT_IS = {"mp4": ({"h264"}, {"aac", "mp3float", "mp3"}), "webm": ({"vp8", "vp9"}, {"opus", "libopus", "vorbis"})}
_LARGEST = 40 << 20
_PREVIEW_HEIGHT = 360


def write_page(path: Path, video: Path | None, scores: VideoScores, highlights: Sequence[Segment]) -> None:
    """Write the page.

    Args:
        path: The new file.
        video: Put into the page, encoded again if browsers do not play it or it is over 40 MB; None: a curve alone.
        scores: Its scores.
        highlights: Its chosen segments.

    Raises:
        InputError: The video cannot be read or the page not written.
    """
    kind, content = ("", b"") if video is None else _playable(video, scores.duration)
    data: dict[str, Any] = {
        **{key: _plain(value) for key, value in facts(scores, highlights).items()},
        "spans": np.round(scores.span, 3).tolist(),
        "curve": np.round(scores.within, 4).tolist(),
        "scores": np.round(scores.score.astype(float), 6).tolist(),
        "levels": np.round(scores.loudness.ravel().astype(float), 1).tolist(),
        "kind": kind,
    }
    for highlight, segment in zip(data["highlights"], highlights, strict=True):
        highlight["within"] = round(scores.mean_within(segment.start, segment.end), 4)
    template = files("highlight_lit.media.output").joinpath("page.html").read_text(encoding="utf-8")
    script = template.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Each placeholder occurs once and is filled in one pass: no text can bring another.
    parts = {
        "@POLICY@": f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; media-src blob:",
        "@TITLE@": html.escape(shown(scores.title or scores.video)),
        "@DATA@": _inert_json(data),
        "@VIDEO@": base64.b64encode(content).decode(),
    }
    text, rest = "", template
    for name, value in parts.items():
        before, rest = rest.split(name, 1)
        text += before + value
    write_text(path, text + rest)


def _plain(value: Any) -> Any:
    """A fact, whose texts are each one line."""
    return shown(value) if isinstance(value, str) else list(map(_plain, value)) if isinstance(value, list) else value


def _inert_json(value: Any) -> str:
    """JSON that HTML reads as text whatever is in it: no <, > or & stands in it as itself."""
    dumped = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return dumped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _playable(video: Path, duration: float) -> tuple[str, bytes]:
    """A media type and bytes that browsers play."""
    from highlight_lit.media.io.decode import Source  # PyAV, which a curve alone does not need
    from highlight_lit.media.output.reel import cut_reel

    container = {".mp4": "mp4", ".m4v": "mp4", ".webm": "webm"}.get(video.suffix.lower())
    with open_regular(video, "a video") as file:
        with Source(Path(same_file(file))) as source:  # what is put into the page is what was looked at
            codec = source.video.codec_context.name
            audio = None if source.audio is None else source.audio.codec_context.name
            plain = source.video.format is not None and source.video.format.name in ("yuv420p", "yuvj420p")
        if container is not None and plain and file.seek(0, io.SEEK_END) <= _LARGEST:
            known_video, known_audio = _AS_IT_IS[container]
            if codec.removeprefix("lib") in known_video and (audio is None or audio in known_audio):
                file.seek(0)
                return f"video/{container}", file.read(_LARGEST)
    with tempfile.TemporaryDirectory() as folder:
        preview = Path(folder) / "preview.mp4"
        most = max(60_000, int(_LARGEST * 8 * 0.8 / max(duration, 1.0)))
        quality = {"crf": "27", "maxrate": str(most), "bufsize": str(2 * most), "g": "30"}
        with Source(video) as source:
            pace = min(source.rate, Fraction(30) if duration < 3600 else Fraction(12))
        cut_reel(video, [Segment(0.0, duration)], preview, height=_PREVIEW_HEIGHT, rate=pace, quality=quality)
        return "video/mp4", preview.read_bytes()
