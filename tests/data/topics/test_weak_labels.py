"""Who is positive for a topic, by each rule, and which lists are trained on."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.data.topics.weak_labels import duration_rule, tag_rule, training_set


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 1e4)), min_size=1))
def test_no_video_is_both_positive_and_negative(videos: list[tuple[bool, float]]) -> None:
    tagged, duration = np.array([t for t, _ in videos]), np.array([d for _, d in videos])
    label = duration_rule(tagged, duration)
    assert ((label == 1) == (tagged & (duration < 60))).all()
    assert ((label == -1) == (~tagged & (duration > 60))).all()
    assert (tag_rule(tagged, duration) == np.where(tagged, 1, -1)).all()


def test_a_corpus_without_lists_trains_on_all_of_it() -> None:
    assert training_set(np.array(["", ""]), "lists").all()
    assert training_set(np.array(["train", "val"]), "lists").tolist() == [True, False]
    assert training_set(np.array(["train", "val"]), "transductive").all()
