"""Corpora whose videos are hard in one way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.video import Labels, Stream, Video


def labelled_video(
    name: str, topic: str, rows: np.ndarray, seconds: float, split: str, *, with_audio: bool = True
) -> Video:
    """A video of these clips, every third of them a highlight."""
    clips = len(rows)
    edges = np.linspace(0.0, seconds, clips + 1)
    span = np.stack([edges[:-1], edges[1:]], 1)
    label = np.where(np.arange(clips) % 3 == 0, 1.0, -1.0).astype(np.float32)[:, None]
    audio = rows[:, :3] if with_audio else None
    return Video(name, seconds, (topic,), span, rows, audio, split=split, labels=Labels(span, label))


@pytest.fixture
def labelled() -> Callable[..., Video]:
    return labelled_video


@pytest.fixture
def hard(tmp_path: Path) -> Callable[[str], Corpus]:
    """Make a corpus of two topics whose videos to evaluate are hard in one way."""

    def make(kind: str) -> Corpus:
        rng = np.random.default_rng(0)
        videos = []
        for topic in ("dog", "surf"):
            train = 1 if kind == "one training video" else 3
            for number in range(train):
                for seconds in (30.0, 90.0):
                    name = f"{topic}-train-{number}-{seconds:.0f}"
                    videos.append(
                        labelled_video(name, topic, rng.normal(size=(int(seconds) // 3, 6)), seconds, "train")
                    )
            rows = {
                "one clip": rng.normal(size=(1, 6)),
                "identical clips": np.tile(rng.normal(size=6), (9, 1)),
                "zeros": np.zeros((9, 6)),
            }.get(kind, rng.normal(size=(9, 6)))
            videos.append(labelled_video(f"{topic}-val", topic, rows, 27.0, "val", with_audio=kind != "no audio"))
        if kind == "all zeros":
            videos = [labelled_video(v.id, v.tags[0], np.zeros_like(v.visual), v.duration, v.split) for v in videos]
        root = tmp_path / kind.replace(" ", "_")
        write_corpus(root, videos, {"visual": Stream(6), "audio": Stream(3)}, name=kind, clip_seconds=3.0)
        return Corpus(root)

    return make
