"""The protocols: label rules, averages, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from highlight_lit.errors import InputError
from highlight_lit.evaluation.benchmarks import (
    COSUM,
    TVSUM,
    YOUTUBE_HIGHLIGHTS,
    LabelledVideo,
    above_median,
    agreed,
    for_labels,
    match_labels,
    measured,
    top_half,
)
from highlight_lit.evaluation.ranking import Floats
from tests.tolerance import FUNCTION, assert_near


def video(id: str, *columns: list[float], topic: str = "dog", seconds: float = 2.0) -> LabelledVideo:
    """A video of adjoining segments, scored by one column an annotator."""
    start = np.arange(len(columns[0])) * seconds
    span = np.stack([start, start + seconds], axis=1)
    return LabelledVideo(id, topic, float(span[-1, 1]), span, np.array(columns).T)


def test_only_a_match_of_1_is_a_highlight() -> None:
    assert match_labels(np.array([[-1.0], [0.0], [1.0]]))[:, 0].tolist() == [False, False, True]


def test_the_top_half_has_exactly_half_the_shots_and_takes_the_earlier_of_equal_ones() -> None:
    score = np.array([[1.0, 3.0], [2.0, 3.0], [2.0, 3.0], [2.0, 3.0], [5.0, 4.0]])
    assert top_half(score).T.tolist() == [
        [False, True, False, False, True],
        [True, False, False, False, True],
    ]
    long = np.random.default_rng(0).integers(1, 6, (301, 1)) * 1.0
    best = sorted(range(301), key=lambda shot: (-long[shot, 0], shot))[:150]
    assert set(np.flatnonzero(top_half(long))) == set(best)


def test_above_the_lower_median_is_strict() -> None:
    assert above_median(np.array([[1.0], [2.0], [3.0], [4.0]]))[:, 0].tolist() == [False, False, True, True]
    assert above_median(np.array([[1.0], [2.0], [2.0], [2.0]])).sum() == 0


def test_two_annotators_agree_on_a_cosum_highlight() -> None:
    assert agreed(np.array([[1, 0, 0], [1, 0, 1], [1, 1, 1]]) * 1.0).tolist() == [[False], [True], [True]]


def test_topics_count_the_same_whatever_their_number_of_videos() -> None:
    videos = [video("a", [1, -1]), video("b", [1, -1]), video("c", [1, -1], topic="surfing")]
    good, bad = np.array([1.0, 0.0]), np.array([0.0, 1.0])  # AP 1 and (0 + 1/2) / 2
    report = measured(YOUTUBE_HIGHLIGHTS, videos, {"a": good, "b": bad, "c": good})
    trapezoid = report.measures["youtube/trapezoid"]
    assert trapezoid.videos == {"dog": {"a": 1.0, "b": 0.25}, "surfing": {"c": 1.0}}
    assert trapezoid.topics == {"dog": 0.625, "surfing": 1.0}
    assert report.value == trapezoid.value == 0.8125
    assert report.measures["youtube/step"].topics["dog"] == 0.75


def test_a_video_without_a_highlight_counts_zero_or_is_left_out_and_is_counted() -> None:
    videos = [video("a", [1, -1]), video("none", [0, -1]), video("c", [-1, -1], topic="surfing")]
    scores = {v.id: np.array([1.0, 0.0]) for v in videos}
    zero = measured(YOUTUBE_HIGHLIGHTS, videos, scores)
    left_out = measured(YOUTUBE_HIGHLIGHTS, videos, scores, empty="leave_out")
    assert zero.measures["youtube/trapezoid"].topics == {"dog": 0.5, "surfing": 0.0}
    assert zero.value == 0.25
    assert left_out.value == left_out.measures["youtube/trapezoid"].topics["dog"] == 1.0
    for report in (zero, left_out):
        measure = report.measures["youtube/trapezoid"]
        assert (measure.labellings, measure.without_positive) == (3, 2)


def test_an_annotator_without_a_highlight_counts_zero_or_is_left_out_of_the_videos_mean() -> None:
    videos = [video("a", [1, 1, 1, 1], [1, 5, 1, 1])]
    scores = {"a": np.array([0.0, 1.0, 0.0, 0.0])}
    assert measured(TVSUM, videos, scores).measures["top5/umt"].value == 0.5
    report = measured(TVSUM, videos, scores, "leave_out").measures["top5/umt"]
    assert (report.value, report.labellings, report.without_positive) == (1.0, 2, 1)


def test_every_measure_of_tvsum_and_cosum_has_its_own_reading() -> None:
    shots = video("a", [5, 4, 1, 1, 1, 1, 1, 1], topic="VT")
    reversed_order = {"a": np.arange(8.0)}
    tvsum = measured(TVSUM, [shots], reversed_order)
    # The top half is shots 0..3, shot 3 is ranked fifth; above the median are 0 and 1 alone.
    assert_near(tvsum.measures["top5/mininet"].value, (0 + 1 / 5) / 2, 5, FUNCTION)
    assert tvsum.measures["top5/umt"].value == 0.0
    assert_near(tvsum.measures["ap5"].value, 1 / 5 / 4, 5, FUNCTION)
    chosen = video("a", [1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1], topic="surfing")
    cosum = measured(COSUM, [chosen], {"a": np.array([4.0, 3, 2, 1])})
    assert cosum.measures["cosum/step"].value == cosum.measures["cosum/ap5"].value == 0.5
    assert_near(cosum.value, ((0 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2, 5, FUNCTION)


def test_the_report_is_plain_json_and_csv_with_none_for_what_is_left_out() -> None:
    videos = [video("a", [1, -1]), video("none", [0, -1])]
    scores = {v.id: np.array([1.0, 0.0]) for v in videos}
    report = measured(YOUTUBE_HIGHLIGHTS, videos, scores, "leave_out")
    loaded = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    measure = loaded["measures"][loaded["primary"]]
    assert measure["videos"] == {"dog": {"a": 1.0, "none": None}}
    assert (measure["mean"], measure["n_videos"], measure["without_positive"]) == (1.0, 2, 1)
    rows = list(report.rows())
    assert rows[0] == {"measure": "youtube/trapezoid", "topic": "dog", "video": "a", "value": 1.0}
    assert rows[1]["value"] is None
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "video a .*no scores"),
        ({"a": np.zeros(3)}, "video a: expected 2 segment scores"),
        ({"a": np.zeros((2, 1))}, "video a: expected 2"),
        ({"a": np.array([0.0, np.nan])}, "video a: segment 1 scores NaN"),
    ],
)
def test_scores_that_do_not_fit_are_refused_by_name(scores: dict[str, Floats], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measured(YOUTUBE_HIGHLIGHTS, [video("a", [1, -1])], scores)


def test_no_video_and_one_video_twice_are_refused() -> None:
    with pytest.raises(InputError, match="no labelled video"):
        measured(YOUTUBE_HIGHLIGHTS, [], {})
    with pytest.raises(InputError, match="video a: 2 times in topic dog"):
        measured(YOUTUBE_HIGHLIGHTS, [video("a", [1])] * 2, {"a": np.zeros(1)})


@pytest.mark.parametrize(
    ("span", "score"),
    [
        (np.zeros((0, 2)), np.zeros((0, 1))),
        (np.zeros((2, 3)), np.zeros((2, 1))),
        (np.zeros((2, 2)), np.zeros((3, 1))),
        (np.zeros((2, 2)), np.zeros((2, 0))),
        (np.zeros((2, 2)), np.zeros(2)),
        (np.zeros((2, 2)), np.full((2, 1), np.nan)),
    ],
)
def test_labels_that_make_no_sense_are_refused_with_the_videos_name(span: Floats, score: Floats) -> None:
    with pytest.raises(InputError, match="video odd"):
        LabelledVideo("odd", "dog", 4.0, span, score)


def test_a_corpus_finds_its_benchmark_by_name_or_by_its_annotators() -> None:
    assert for_labels("cosum", 20) is COSUM
    assert [for_labels(None, n).name for n in (1, 2, 3, 20)] == [
        "youtube-highlights",
        "tvsum",
        "cosum",
        "tvsum",
    ]
    with pytest.raises(InputError, match="expected one of youtube-highlights, tvsum, cosum"):
        for_labels("TVSum", 20)
