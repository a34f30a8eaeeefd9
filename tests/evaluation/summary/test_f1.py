"""The measure of video summarization against brute force, and what it gives on TVSum's labels."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.data.importers.formats.foreign_hdf5 import foreign_hdf5
from highlight_lit.evaluation.summary.f1 import SHARE, f1, knapsack, summary_f1, summary_of
from highlight_lit.methods.representatives.kts import segments as kts

items = st.lists(st.tuples(st.floats(0, 10), st.integers(1, 9)), max_size=9)
lengths = st.lists(st.integers(1, 6), min_size=1, max_size=8)


def bounds(parts: list[int]) -> np.ndarray[Any, Any]:
    ends = np.cumsum(parts)
    return np.stack([ends - parts, ends], axis=1)


@given(items, st.integers(0, 40))
def test_the_knapsack_is_the_best_of_all_choices(given_items: list[tuple[float, int]], capacity: int) -> None:
    values, weights = (np.array([item[place] for item in given_items]) for place in (0, 1))
    chosen = knapsack(values, weights.astype(int), capacity)
    assert weights[chosen].sum() <= capacity
    choices = (np.array(choice, bool) for choice in itertools.product((False, True), repeat=len(given_items)))
    best = max(values[choice].sum() for choice in choices if weights[choice].sum() <= capacity)
    # Nine sums of numbers up to 10 in another order.
    assert values[chosen].sum() == pytest.approx(best, abs=9 * 10 * 9 * 2**-53)


@given(lengths, st.floats(0, 1), st.integers(0, 999))
def test_a_summary_is_the_best_set_of_whole_segments_within_its_length(
    parts: list[int], share: float, seed: int
) -> None:
    scores, segments = np.random.default_rng(seed).random(sum(parts)), bounds(parts)
    summary = summary_of(scores, segments, share)
    assert summary.sum() <= share * len(scores)
    whole = [summary[start:stop] for start, stop in segments]
    assert all(segment.all() or not segment.any() for segment in whole)
    mean = np.array([scores[start:stop].mean() for start, stop in segments])
    fitting = [
        sum(mean[list(choice)])
        for count in range(len(parts) + 1)
        for choice in itertools.combinations(range(len(parts)), count)
        if sum(parts[place] for place in choice) <= share * len(scores)
    ]
    assert mean[[bool(segment.any()) for segment in whole]].sum() == pytest.approx(max(fitting), abs=1e-12)


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 999))
def test_f1_is_that_of_precision_and_recall(frames: int, annotators: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    summary, theirs = rng.random(frames) < 0.5, rng.random((annotators, frames)) < 0.5
    for value, other in zip(f1(summary, theirs), theirs, strict=True):
        both = sum(a and b for a, b in zip(summary, other, strict=True))
        if both == 0:
            assert value == 0
        else:
            precision, recall = both / summary.sum(), both / other.sum()
            assert value == pytest.approx(2 * precision * recall / (precision + recall), rel=1e-12)


@given(lengths, st.integers(0, 999))
def test_mean_and_best_are_those_of_the_annotators_and_a_summary_of_oneself_is_perfect(
    parts: list[int], seed: int
) -> None:
    rng, segments = np.random.default_rng(seed), bounds(parts)
    scores, theirs = rng.random(sum(parts)), rng.random((3, sum(parts))) < 0.3
    own = summary_of(scores, segments, 0.5)
    found = summary_f1(own, [*theirs, own])
    each = f1(own, [*theirs, own])
    assert found == (each.mean(), each.max())
    assert found.best == (1.0 if own.any() else 0.0)


@pytest.mark.parametrize(
    ("scores", "segments", "says"),
    [
        ([0.1, 0.2], [[0, 1]], "from 0 to the 2 frames' end"),
        ([0.1, 0.2], [[0, 1], [0, 2]], "must follow each other"),
        ([0.1, 0.2], [[0, 1], [1, 1], [1, 2]], "must follow each other"),
        ([0.1, 0.2], [[0.0, 2.0]], "whole numbers"),
        ([0.1, -0.2], [[0, 2]], "finite and at least 0"),
        ([0.1, np.nan], [[0, 2]], "finite and at least 0"),
        ([], [[0, 0]], "n >= 1"),
    ],
)
def test_what_has_no_summary_is_refused(scores: Any, segments: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        summary_of(scores, segments, 1.0)


def tvsum(shared_data: Path) -> dict[str, np.ndarray[Any, Any]]:
    """(A, frames) the official scores of each video."""
    found = {}
    with foreign_hdf5(shared_data / "tvsum/ydata-tvsum50.mat", "TVSum") as file:
        table = file["tvsum50"]
        for row in range(50):
            name = file[table["video"][row, 0]][()].astype("<u2").tobytes().decode("utf-16-le")
            found[name] = file[table["user_anno"][row, 0]][()].astype(float)
    return found


def plain_summary(scores: np.ndarray[Any, Any], segments: np.ndarray[Any, Any]) -> float:
    """What the best summary is worth, by the textbook's recursion over lists."""
    best = [0.0] * (int(SHARE * len(scores)) + 1)
    for start, stop in segments.tolist():
        value, weight = float(scores[start:stop].mean()), stop - start
        for left in range(len(best) - 1, weight - 1, -1):
            best[left] = max(best[left], best[left - weight] + value)
    return best[-1]


def two_seconds(frames: int, clips: int) -> np.ndarray[Any, Any]:
    edges = np.append(np.rint(np.arange(clips) * frames / clips).astype(int), frames)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def test_on_tvsum_each_summary_is_as_good_as_the_textbooks(shared_data: Path) -> None:
    for name, scores in list(tvsum(shared_data).items())[::10]:
        frames = scores.shape[1]
        segments = two_seconds(frames, len(np.load(shared_data / f"umt/tvsum/video_features/{name}_rgb.npy")))
        for annotator in scores[:3]:
            summary = summary_of(annotator, segments)
            mean = np.add.reduceat(annotator, segments[:, 0]) / np.diff(segments, axis=1)[:, 0]
            assert mean[summary[segments[:, 0]]].sum() == pytest.approx(plain_summary(annotator, segments), rel=1e-12)


@pytest.mark.parametrize(
    ("penalty", "annotators", "chance"), [(None, (25.2, 54.9), (14.5, 30)), (0.3, (45.9, 75.9), (42, 69))]
)
def test_what_annotators_and_chance_reach_on_tvsum(
    shared_data: Path, penalty: float | None, annotators: tuple[float, float], chance: tuple[float, float]
) -> None:
    """Each annotator against the others, and random scores, over shots of 2 s or the segments of KTS.

    Published numbers are of the segments of KTS on GoogLeNet's features and the summaries made from them
    (eccv16_dataset_tvsum.h5), which are not at hand: they are not compared with these.
    """
    found, random, rng = [], [], np.random.default_rng(0)
    for name, scores in tvsum(shared_data).items():
        rows = np.load(shared_data / f"umt/tvsum/video_features/{name}_rgb.npy").astype(float)
        segments = two_seconds(scores.shape[1], len(rows))
        if penalty is not None:
            cuts = kts(rows / np.linalg.norm(rows, axis=1, keepdims=True), penalty)
            segments = np.array([(segments[start, 0], segments[stop - 1, 1]) for start, stop in cuts])
        theirs = np.stack([summary_of(each, segments) for each in scores])
        others = [f1(own, np.delete(theirs, place, axis=0)) for place, own in enumerate(theirs)]
        found.append((np.mean([of.mean() for of in others]), np.mean([of.max() for of in others])))
        random.append(
            summary_f1(
                summary_of(np.repeat(rng.random(-(-scores.shape[1] // 15)), 15)[: scores.shape[1]], segments), theirs
            )
        )
    assert 100 * np.mean(found, axis=0) == pytest.approx(annotators, abs=0.5)
    assert 100 * np.mean(random, axis=0) == pytest.approx(chance, abs=3)
