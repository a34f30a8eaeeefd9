"""What goes into a reel: the best seconds, in pieces that can be watched, of exactly the length asked for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from highlight_lit.errors import InputError
from highlight_lit.media.output.segments import Segment, best_clips, choose_segments
from highlight_lit.media.output.snapping import snap_to_shots
from tests.tolerance import FUNCTION, assert_near, rounding


def allowed(chosen: list[bool], shortest: int, gap: int) -> bool:
    runs = [(inside, len(list(group))) for inside, group in itertools.groupby(chosen)]
    long_enough = all(length >= shortest for inside, length in runs if inside)
    return long_enough and all(length >= gap for inside, length in runs[1:-1] if not inside)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=10), st.integers(1, 10), st.integers(1, 4), st.integers(1, 3))
def test_best_clips_are_the_best_of_all_allowed_choices(score, count, shortest, gap):
    values, count = np.array(score, float), min(count, len(score))
    chosen = best_clips(values, count, shortest, gap)
    shortest = min(shortest, count)
    rivals = (
        sum(values[list(some)])
        for some in itertools.combinations(range(len(values)), count)
        if allowed([clip in some for clip in range(len(values))], shortest, gap)
    )
    assert chosen.sum() == count
    assert allowed(chosen.tolist(), shortest, gap)
    assert values[chosen].sum() == max(rivals)  # whole numbers, exact


@st.composite
def videos(draw):
    clips = draw(st.integers(1, 60))
    score = np.array(draw(st.lists(st.floats(0, 1), min_size=clips, max_size=clips)))
    start = np.arange(clips, dtype=float)
    tail = draw(st.floats(0.5, 1.0))
    return score, np.stack([start, np.append(start[1:], start[-1] + tail)], axis=1)


def check(segments: list[Segment], seconds: float, end: float) -> None:
    apart = rounding(4 * len(segments), scale=70.0)
    assert sum(each.length for each in segments) == pytest.approx(min(seconds, end), rel=0, abs=apart)
    assert all(0 <= each.start < each.end <= end + apart for each in segments)
    assert all(one.end <= other.start + apart for one, other in itertools.pairwise(segments))


@settings(max_examples=150, deadline=None)
@given(videos(), st.floats(0.3, 70), st.floats(0.5, 6), st.floats(0, 4), st.lists(st.floats(0, 60), max_size=20))
@example((np.zeros(2), np.array([[0.0, 1.0], [1.0, 2.0]])), 1.0, 1.0, 0.0, [1.0 + 1e-10])  # a shot just past its end
@example((np.zeros(2), np.array([[0.0, 1.0], [1.0, 2.0]])), 2.0 - 1e-10, 1.0, 0.0, [])  # nearly the whole video
def test_segments_last_as_long_as_asked_lie_in_the_video_and_do_not_overlap(video, seconds, shortest, gap, shots):
    score, span = video
    end = float(span[-1, 1])
    segments = choose_segments(score, span, seconds, shortest, gap)
    check(segments, seconds, end)
    check(snap_to_shots(segments, shots, min(seconds, end), shortest, end), seconds, end)


def spans(clips: int) -> np.ndarray:
    return np.stack([np.arange(clips), np.arange(clips) + 1], axis=1).astype(float)


def test_segments_are_at_least_as_long_as_asked():
    score = np.zeros(40)
    score[[5, 20, 33]] = 1
    segments = choose_segments(score, spans(40), 12, shortest=4, gap=2)
    assert [each.length >= 4 for each in segments] == [True, True, True]
    assert all(any(each.start <= clip < each.end for each in segments) for clip in (5, 20, 33))


def test_segments_that_are_close_become_one():
    score = np.zeros(30)
    score[[8, 9, 10, 12, 13, 14]] = 1
    assert [(s.start, s.end) for s in choose_segments(score, spans(30), 7, shortest=3, gap=2)] == [(8, 15)]
    assert len(choose_segments(score, spans(30), 6, shortest=3, gap=1)) == 2


def test_a_reel_longer_than_the_video_is_the_video():
    assert [(s.start, s.end) for s in choose_segments(np.ones(5), spans(5), 30)] == [(0, 5)]


def test_the_mean_score_of_a_segment_is_told():
    score = np.array([0, 0, 0.5, 0.7, 0.9, 0, 0])
    assert_near(choose_segments(score, spans(7), 3)[0].score, 0.7, 3, FUNCTION)


@pytest.mark.parametrize("seconds", [0, -3, float("nan"), float("inf")])
def test_a_length_that_is_none_is_refused(seconds):
    with pytest.raises(InputError, match="--seconds"):
        choose_segments(np.ones(5), spans(5), seconds)


def test_clips_of_next_to_no_length_are_chosen_from_as_others():
    span = np.stack([np.arange(9.0), np.arange(1.0, 10.0)], axis=1)
    (best,) = choose_segments(np.arange(9), span * 1e-310, 3e-310, 3.0)
    assert (best.start, best.score) == (6e-310, 7.0)
