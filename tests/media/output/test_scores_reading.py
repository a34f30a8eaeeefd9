"""Files of scores: read back as they were written, from any verb that writes them, and refused where they are of another."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
from highlight_lit.cli import main
from highlight_lit.errors import InputError
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.evaluation.scores_csv import write_scores
from highlight_lit.media.io import decode
from highlight_lit.media.io.bounds import MAX_SECONDS
from highlight_lit.media.output import scores_reading
from highlight_lit.media.output.scores_reading import check_same_video, read_video_scores
from highlight_lit.media.output.scores_writing import write_scores_csv, write_scores_json
from highlight_lit.media.output.segments import Segment
from highlight_lit.media.output.video_scores import VideoScores

VIDEO = Path("walk.mp4")
CLIP = {"start": 0, "end": 1, "score": 0.5}


def scores_of(clips: int, name: str = "walk.mp4") -> VideoScores:
    at = np.arange(clips, dtype=float)
    z = np.linspace(-3, 9, clips).astype(np.float32)
    p = (1 / (1 + np.exp(-z))).astype(np.float32)
    span, level = np.stack([at, at + 1], 1), np.full((clips, 8), -20, np.float32)
    return VideoScores(name, "=HYPERLINK(1)", ("a",), "dog", float(clips), span, p, z, level, np.ones(clips, bool))


@pytest.mark.parametrize("ending", ["json", "csv"])
def test_what_score_writes_is_read_back(tmp_path, ending):
    scores = scores_of(9)
    write_scores_json(tmp_path / "s.json", scores, [Segment(3, 6, 0.9)])
    write_scores_csv(tmp_path / "s.csv", scores)
    read = read_video_scores(tmp_path / f"s.{ending}", VIDEO)
    # Half of the last digit written, and a float32 rounding.
    np.testing.assert_allclose(read.span, scores.span, rtol=0, atol=0.501e-3)
    np.testing.assert_allclose(read.score, scores.score, rtol=0, atol=0.6e-6)
    np.testing.assert_allclose(read.logit, scores.logit, rtol=0, atol=0.6e-4)


def test_a_csv_for_people_holds_numbers_alone(tmp_path):
    write_scores_csv(tmp_path / "s.csv", scores_of(4))
    for row in csv.DictReader((tmp_path / "s.csv").open()):
        assert all(np.isfinite(float(cell)) for cell in row.values())


def test_one_video_of_what_train_and_evaluate_write_is_read(tmp_path):
    def clips(scale: float) -> ClipScores:
        return ClipScores(scores_of(5).span, scale * np.arange(5))

    path = tmp_path / "scores.csv"
    write_scores(path, {"walk": clips(1), "-run": clips(2), "=jump": clips(3)})
    np.testing.assert_allclose(read_video_scores(path, VIDEO).score, np.arange(5))  # named as the file is
    for name, scale in (("-run", 2), ("=jump", 3)):
        read = read_video_scores(path, VIDEO, name)
        np.testing.assert_allclose(read.score, scale * np.arange(5))
        assert (read.logit, read.video) == (None, name)
    with pytest.raises(InputError, match="--video-id is needed: it has the 3 videos walk, -run, =jump"):
        read_video_scores(path, Path("other.mp4"))
    with pytest.raises(InputError, match="--video-id hop: not among the 3 videos"):
        read_video_scores(path, VIDEO, "hop")
    write_scores(path, {"only": clips(1)})
    assert read_video_scores(path, VIDEO).video == "only"


def test_chapters_of_what_train_and_evaluate_write_name_p(tmp_path, walk):
    span, z = scores_of(6).span, np.array([-9.0, 7.31, 7.31, 7.31, -9, -9])
    write_scores(tmp_path / "s.csv", {"walk": ClipScores.of_logits(span, z)})
    assert reel(walk, "--scores", tmp_path / "s.csv", "--seconds", 3, "--chapters", "--out", tmp_path / "c.vtt") == 0
    assert "Highlight 1 (1.00)" in (tmp_path / "c.vtt").read_text()


def test_rows_of_a_csv_may_stand_in_any_order_and_with_a_byte_order_mark(tmp_path):
    (tmp_path / "s.csv").write_text("score,end,start\n3,3,2\n1,1,0\n2,2,1\n", encoding="utf-8-sig")
    assert read_video_scores(tmp_path / "s.csv", VIDEO).score.tolist() == [1, 2, 3]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_is_read_as_editors_save_it(tmp_path, encoding):
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"format": "highlight-lit scores", "version": 1, "clips": [CLIP]}), encoding=encoding)
    assert read_video_scores(path, VIDEO).score.tolist() == [0.5]


BAD_CLIPS: dict[str, tuple[Any, str]] = {
    "none": ([], "no clips"),
    "null": (None, "clips: expected a list"),
    "text": ("x", "clips: expected a list"),
    "a number in the list": ([1], "clips: expected a list"),
    "no score": ([{"start": 0, "end": 1}], r"clips\[0\]: score: missing"),
    "a word": ([{**CLIP, "score": "high"}], r"clips\[0\]: score: high; expected a number"),
    "a boolean": ([{**CLIP, "score": True}], r"clips\[0\]: score: True"),
    "too large": (
        [CLIP, {"start": 1, "end": 2, "score": 1e308}],
        r"clips\[1\]: score: 1e\+308; expected a number between",
    ),
    "larger than a float": ([{**CLIP, "score": 10**400}], r"clips\[0\]: score: 1000000000"),
    "not finite": ([{**CLIP, "score": float("nan")}], r"clips\[0\]: score: nan"),
    "infinite end": ([{**CLIP, "end": float("inf")}], r"clips\[0\]: end: inf"),
    "a logit that is none": ([{**CLIP, "logit": -1e9}], r"clips\[0\]: logit: -1000000000.0"),
    "ends before it starts": ([{**CLIP, "start": 2}], r"clips\[0\]: from 2 to 1 s; expected 0 <= start < end"),
    "before the video": ([{**CLIP, "start": -5}], r"clips\[0\]: from -5 to 1 s"),
    "after any video": ([{"start": 0, "end": 1e6, "score": 0}], r"clips\[0\]: from 0 to 1e\+06 s"),
    "twice": ([CLIP, CLIP], r"clips\[1\]: starts at 0 s; expected 1 s"),
}


@pytest.mark.parametrize("case", BAD_CLIPS)
def test_numbers_that_no_scores_have_are_one_line_that_names_the_clip(tmp_path, case):
    clips, says = BAD_CLIPS[case]
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"format": "highlight-lit scores", "version": 1, "clips": clips}))
    with pytest.raises(InputError, match=f"scores.json: {says}") as raised:
        read_video_scores(path, VIDEO)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300 + len(str(path))


@pytest.mark.parametrize(
    "value",
    [
        [],
        "x",
        {"format": "other", "version": 1, "clips": []},
        *({"format": "highlight-lit scores", "version": version, "clips": []} for version in (2, True, 1.0, None)),
    ],
)
def test_another_form_is_refused_and_the_way_to_the_right_one_named(tmp_path, value):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(value))
    with pytest.raises(
        InputError, match=r"scores.json: .*NAME\.scores\.json; scores of another system are read from a csv"
    ):
        read_video_scores(path, VIDEO)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("0,1,high", "line 2: score: high"),
        ("0,1,1_0", "line 2: score: 1_0"),
        ("0,1,\u0661", "line 2: score: \u0661"),
        ("0,1,1e400", "line 2: score: inf"),
        ("0,1,nan", "line 2: score: nan"),
        (f"0,1,{'9' * 5000}", "line 2: score: inf"),
        ("-1,1,0", "line 2: from -1 to 1"),
        ("0,1", "line 2: 2 fields"),
    ],
)  # fmt: skip
def test_bad_rows_of_a_csv_are_one_line_that_names_theirs(tmp_path, row, says):
    (tmp_path / "s.csv").write_text(f"start,end,score\n{row}\n")
    with pytest.raises(InputError, match=f"s.csv: {says}"):
        read_video_scores(tmp_path / "s.csv", VIDEO)


def test_a_number_of_thousands_of_digits_is_one_line(tmp_path):
    path = tmp_path / "s.json"
    path.write_text('{"format": "highlight-lit scores", "version": 1, "clips": [{"start": ' + "9" * 5000 + "}]}")
    with pytest.raises(InputError, match="s.json") as raised:
        read_video_scores(path, VIDEO)
    assert "\n" not in str(raised.value)


def test_clips_videos_and_bytes_are_bounded(tmp_path, monkeypatch):
    clips = [{"start": at, "end": at + 1, "score": 0} for at in range(MAX_SECONDS + 1)]
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"format": "highlight-lit scores", "version": 1, "clips": clips}))
    with pytest.raises(InputError, match=f"s.json: .*{MAX_SECONDS}"):
        read_video_scores(path, VIDEO)
    monkeypatch.setattr(scores_reading, "MAX_JSON_BYTES", 1 << 20)
    with pytest.raises(InputError, match="s.json: over 1 MiB"):
        read_video_scores(path, VIDEO)
    monkeypatch.setattr(scores_reading, "MAX_VIDEOS", 2)
    (tmp_path / "s.csv").write_text("video,start,end,score\n" + "".join(f"v{n},0,1,0\n" for n in range(3)))
    with pytest.raises(InputError, match=r"s.csv: over 2 videos"):
        read_video_scores(tmp_path / "s.csv", VIDEO)


def written(folder: Path, seconds: int, **fields: Any) -> Path:
    clips = [{"start": at, "end": at + 1, "score": at % 3} for at in range(seconds)]
    path = folder / f"{seconds}.json"
    path.write_text(json.dumps({"format": "highlight-lit scores", "version": 1, "clips": clips, **fields}))
    return path


def test_scores_of_a_video_of_another_length_are_refused(tmp_path, made, capsys):
    video = made.write_video(tmp_path / "ten.mp4", 10)
    for seconds in (8, 10, 12):
        path = written(tmp_path, seconds)
        check_same_video(path, read_video_scores(path, video), video)
    for seconds in (3, 20, 200):
        assert main(["reel", str(video), "--scores", str(written(tmp_path, seconds)), "--seconds", "2"]) == 2
        said = capsys.readouterr().err
        assert f"{seconds}.json: scores of {seconds}.0 s, but {video} lasts 10.0 s" in said
        assert "highlight-lit score" in said
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".mp4") == ["ten.mp4"]


def test_a_container_that_states_another_length_is_measured(tmp_path, made, monkeypatch):
    video = made.write_video(tmp_path / "ten.ts", 10, format="mpegts", audio_codec="mp2")
    path = written(tmp_path, 10)
    real = decode.Source

    def lying(path: Path) -> Any:
        source = real(path)
        source.stated = 500.0
        return source

    monkeypatch.setattr(decode, "Source", lying)
    check_same_video(path, read_video_scores(path, video), video)
    with pytest.raises(InputError, match=r"lasts 10\.\d s"):
        check_same_video(path, read_video_scores(written(tmp_path, 250), video), video)


def test_scores_of_another_name_are_noted(tmp_path, made, capsys):
    video = made.write_video(tmp_path / "renamed.mp4", 4)
    for name, noted in (("old.mp4\x1b[2J", True), ("renamed.mp4", False), ("", False)):
        path = written(tmp_path, 4, video=name)
        check_same_video(path, read_video_scores(path, video), video)
        said = capsys.readouterr().err
        assert ("scores of 'old.mp4" in said) == noted
        assert "\x1b" not in said


def test_a_curve_tells_seconds_apart_whose_p_is_1_to_the_last_digit():
    z = np.array([30.0, 40.0, 35.0], np.float32)
    base = scores_of(3)
    scores = VideoScores(**{**vars(base), "logit": z, "score": np.ones(3, np.float32)})
    assert scores.within.tolist() == [0.0, 1.0, 0.5]
    assert scores.mean_within(0.5, 2.0) == pytest.approx((0.5 * 0 + 1) / 1.5)
    flat = VideoScores(**{**vars(base), "logit": np.full(3, 7, np.float32)})
    assert flat.within.tolist() == [0.5] * 3


def reel(*words: object) -> int:
    return main(["reel", *map(str, words)])


@pytest.fixture
def walk(tmp_path: Path, made: SimpleNamespace) -> Path:
    return made.write_video(tmp_path / "walk.mp4", 6)


@pytest.mark.parametrize("what", ["video", "scores"])
@pytest.mark.parametrize("how", ["name", "link", "hard link", "other spelling", "link to it given"])
@pytest.mark.parametrize("chapters", [True, False])
def test_no_reel_is_written_over_what_it_is_made_of(tmp_path, walk, capsys, what, how, chapters):
    scores = written(tmp_path, 6)
    target = {"video": walk, "scores": scores}[what]
    out = tmp_path / "out"
    if how == "link":
        out.symlink_to(target)
    elif how == "hard link":
        out.hardlink_to(target)
    elif how == "other spelling":
        (tmp_path / "folder").mkdir()
        out = tmp_path / "folder" / ".." / target.name
    else:
        out = target
    given = {"video": walk, "scores": scores}
    if how == "link to it given":
        given[what] = tmp_path / f"link{target.suffix}"
        given[what].symlink_to(target)
    before = walk.read_bytes(), scores.read_bytes()
    words = [
        given["video"],
        "--scores",
        given["scores"],
        "--seconds",
        "2",
        "--out",
        out,
        *(["--chapters"] if chapters else []),
    ]
    assert reel(*words) == 2
    assert "which this command reads; expected another name" in capsys.readouterr().err
    assert (walk.read_bytes(), scores.read_bytes()) == before


def test_a_reel_is_cut_from_a_csv_of_several_videos(tmp_path, walk, made, capsys):
    at = np.arange(6.0)
    span = np.stack([at, at + 1], 1)
    write_scores(tmp_path / "s.csv", {"a": ClipScores(span, at == 1), "b": ClipScores(span, (at == 3) | (at == 4))})
    words = [walk, "--scores", tmp_path / "s.csv", "--seconds", "2", "--shortest", "1", "--out", tmp_path / "r.mp4"]
    assert reel(*words) == 2
    assert "--video-id is needed" in capsys.readouterr().err
    assert reel(*words, "--video-id", "b") == 0
    frames, _, _ = made.seen_and_heard(tmp_path / "r.mp4")
    assert [round(value / 20) - 1 for _, value in frames[5::25]] == [3, 4]
