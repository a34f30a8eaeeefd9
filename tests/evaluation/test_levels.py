"""Chance, the middle and the annotators: by construction, and on the public labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from highlight_lit.errors import InputError
from highlight_lit.evaluation.benchmarks import (
    BENCHMARKS,
    COSUM,
    TVSUM,
    YOUTUBE_HIGHLIGHTS,
    LabelledVideo,
    measured,
)
from highlight_lit.evaluation.levels import annotators, chance, middle
from tests.tolerance import FUNCTION, assert_near, rounding

POINTS = 0.5 / 100  # the known levels were found by drawing orders, and written down to a tenth of a point
FRAMES_A_SECOND = 30  # of no consequence: chance and the middle depend on proportions alone


def random_video(id: str, topic: str = "dog", segments: int = 12, judges: int = 3) -> LabelledVideo:
    rng = np.random.default_rng(int(id))
    start = np.arange(segments) * 2.0
    score = rng.integers(0, 2, (segments, judges)) * 1.0
    return LabelledVideo(id, topic, 2.0 * segments, np.stack([start, start + 2], axis=1), score)


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_chance_is_what_random_scores_reach_on_average(benchmark: Any) -> None:
    videos = [random_video("1"), random_video("2", segments=4), random_video("3", topic="surfing")]
    rng = np.random.default_rng(0)
    reports = [measured(benchmark, videos, {v.id: rng.random(len(v.span)) for v in videos}) for _ in range(400)]
    level = chance(benchmark, videos, draws=2000)
    exact = rounding(400, 12)  # where every order has the same value
    for name, measure in level.measures.items():
        values = np.array([report.measures[name].value for report in reports])
        assert measure.overall.mean == pytest.approx(values.mean(), abs=5 * values.std() / 20 + exact)
        assert measure.overall.std == pytest.approx(values.std(), rel=0.2)  # 5 / sqrt(2 400)
        dog = np.array([report.measures[name].topics["dog"] for report in reports])
        assert measure.topics["dog"].mean == pytest.approx(dog.mean(), abs=5 * dog.std() / 20 + exact)


def test_chance_repeats_with_its_seed_and_in_a_topic_does_not_depend_on_the_others() -> None:
    videos = [random_video("1"), random_video("2"), random_video("3", topic="surfing")]
    whole, again = chance(COSUM, videos), chance(COSUM, videos[::-1])
    alone, other = chance(COSUM, videos[:2]), chance(COSUM, videos, seed=1)
    for name in whole.measures:
        assert whole.measures[name].topics["dog"] == alone.measures[name].topics["dog"]
        assert_near(whole.measures[name].overall.std, again.measures[name].overall.std, 3, FUNCTION)
        assert whole.measures[name].overall.std != other.measures[name].overall.std
        assert whole.measures[name].overall.mean == other.measures[name].overall.mean
    json.dumps(whole.to_dict(), allow_nan=False)


def test_chance_treats_a_video_without_a_highlight_as_told() -> None:
    span = np.array([[0.0, 2.0], [2.0, 4.0]])
    videos = [
        LabelledVideo("a", "dog", 4.0, span, np.ones((2, 1))),
        LabelledVideo("b", "dog", 4.0, span, np.zeros((2, 1))),
    ]
    assert chance(YOUTUBE_HIGHLIGHTS, videos).value == 0.5
    assert chance(YOUTUBE_HIGHLIGHTS, videos, empty="leave_out").value == 1.0
    nothing = chance(YOUTUBE_HIGHLIGHTS, videos[1:], empty="leave_out").to_dict()
    assert nothing["measures"]["youtube/step"]["mean"] is None
    with pytest.raises(InputError, match="draws"):
        chance(YOUTUBE_HIGHLIGHTS, videos, draws=1)


def test_the_middle_ranks_from_the_middle_outwards_with_ties_on_either_side() -> None:
    start = np.arange(5) * 0.1
    labels = [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]]
    videos = [
        LabelledVideo(str(i), str(i), 0.5, np.stack([start, start + 0.1], axis=1), np.array([label]).T * 1.0)
        for i, label in enumerate(labels)
    ]
    topics = middle(YOUTUBE_HIGHLIGHTS, videos).measures["youtube/step"].topics
    assert_near([topics["0"], topics["1"], topics["2"]], [1, 1 / 3, 1 / 3], 5)


def test_one_annotators_own_labels_and_the_agreed_shots_of_three_rank_perfectly() -> None:
    assert annotators(YOUTUBE_HIGHLIGHTS, [random_video("1", judges=1)]).value == 1.0
    report = annotators(COSUM, [random_video("1"), random_video("2")])
    assert {measure.value for measure in report.measures.values()} == {1.0}


# The public labels.


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def tvsum(shared_data: Path) -> dict[str, LabelledVideo]:
    """TVSum as UMT lays it out: each of 20 annotators' scores of shots of 2 s."""
    videos = {}
    for id, entry in read(shared_data / "umt/tvsum/tvsum_anno.json").items():
        score = np.array(entry["anno"], np.float32)
        start = np.arange(len(score)) * 2.0
        span = np.stack([start, start + 2], axis=1)
        videos[id] = LabelledVideo(id, entry["domain"], 2.0 * len(score), span, score)
    return videos


@pytest.fixture
def youtube(shared_data: Path) -> list[LabelledVideo]:
    """Every labelled video of the topics at hand, from the official labels."""
    videos = []
    for path in sorted((shared_data / "youtube_highlights").glob("*/*/match_label.json")):
        span, match = (np.array(part, np.float64) for part in read(path))
        seconds = span / FRAMES_A_SECOND
        id, topic = path.parent.name, path.parent.parent.name
        videos.append(LabelledVideo(id, topic, float(seconds.max()), seconds, match[:, None]))
    return videos


@pytest.mark.parametrize(
    ("name", "random", "ceiling"),
    [("top5/mininet", 57.3, 89.3), ("top5/umt", 41.5, 80.9), ("ap5", 36.1, 81.5)],
)
def test_tvsum_has_its_known_levels(tvsum: dict[str, LabelledVideo], name: str, random: float, ceiling: float) -> None:
    videos = list(tvsum.values())
    assert len(videos) == 50
    assert chance(TVSUM, videos, draws=2).measures[name].overall.mean == pytest.approx(random / 100, abs=POINTS)
    assert annotators(TVSUM, videos).measures[name].value == pytest.approx(ceiling / 100, abs=POINTS)


def test_the_ten_validation_videos_of_tvsum_have_their_known_levels(
    tvsum: dict[str, LabelledVideo], shared_data: Path
) -> None:
    lists = read(shared_data / "umt/splits.json")["tvsum"].values()
    videos = [tvsum[id] for lists_of_topic in lists for id in lists_of_topic["val"]]
    assert len(videos) == 10
    level = chance(TVSUM, videos, draws=2).measures["top5/umt"].overall.mean
    assert level == pytest.approx(0.422, abs=POINTS)
    assert annotators(TVSUM, videos).measures["top5/umt"].value == pytest.approx(0.845, abs=POINTS)


def test_one_annotator_of_tvsum_finds_no_shot_above_the_median(tvsum: dict[str, LabelledVideo]) -> None:
    report = annotators(TVSUM, list(tvsum.values())).measures
    assert (report["top5/umt"].labellings, report["top5/umt"].without_positive) == (1000, 1)
    assert report["top5/mininet"].without_positive == 0


def test_youtube_highlights_has_its_known_chance_and_a_middle_above_it(youtube: list[LabelledVideo]) -> None:
    known = {"dog": 0.467, "gymnastics": 0.545, "parkour": 0.470, "skiing": 0.518}
    level = chance(YOUTUBE_HIGHLIGHTS, youtube).measures["youtube/trapezoid"]
    assert {topic: spread.mean for topic, spread in level.topics.items()} == pytest.approx(known, abs=POINTS)
    assert 0.002 < level.overall.std < 0.02
    assert middle(YOUTUBE_HIGHLIGHTS, youtube).value > level.overall.mean + 3 * level.overall.std


def test_the_validation_lists_of_youtube_highlights_have_their_known_chance(
    youtube: list[LabelledVideo], shared_data: Path
) -> None:
    """Over every listed video; over those alone that UMT has features of, chance is 55.0."""
    lists = read(shared_data / "umt/splits.json")["youtube"]
    listed = [v for v in youtube if v.id in lists[v.topic]["val"]]
    with_features = read(shared_data / "umt/youtube/youtube_anno.json")
    assert len(listed) == 114
    assert chance(YOUTUBE_HIGHLIGHTS, listed, draws=2).value == pytest.approx(0.533, abs=POINTS)
    at_hand = [v for v in listed if v.id in with_features]
    assert len(at_hand) == 104
    assert chance(YOUTUBE_HIGHLIGHTS, at_hand, draws=2).value == pytest.approx(0.550, abs=POINTS)
