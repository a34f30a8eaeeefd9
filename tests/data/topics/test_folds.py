"""Cross-fitting: every video of a topic is evaluated on once, by a network that was not trained on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.topics.folds import cross_fitted, folds, parse_fold
from highlight_lit.errors import InputError


@given(st.sets(st.binary(min_size=1, max_size=8), min_size=2, max_size=40), st.integers(2, 5))
def test_folds_are_a_partition_of_equal_sizes_that_the_order_of_videos_does_not_change(ids: set[bytes], n: int) -> None:
    listed = sorted(ids)
    dealt = folds(listed, n)
    sizes = np.bincount(dealt, minlength=n + 1)[1:]
    assert sizes.max() - sizes.min() <= 1
    assert sizes.sum() == len(ids)
    backwards = folds(listed[::-1], n)
    assert dealt.tolist() == backwards[::-1].tolist()


def test_each_tagged_video_is_tested_on_in_one_fold_and_trained_on_in_the_others(corpus: Corpus) -> None:
    topic = corpus.topics[0]
    tagged = set(np.flatnonzero(corpus.tagged(topic)).tolist())
    tested: list[int] = []
    for number in (1, 2, 3):
        view = cross_fitted(corpus, topic, f"{number}/3")
        own = view.evaluation_videos(topic).tolist()
        positive, negative = view.weak_labels(topic, "duration", "lists")
        assert not {*positive.tolist(), *negative.tolist()} & set(own)
        tested += own
    assert sorted(tested) == sorted(tagged)
    assert len(tested) == len(tagged)


def test_the_corpus_itself_keeps_its_lists(corpus: Corpus) -> None:
    before = corpus.split.tolist()
    cross_fitted(corpus, corpus.topics[0], "1/2")
    assert corpus.split.tolist() == before


@pytest.mark.parametrize(
    "fold", ["", "1", "0/3", "4/3", "1/1", "1/1001", "a/b", "1/3/5", "-1/3", "1.0/3", "１/３", "01/3", "1/03"]
)
def test_what_is_no_fold_is_refused_in_a_line_that_shows_one(fold: str) -> None:
    with pytest.raises(InputError, match=r"data\.fold=.*: expected K/n .* such as 1/3"):
        parse_fold(fold)


def test_more_folds_than_videos_are_refused(corpus: Corpus) -> None:
    with pytest.raises(InputError, match=r"data\.fold=1/900: topic=.*: \d+ videos"):
        cross_fitted(corpus, corpus.topics[0], "1/900")
