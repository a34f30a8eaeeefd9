"""What is planted is there, and neither stream alone gives it away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.synthetic import SCALES, Plan, Planted, synthesize
from highlight_lit.errors import InputError
from highlight_lit.evaluation.judge import judge
from highlight_lit.evaluation.scores import ClipScores


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Corpus]:
    root = tmp_path_factory.mktemp("synthetic") / "c"
    plan = Plan(topics=3, videos=30, annotators=1, rank=6)
    synthesize(root, plan)
    return plan, Corpus(root)


def test_the_planted_form_ranks_the_highlights_and_has_the_rank_asked_for(planted: tuple[Plan, Corpus]) -> None:
    plan, corpus = planted
    truth = Planted(plan)
    scores = {}
    for topic in range(plan.topics):
        assert np.linalg.matrix_rank(truth.relation[topic]) == plan.rank
        for video in corpus.evaluation_videos(corpus.topics[topic]):
            # The planted bilinear form x' M_t' y of each clip: the best there is without the cues.
            x, y = (
                ((corpus.rows(int(video), name) - np.float64(offset)) / factor) @ truth.basis[name][:, : plan.rank]
                for name, (factor, offset) in SCALES.items()
            )
            form = (x @ truth.relation[topic].T * y).sum(1)
            scores[corpus.ids[video].decode()] = ClipScores(corpus.rows(int(video), "span"), form)
    judgement = judge(corpus, corpus.topics, scores, draws=20)
    assert judgement.report.value > 0.8 > 0.4 > judgement.chance.value


def test_the_hidden_signs_of_one_stream_do_not_tell_highlights_apart(planted: tuple[Plan, Corpus]) -> None:
    plan, corpus = planted
    truth = Planted(plan)
    for name in ("visual", "audio"):
        rows, positive = [], []
        for video in range(plan.videos):
            labels = corpus.labels(video)
            assert labels is not None
            rows.append(corpus.rows(video, name).astype(np.float64) @ truth.basis[name][:, : plan.rank])
            positive.append(labels.score[:, 0] > 0)
        stacked, highlight = np.concatenate(rows), np.concatenate(positive)
        gap = stacked[highlight].mean(0) - stacked[~highlight].mean(0)
        assert np.abs(gap / stacked.std(0)).max() < 0.2


def test_half_the_videos_last_under_a_minute_and_highlights_come_in_runs(planted: tuple[Plan, Corpus]) -> None:
    _, corpus = planted
    assert (corpus.duration < 60).mean() == 0.5
    assert (corpus.duration != 60).all()
    labels = corpus.labels(1)
    assert labels is not None
    assert 1 <= np.abs(np.diff(labels.score[:, 0] > 0)).sum() < len(labels.score) / 4


@pytest.mark.parametrize(("annotators", "benchmark"), [(1, "youtube-highlights"), (3, "cosum"), (20, "tvsum")])
def test_annotators_give_the_shape_of_a_benchmark(tmp_path: Path, annotators: int, benchmark: str) -> None:
    synthesize(tmp_path / "c", Plan(topics=2, videos=4, annotators=annotators, rank=2, Dv=8, Da=6))
    corpus = Corpus(tmp_path / "c")
    labels = corpus.labels(0)
    assert labels is not None
    assert labels.score.shape[1] == annotators
    assert corpus.manifest["benchmark"] == benchmark


def test_the_same_plan_gives_the_same_corpus_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        synthesize(tmp_path / name, Plan(topics=2, videos=4, rank=2, Dv=8, Da=6, seed=seed))
    a, b, c = (Corpus(tmp_path / name).rows(0, "visual") for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert a.shape != c.shape or not np.array_equal(a, c)


@pytest.mark.parametrize(
    "wrong", [{"topics": 1}, {"videos": 3}, {"annotators": 21}, {"rank": 0}, {"rank": 31}, {"seed": -1}]
)
def test_a_plan_out_of_range_is_refused_by_name(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"--{next(iter(wrong))} "):
        Plan(**wrong)
