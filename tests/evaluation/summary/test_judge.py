"""A system judged by the F1 of its summaries: perfect and empty ones, and what annotators and chance reach on TVSum."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.importers import umt
from highlight_lit.data.video import Labels, Stream, Video
from highlight_lit.evaluation.judge import labelled_videos
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.evaluation.summary import judge


@pytest.fixture
def corpus(tmp_path: Path, make_video: Callable[..., Video]) -> Corpus:
    """Two videos of 40 and 20 s, each of scenes of 2 s that their features tell apart; a has two annotators, b one."""
    rng = np.random.default_rng(0)

    def video(name: str, clips: int, *chosen: list[int]) -> Video:
        scenes = np.eye(20, dtype=np.float32)[np.arange(clips) // 2]
        score = np.array([[clip in each for each in chosen] for clip in range(clips)], np.float32)
        span = np.stack([np.arange(clips), np.arange(1, clips + 1)], axis=1).astype(float)
        return make_video(name, clips, tags=("surf",), visual=scenes, audio=None, labels=Labels(span, score))

    videos = [video("a", 40, [4, 5, 10, 11, 30, 31], [4, 5]), video("b", 20, [2, 3])]
    rng.shuffle(videos)  # type: ignore[arg-type]
    write_corpus(tmp_path / "c", videos, {"visual": Stream(20, dtype="float32")}, name="c", clip_seconds=1.0,
                 benchmark="highlights")  # fmt: skip
    return Corpus(tmp_path / "c")


def scored(corpus: Corpus, **chosen: list[int]) -> dict[str, ClipScores]:
    return {
        name: ClipScores(
            span := corpus.rows(corpus.index(name), "span"), np.isin(np.arange(len(span)), clips) * 7.0 - 3
        )  # type: ignore[arg-type]
        for name, clips in chosen.items()
    }


def test_a_summary_is_worth_what_it_shares_with_each_annotators(corpus: Corpus) -> None:
    videos = labelled_videos(corpus, ["surf"])
    found = judge.judge_summaries(corpus, videos, scored(corpus, a=[4, 5, 10, 11, 30, 31], b=[2, 3]))
    assert found.videos["b"] == (1, 1)
    assert found.videos["a"] == pytest.approx(((1 + 2 * 2 / 8) / 2, 1))
    assert found.system == pytest.approx((np.mean([0.75, 1]), 1))
    assert found.annotators == pytest.approx(
        (np.mean([0.5, 1]), np.mean([0.5, 1]))
    )  # each against the others; b has one
    wrong = judge.judge_summaries(corpus, videos, scored(corpus, a=[0, 1], b=[0, 1]))
    assert wrong.system == (0, 0)
    assert 0 < found.chance.mean < 0.6
    assert found.chance == wrong.chance


def test_on_the_command_line(corpus: Corpus, tmp_path: Path, capsys: Any) -> None:
    lines = [
        f"{name},{clip},{clip + 1},{int(clip in (2, 3))}" for name, n in (("a", 40), ("b", 20)) for clip in range(n)
    ]
    (tmp_path / "s.csv").write_text("\n".join(["video,start,end,score", *lines, ""]))
    words = ["evaluate", "--scores", str(tmp_path / "s.csv"), "--corpus", str(corpus.root), "--draws", "3"]
    assert main(words) == 0
    assert "summary/f1" not in capsys.readouterr().out
    assert main([*words, "--summary"]) == 0
    said = capsys.readouterr().out
    assert "F1 of summaries of 15 % in percent on c" in said
    assert [line.split()[3] for line in said.splitlines() if "summary/f1" in line] == ["2", "2"]


def test_what_has_no_visual_features_or_lasts_for_ever_is_refused(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, scores = labelled_videos(corpus, ["surf"]), scored(corpus, a=[1], b=[1])
    with monkeypatch.context() as patch:
        patch.setattr(judge, "MAX_UNITS", 50)
        with pytest.raises(ValueError, match="video 'a': lasts 40 s, over 25 s"):
            judge.judge_summaries(corpus, videos, scores)
    corpus.streams = {}
    with pytest.raises(ValueError, match="no visual features; --summary needs them"):
        judge.judge_summaries(corpus, videos, scores)


def test_what_annotators_and_chance_reach_on_tvsum(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `test_summaries` finds in frames, over the segments of KTS on I3D's features of colour."""
    umt.import_corpus(shared_data / "umt/tvsum", tmp_path / "tvsum", report=lambda line: None)
    corpus, rows = Corpus(tmp_path / "tvsum"), Corpus.rows
    videos = labelled_videos(corpus, corpus.topics, "all")
    monkeypatch.setattr(
        Corpus, "rows", lambda self, video, name: rows(self, video, name)[:, : 1024 if name == "visual" else None]
    )
    rng = np.random.default_rng(0)
    scores = {v.id: ClipScores(v.span, rng.random(len(v.span))) for v in videos}
    found = judge.judge_summaries(corpus, videos, scores, draws=3)
    assert [100 * value for value in found.annotators] == pytest.approx([45.9, 75.9], abs=1)
    assert [100 * value for value in found.chance] == pytest.approx([42, 69], abs=4)
    assert [100 * value for value in found.system] == pytest.approx([42, 69], abs=5)
    assert len(found.videos) == 50
    assert math.isfinite(found.system.mean)
