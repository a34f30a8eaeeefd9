"""Scores of any system: how they are read, that they are those of the corpus' videos, and how segments take them over."""

from __future__ import annotations

import os
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.video import Labels, Video
from highlight_lit.errors import InputError
from highlight_lit.evaluation import to_segments as to_segments_module
from highlight_lit.evaluation.scores import ClipScores, matched
from highlight_lit.evaluation.scores_csv import read_scores, write_scores
from highlight_lit.evaluation.to_segments import to_segments
from tests.tolerance import FUNCTION, assert_near, rounding

HEADER = "video,start,end,score\n"


@pytest.fixture
def labelled(tmp_path: Path) -> Corpus:
    """Videos of 10 s, one with an accent in its name."""
    span = np.array([[0.0, 5.0], [5.0, 10.0]])
    labels = Labels(span, np.array([[1.0], [-1.0]], np.float32))
    videos = [Video(name, 10.0, ("dog",), np.empty((0, 2)), labels=labels) for name in ("a", "b", "café")]
    write_corpus(tmp_path / "corpus", videos, {}, name="c", clip_seconds=5.0)
    return Corpus(tmp_path / "corpus")


def clips(*ends: float) -> ClipScores:
    starts = [0.0, *ends[:-1]]
    return ClipScores(np.array([starts, ends]).T, np.arange(len(ends), dtype=float))


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_table_of_any_editor_is_read(tmp_path: Path, encoding: str, newline: str) -> None:
    text = "score, video ,start,end,note\n0.5,Übung,1,2,x\n-1e3,Übung,0,1,\n\n".replace("\n", newline)
    (tmp_path / "s.csv").write_bytes(text.encode(encoding))
    found = read_scores(tmp_path / "s.csv")
    assert list(found) == ["Übung"]
    assert found["Übung"].span.tolist() == [[0, 1], [1, 2]]
    assert found["Übung"].score.tolist() == [-1000, 0.5]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("video;start;end;score\na;0;1;1\n", "the file parts its columns by ';', expected commas"),
        ("video\tstart\tend\tscore\na\t0\t1\t1\n", r"by '\t', expected commas"),
        ("video,start,score\na,0,1\n", "expected video, start, end, score"),
        (HEADER, "no score; expected a line for each clip"),
        (HEADER + "a,0,1,nan\n", "line 2: expected finite numbers"),
        (HEADER + "a,0,1,1e309\n", "line 2: expected finite numbers"),
        (HEADER + "a,0,1,-inf\n", "line 2: expected finite numbers"),
        (HEADER + "a,2,1,0\n", "line 2: expected finite numbers with 0 <= start < end"),
        (HEADER + "a,-1,1,0\n", "line 2: expected finite numbers with 0 <= start < end"),
        (HEADER + "a,0,1\n", "line 2: 3 fields, expected 4"),
        (HEADER + "a,0,1,high\n", "line 2: expected finite numbers"),
        (HEADER + "a,0,1_0,1\n", "line 2: expected finite numbers"),
        (HEADER + "a,0,1,\u0661\n", "line 2: expected finite numbers"),
        ("video,start,end,score,logit\na,0,1,1,\n", "line 2: expected finite numbers"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    line = refused(lambda: read_scores(tmp_path / "s.csv"))
    assert line.startswith(str(tmp_path / "s.csv"))
    assert says in line


def test_a_clip_that_is_scored_twice_is_refused_and_clips_that_overlap_are_not(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(HEADER + "b,0,2,0\na,0,2,0.1\na,1,3,0.5\na,0,3,0.5\n")
    assert read_scores(path)["a"].span.tolist() == [[0, 2], [0, 3], [1, 3]]
    path.write_text(HEADER + "a,0,2,0.1\na,1,3,0.5\na,0.0,2.0,0.9\n")
    says = f"{path}: video 'a': the clip from 0.000 to 2.000 is scored twice; expected one score"
    assert refused(lambda: read_scores(path)) == says


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder"), (Path("/dev/zero"), "a device")):
        assert f"{path}: {kind}; expected csv with columns video" in refused(lambda path=path: read_scores(path))


@pytest.mark.parametrize("scale", [1e308, 1.7976931348623157e308, 5e-324, 1.0])
def test_scores_of_any_size_keep_their_order(tmp_path: Path, scale: float) -> None:
    write_scores(
        tmp_path / "s.csv", {"a": ClipScores(clips(2, 4, 6, 8, 10).span, scale * np.array([-1, 1, -1, 0, 1.0]))}
    )
    found = read_scores(tmp_path / "s.csv")["a"]
    segments = to_segments(found.span, found.score, [[2, 4], [0, 4], [6, 8], [0, 2], [4, 6], [3, 10]])
    assert np.isfinite(segments).all()
    assert segments[0] == scale and segments[3] == segments[4] == -scale and segments[2] == 0
    if scale >= 1:
        assert segments[3] < segments[1] < segments[0]
    assert np.abs(segments).max() <= scale


def test_a_network_is_written_with_its_logits_which_rank_where_p_ties(tmp_path: Path) -> None:
    z = np.array([40.0, 50.0])
    write_scores(tmp_path / "s.csv", {"a": ClipScores.of_logits(clips(1, 2).span, z)})
    assert (tmp_path / "s.csv").read_text().splitlines() == [
        "video,start,end,score,logit",
        "a,0.000,1.000,1.0,40.0",
        "a,1.000,2.000,1.0,50.0",
    ]
    found = read_scores(tmp_path / "s.csv")["a"]
    assert (found.score.tolist(), found.ranking.tolist()) == ([1, 1], [40, 50])


@pytest.mark.parametrize("step", [1e-4, 1 / 3, 1001 / 30000, 0.1, 5e-324])
def test_clips_of_any_length_are_read_back_as_they_were(tmp_path: Path, step: float) -> None:
    edges = np.arange(5) * step
    span = np.stack([edges[:-1], edges[1:]], 1)
    write_scores(tmp_path / "s.csv", {"a": ClipScores(span, np.arange(4.0))})
    assert (read_scores(tmp_path / "s.csv")["a"].span == span).all()


def test_another_system_is_written_and_ranked_by_its_scores(tmp_path: Path) -> None:
    write_scores(tmp_path / "s.csv", {"a": clips(1, 2)})
    assert (tmp_path / "s.csv").read_text().splitlines()[0] == "video,start,end,score"
    found = read_scores(tmp_path / "s.csv")["a"]
    assert found.logit is None
    assert found.ranking.tolist() == [0, 1]


def test_ids_are_those_of_the_corpus_in_any_unicode_form(labelled: Corpus) -> None:
    lines: list[str] = []
    scores = {"a": clips(5, 10), unicodedata.normalize("NFD", "café"): clips(5, 10), "elsewhere": clips(5, 10)}
    found = matched(scores, labelled, "s.csv", lines.append)
    assert set(found) == {"a", "café"}
    assert lines == [f"s.csv: 1 of 3 videos are not in {labelled.root} and are left out: elsewhere"]
    twice = {**scores, "café": clips(5, 10)}
    assert "'café': occurs twice" in refused(lambda: matched(twice, labelled, "s.csv", lines.append))


def test_scores_of_what_may_be_two_videos_are_refused_and_an_exact_id_is_taken(tmp_path: Path) -> None:
    span = np.array([[0.0, 10.0]])
    videos = [Video(name, 10.0, ("dog",), span) for name in ("\u1ed9", "\u00f4\u0323")]
    write_corpus(tmp_path / "corpus", videos, {}, name="c", clip_seconds=10.0)
    corpus = Corpus(tmp_path / "corpus")
    exact = {"\u00f4\u0323": clips(10)}
    assert matched(exact, corpus, "s.csv", print) == exact
    says = "s.csv: video 'o\\u0323\\u0302': ids in other Unicode forms: '\\u1ed9', '\\xf4\\u0323'; expected one of them"
    assert refused(lambda: matched({"o\u0323\u0302": clips(10)}, corpus, "s.csv", print)) == says


def test_scores_of_none_of_the_videos_are_refused_with_some_of_their_names(labelled: Corpus) -> None:
    scores = {f"x{i}.mp4": clips(5) for i in range(9)}
    line = refused(lambda: matched(scores, labelled, "s.csv", print))
    assert line == (
        f"s.csv: none of its 9 videos is in {labelled.root}: x0.mp4, x1.mp4, x2.mp4, x3.mp4, x4.mp4 and 4 more; "
        "expected ids as 'a'"
    )


@pytest.mark.parametrize("ends", [(5, 10, 15, 20), (100, 200, 300), (5, 10, 15, 1e6), (1e6,)])
def test_scores_past_a_videos_end_are_another_videos(labelled: Corpus, ends: tuple[float, ...]) -> None:
    line = refused(lambda: matched({"a": clips(5, 10), "b": clips(*ends)}, labelled, "s.csv", print))
    assert line.startswith("s.csv: video 'b': ")
    assert "past its end at 10.00 s" in line


@pytest.mark.parametrize("ends", [(5, 10), (5, 10, 11.5), (3, 6, 9), (4, 8, 12), (0.5, 1, 9.5, 10)])
def test_a_clip_that_ends_a_little_off_is_taken(labelled: Corpus, ends: tuple[float, ...]) -> None:
    lines: list[str] = []
    assert set(matched({"b": clips(*ends)}, labelled, "s.csv", lines.append)) == {"b"}
    assert lines == []


def test_scores_that_end_early_are_named(labelled: Corpus) -> None:
    lines: list[str] = []
    matched({"a": clips(1, 2, 3), "b": clips(5, 10)}, labelled, "s.csv", lines.append)
    assert len(lines) == 1
    assert "1 videos have seconds without a score, which get that of the nearest clip" in lines[0]
    assert lines[0].endswith(": a")


@pytest.mark.parametrize(("left_out", "told"), [([], 0), ([0], 1), ([4], 1), ([9], 0), ([3, 6], 1)])
def test_seconds_without_a_score_are_told_of(labelled: Corpus, left_out: list[int], told: int) -> None:
    """But for the last ones, which lengths in whole seconds leave out."""
    whole = clips(*range(1, 11))
    kept = np.delete(np.arange(10)[::-1], left_out)
    lines: list[str] = []
    matched({"b": ClipScores(whole.span[::-1][kept], whole.score[kept])}, labelled, "s.csv", lines.append)
    assert len(lines) == told


spans = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0.1, 5)).map(lambda s: (s[0], s[0] + s[1])), min_size=1, max_size=8
)


@given(spans, spans, st.randoms(use_true_random=False))
def test_segment_scores_are_means_weighted_by_seconds_of_overlap(
    clips: list[tuple[float, float]], segments: list[tuple[float, float]], random: object
) -> None:
    scores = [random.uniform(-3, 3) for _ in clips]  # type: ignore[attr-defined]
    for (start, end), value in zip(segments, to_segments(clips, scores, segments), strict=True):
        overlap = [max(0.0, min(end, b) - max(start, a)) for a, b in clips]
        if sum(overlap) > 0:
            mean = sum(w / sum(overlap) * s for w, s in zip(overlap, scores, strict=True))
            assert_near(value, mean, 3 * len(clips), FUNCTION, scale=6.0)  # scores, and their rise above the lowest
        else:
            distance = [abs(a + b - start - end) for a, b in clips]
            assert value in [
                s for s, d in zip(scores, distance, strict=True) if d <= min(distance) + rounding(4, scale=100.0)
            ]


@given(spans, spans, st.floats(-1e6, 1e6))
def test_equal_clip_scores_give_exactly_equal_segment_scores(
    clips: list[tuple[float, float]], segments: list[tuple[float, float]], score: float
) -> None:
    assert (to_segments(clips, [score] * len(clips), segments) == score).all()


def test_clips_and_segments_meet_in_seconds_and_not_by_index() -> None:
    """Clips of 0.96 s drift from segments of 1 s: by index, the last would be 4 s off."""
    clips = np.stack([np.arange(104) * 0.96, np.arange(1, 105) * 0.96], axis=1)
    segments = np.stack([np.arange(99), np.arange(1, 100)], axis=1)
    np.testing.assert_allclose(
        to_segments(clips, clips.mean(axis=1), segments), segments.mean(axis=1), atol=0.48
    )  # half a clip


def test_a_long_video_is_carried_over_as_its_parts_are() -> None:
    rng = np.random.default_rng(0)
    clips = np.stack([np.arange(4000) * 0.9, np.arange(4000) * 0.9 + 1.5], axis=1)
    segments, scores = np.stack([np.arange(3500), np.arange(1, 3501)], axis=1), rng.normal(size=4000)
    whole = to_segments(clips, scores, segments)
    np.testing.assert_array_equal(whole[2000:2100], to_segments(clips, scores, segments[2000:2100]))


@given(spans, spans, st.randoms(use_true_random=False))
def test_segments_of_hours_are_compared_with_the_clips_near_them_alone_to_the_same_end(
    clips: list[tuple[float, float]], segments: list[tuple[float, float]], random: object
) -> None:
    scores = [random.uniform(-3, 3) for _ in clips]  # type: ignore[attr-defined]
    whole = to_segments(clips, scores, segments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_segments_module, "MAX_OVERLAPS", 0)
        near = np.concatenate([to_segments(clips, scores, [each]) for each in segments])
        assert_near(to_segments(clips, scores, segments), whole, 3 * len(clips), FUNCTION, scale=6.0)
    assert_near(near, whole, 3 * len(clips), FUNCTION, scale=6.0)


def test_a_score_of_eleven_hours_is_carried_over_in_a_moment() -> None:
    start, half = np.arange(40_000.0), np.arange(80_000) / 2
    began = time.process_time()
    carried = to_segments(np.stack([start, start + 1], 1), start, np.stack([half, half + 0.5], 1))
    assert time.process_time() - began < 10  # 60 s and more where each is compared with each
    np.testing.assert_array_equal(carried, np.repeat(start, 2))


@pytest.mark.parametrize(
    ("clips", "scores"),
    [([], []), ([[0, 1]], [np.nan]), ([[0, 1]], [1.0, 2.0]), ([[0, np.inf]], [1.0]), ([0, 1], [1.0, 2.0])],
)
def test_clips_that_cannot_be_carried_over_are_refused(clips: list[object], scores: list[float]) -> None:
    with pytest.raises(InputError):
        to_segments(clips, scores, [[0.0, 1.0]])  # type: ignore[arg-type]
