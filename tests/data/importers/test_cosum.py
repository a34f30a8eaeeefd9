"""CoSum's official labels: three judges' choices among shots."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.importers import cosum
from tests.data.importers import tried
from tests.tolerance import FUNCTION, assert_near

load = partial(tried.load, cosum)
refused = partial(tried.refused, cosum)


def choose(source: Path, judge: str, shots: Any, video: int = 1) -> None:
    folder = source / "annotation/01_base_jump"
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.array([[shot, 1] for shot in shots], np.uint8).reshape(-1, 2)
    scipy.io.savemat(folder / f"{video}__{judge}.mat", {"labels": labels})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """One video of four shots that last 1, 2, 1 and 1 seconds at 30 frames a second."""
    root = tmp_path / "source"
    (root / "shots/01_base_jump").mkdir(parents=True)
    (root / "shots/01_base_jump/base1_shots.txt").write_text("1\n31\n91\n121\n151")
    for judge, shots in (("x", [1, 2]), ("y", [2]), ("z", [4])):
        choose(root, judge, shots)
    return root


def test_a_shot_scores_one_for_each_judge_who_chose_it(source: Path) -> None:
    corpus, _ = load(source)
    labels = corpus.labels(0)
    assert labels is not None
    assert labels.score.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert (corpus.topics, corpus.manifest["benchmark"]) == (("base_jump",), "cosum")
    assert corpus.ids.tolist() == [b"base1"]


def test_without_rates_the_spans_are_nominal_and_both_report_and_manifest_say_so(source: Path) -> None:
    corpus, lines = load(source)
    labels = corpus.labels(0)
    assert labels is not None
    assert_near(labels.span, [[0, 1], [1, 3], [3, 4], [4, 5]], FUNCTION)
    assert corpus.manifest["clock"] == "nominal"
    assert "not seconds" in lines[0]


def test_given_rates_make_seconds(source: Path) -> None:
    (source / "fps.csv").write_text("id,fps\nbase1,15\n")
    corpus, lines = load(source, fps=source / "fps.csv")
    labels = corpus.labels(0)
    assert labels is not None
    assert_near(labels.span, [[0, 2], [2, 6], [6, 8], [8, 10]], FUNCTION)
    assert (corpus.manifest["clock"], corpus.duration[0], len(lines)) == ("exact", 10, 1)


def test_rates_that_lack_a_video_are_refused(source: Path) -> None:
    (source / "fps.csv").write_text("id,fps\nother,15\n")
    assert "fps.csv: 1 videos have no frame rate: base1" in refused(source, fps=source / "fps.csv")


def test_rates_of_no_video_are_counted(source: Path) -> None:
    (source / "fps.csv").write_text("id,fps\nbase1,15\nother,15\n")
    _, lines = load(source, fps=source / "fps.csv")
    assert lines[0] == f"{source / 'fps.csv'}: 1 of 2 frame rates are of no video here: other"


def test_what_is_no_file_is_refused_and_never_waited_for(source: Path) -> None:
    judge = next(source.glob("annotation/*/*.mat"))
    judge.unlink()
    os.mkfifo(judge)
    assert f"{judge}: a pipe; expected a judge's choice of shots" in refused(source)
    shots = next(source.glob("shots/*/*.txt"))
    shots.unlink()
    shots.symlink_to("/dev/zero")
    assert f"{shots}: a device; expected a list of frame numbers" in refused(source)


def test_a_shot_one_past_the_last_is_dropped_and_reported(source: Path) -> None:
    choose(source, "x", [2, 5])
    corpus, lines = load(source)
    labels = corpus.labels(0)
    assert labels is not None
    assert labels.score[:, 0].tolist() == [0, 1, 0, 0]
    assert "1__x.mat: video 'base1': labels: shot 5 lies past the last of 4 and is dropped" in lines[1]


@given(st.sets(st.integers(1, 4)))
def test_any_choice_of_shots_is_kept(tmp_path_factory: pytest.TempPathFactory, shots: set[int]) -> None:
    source = tmp_path_factory.mktemp("choice")
    choose(source, "x", sorted(shots))
    score = cosum._chosen(source / "annotation/01_base_jump/1__x.mat", "base1", 4, print)
    assert set(np.flatnonzero(score) + 1) == shots


@pytest.mark.parametrize("shots", [[0], [6], [2, 200]])
def test_a_shot_that_does_not_exist_is_refused(source: Path, shots: list[int]) -> None:
    choose(source, "y", shots)
    assert "1__y.mat: video 'base1': labels: a shot that is not a whole number from 1 to 4" in refused(source)


def test_judges_other_than_three_are_refused(source: Path) -> None:
    choose(source, "fourth", [1])
    assert "video 'base1': 4 annotation files, expected one of 3 judges" in refused(source)


@pytest.mark.parametrize("text", ["", "1", "1 5 5", "9 3", "0 5", "1 two", "1 2.5", "é", "1 1_0", "1 \uff15"])
def test_boundaries_that_do_not_rise_are_refused(source: Path, text: str) -> None:
    path = source / "shots/01_base_jump/base1_shots.txt"
    path.write_text(text)
    assert refused(source).startswith(f"{path}: video 'base1': ")


def test_a_file_that_is_missing_cut_off_or_without_the_matrix_is_refused(source: Path, tmp_path: Path) -> None:
    assert "no shots/TOPIC/NAME_shots.txt" in refused(tmp_path / "nothing")
    path = source / "annotation/01_base_jump/1__x.mat"
    whole = path.read_bytes()
    path.write_bytes(whole[:150])
    assert f"{path}: video 'base1': labels: truncated" in refused(source)
    path.write_bytes(b"")
    assert f"{path}: video 'base1': labels" in refused(source)
    scipy.io.savemat(path, {"other": 1})
    assert f"{path}: video 'base1': labels" in refused(source)
    scipy.io.savemat(path, {"labels": "words"})
    assert "expected a matrix of two columns" in refused(source)


def test_the_real_corpus_has_fifty_one_videos_and_five_files_that_point_past_the_end(
    shared_data: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    cosum.import_corpus(shared_data / "cosum", tmp_path / "out", report=lines.append)
    corpus = Corpus(tmp_path / "out")
    assert (len(corpus), len(corpus.topics)) == (51, 10)
    assert sum("is dropped" in line for line in lines) == 5
    for index in range(len(corpus)):
        labels = corpus.labels(index)
        assert labels is not None
        assert labels.score.shape == (len(labels.span), 3)
        assert labels.score.any()
