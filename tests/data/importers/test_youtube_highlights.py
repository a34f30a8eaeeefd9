"""The official labels of YouTube Highlights: frames become seconds, lists become splits."""

from __future__ import annotations

import json
import os
import unicodedata
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.importers import youtube_highlights
from highlight_lit.data.importers.youtube_highlights import RATES, estimated_rate
from tests.data.importers import tried
from tests.tolerance import FUNCTION, assert_near

load = partial(tried.load, youtube_highlights)
refused = partial(tried.refused, youtube_highlights)

CLIPS = [[0.0, 100.0], [50.0, 150.0], [100.0, 200.0]]


def as_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def add(topic: Path, name: str, length: Any = 9) -> None:
    as_json(topic / name / "match_label.json", [CLIPS, [-1, 0, 1]])
    as_json(topic / name / "info.json", ["dog", None, [], length, "channel", f"Title of {name}", "", None])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two topics: `a` and `b` (25 frames a second) to train on, `c` to test on, `d` on no list."""
    root = tmp_path / "source"
    for topic, name in (("dog", "a"), ("dog", "c"), ("ski", "b"), ("ski", "d")):
        add(root / topic, name)
    as_json(root / "dog/vlist.json", [[["a"], "TraiTightL"], [["x"], "TraiLooseL"], [["c"], "TestLooseL"]])
    as_json(root / "ski/vlist.json", [[["b"], "TraiTightL"], [[], "TestTightL"]])
    return root


def test_labels_titles_and_official_lists_come_over(source: Path) -> None:
    corpus, lines = load(source)
    assert [name.decode() for name in corpus.ids] == ["a", "c", "b", "d"]
    assert corpus.split.tolist() == ["train", "test", "train", ""]
    assert (corpus.topics, corpus.streams) == (("dog", "ski"), {})
    assert corpus.manifest["benchmark"] == "youtube-highlights"
    assert corpus.locate(0)[0].title(0) == "Title of a"
    labels = corpus.labels(0)
    assert labels is not None
    assert labels.score[:, 0].tolist() == [-1, 0, 1]
    assert "1 listed videos have no labels: x" in lines[0]
    assert "1 videos are on no list: d" in lines[1]
    assert "4 videos are estimated" in lines[2]


def test_without_rates_the_length_in_whole_seconds_decides_and_the_manifest_says_so(source: Path) -> None:
    corpus, _ = load(source)
    labels = corpus.labels(0)
    assert labels is not None
    assert_near(labels.span, np.array(CLIPS) / 25, FUNCTION)
    assert corpus.duration[0] == 9
    assert corpus.manifest["clock"] == "estimated"


def test_given_rates_count_whether_as_csv_or_in_umts_annotations(source: Path) -> None:
    table = source.parent / "fps.csv"
    table.write_text("id,fps\na,20\nb,20\nc,20\nd,20\n")
    corpus, lines = load(source, fps=table)
    labels = corpus.labels(0)
    assert labels is not None
    assert_near(labels.span, np.array(CLIPS) / 20, FUNCTION)
    assert corpus.manifest["clock"] == "exact"
    assert not any("estimated" in line for line in lines)
    other = source.parent / "json"
    partial = as_json(source.parent / "anno.json", {"a": {"fps": 20.0, "frames": "200"}})
    youtube_highlights.import_corpus(source, other, fps=partial, report=lines.append)
    again = Corpus(other).labels(0)
    assert again is not None
    np.testing.assert_array_equal(again.span, labels.span)
    assert Corpus(other).manifest["clock"] == "estimated"
    assert any("3 videos are estimated" in line for line in lines)


@given(st.sampled_from(RATES), st.integers(150, 20000), st.integers(0, 8))
def test_an_estimated_rate_ends_the_last_clip_in_the_same_second_as_the_true_one(
    fps: float, last: int, trailing: int
) -> None:
    length = int(np.ceil((last + trailing) / fps))
    rate = estimated_rate(last, length)
    assert length - 1 <= (last + 10) / rate
    assert last / rate <= length


@given(st.integers(100, 20000), st.integers(1, 900))
def test_an_estimated_rate_always_ends_within_the_video(last: int, length: int) -> None:
    assert last / estimated_rate(last, length) <= length


@pytest.mark.parametrize(
    ("file", "value", "expected"),
    [
        (
            "dog/vlist.json",
            [[["a"], "TraiTightL"], [["a"], "TestTightL"]],
            "video 'a': on a training and on a test list",
        ),
        ("dog/vlist.json", [[["a"], "ValL"]], "expected pairs"),
        ("dog/vlist.json", {"a": 1}, "expected pairs"),
        ("dog/a/match_label.json", [CLIPS, [1]], "video 'a': labels: expected rows of 3"),
        ("dog/a/match_label.json", [[], []], "video 'a': clips: expected rows of 2"),
        ("dog/a/match_label.json", {}, "video 'a': clips: expected rows of 2"),
        ("dog/a/info.json", [1, 2], "video 'a': expected a list with the length"),
        ("dog/a/info.json", [0, 0, 0, "long", 0, ""], "video 'a': length: 'long'"),
    ],
)
def test_a_file_of_another_form_is_refused(source: Path, file: str, value: Any, expected: str) -> None:
    line = refused(source) if as_json(source / file, value) else ""
    assert line.startswith(str(source / file))
    assert expected in line


def test_a_missing_file_or_folder_is_refused(source: Path, tmp_path: Path) -> None:
    assert "no TOPIC/vlist.json" in refused(tmp_path / "nothing")
    (source / "dog/a/info.json").unlink()
    assert f"{source / 'dog/a/info.json'}: no such file" in refused(source)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,rate\na,25\n", "columns id, rate: expected id, fps"),
        ("id,fps\na,0\n", "video 'a': fps: '0'"),
        ("id,fps\na,25\na,25\n", "line 3: video 'a': id: occurs twice"),
        ("id,fps\na\n", "line 2: 1 fields, expected 2"),
        ("", "expected id, fps"),
    ],
)
def test_rates_that_cannot_be_used_are_refused(source: Path, text: str, expected: str) -> None:
    table = source.parent / "fps.csv"
    table.write_text(text)
    assert expected in refused(source, fps=table)


def test_a_rate_that_is_there_in_two_unicode_forms_is_refused(source: Path) -> None:
    (source.parent / "fps.json").write_text('{"\\u00e9": {"fps": 25}, "e\\u0301": {"fps": 50}}')
    assert "there twice, in two Unicode forms" in refused(source, fps=source.parent / "fps.json")


def test_real_labels_equal_umts_and_estimated_seconds_stay_near_theirs(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "youtube_highlights"
    youtube_highlights.import_corpus(folder, tmp_path / "out", report=lambda line: None)
    corpus = Corpus(tmp_path / "out")
    assert len(corpus) == 365
    assert (corpus.split == "").sum() == 0
    umt = json.loads((shared_data / "umt/youtube/youtube_anno.json").read_text())
    apart = []
    for name, entry in umt.items():
        index = corpus.index(name)
        assert index is not None
        labels = corpus.labels(index)
        assert labels is not None
        assert labels.score[:, 0].tolist() == entry["match"]
        apart.append(abs(labels.span[-1, 1] - entry["clip"][-1][1] / entry["fps"]))
    assert np.median(apart) < 0.01
    assert np.quantile(apart, 0.95) < 0.3
    assert np.quantile(apart, 0.99) < 0.51


def test_frame_rates_of_no_video_are_counted_and_names_are_compared_in_one_unicode_form(source: Path) -> None:
    add(source / "dog", unicodedata.normalize("NFD", "é"))
    rates = source.parent / "fps.csv"
    rates.write_text("id,fps\n" + "".join(f"{name},25\n" for name in ("a", "b", "c", "d", "é", "A", "e")))
    corpus, lines = load(source, fps=rates)
    assert corpus.manifest["clock"] == "exact"
    assert f"{rates}: 2 of 7 frame rates are of no video here: A, e" in lines
    assert corpus.index("é") is not None


@pytest.mark.parametrize("name", ["dog/vlist.json", "dog/a/info.json", "dog/a/match_label.json"])
def test_what_is_no_file_is_refused_and_never_waited_for(source: Path, name: str) -> None:
    (source / name).unlink()
    if name.endswith("match_label.json"):
        (source / name).symlink_to("/dev/zero")
        corpus, _ = load(source)  # no video has labels there
        assert corpus.index("a") is None
    else:
        os.mkfifo(source / name)
        assert f"{source / name}: a pipe; expected" in refused(source)


def test_labels_that_float32_does_not_tell_apart_are_counted(source: Path) -> None:
    as_json(source / "dog/a/match_label.json", [CLIPS, [-1, 16777216, 16777217]])
    assert "1 videos have labels that differ by less than float32 holds, and tie" in load(source)[1][-2]


def test_a_segment_that_is_labelled_twice_is_refused(source: Path) -> None:
    """It would count twice."""
    as_json(source / "dog/a/match_label.json", [[*CLIPS[:2], CLIPS[1]], [-1, 0, 1]])
    assert "video 'a': labels.span: rows 1 and 2 both last from" in refused(source)
