"""Files of video summarization: what becomes of a group, and each thing that is refused."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.faults import faults
from highlight_lit.data.importers import h5
from highlight_lit.data.importers.common.label_table import MEASURES
from highlight_lit.data.video import Labels
from highlight_lit.evaluation.benchmarks import BENCHMARKS
from tests.data.importers import tried
from tests.tolerance import FUNCTION, assert_near


def eccv16(frames: int = 100, step: int = 15, annotators: int = 3, **fields: Any) -> dict[str, Any]:
    """A group as eccv16_dataset_*.h5 has it."""
    rng, picks = np.random.default_rng(frames), np.arange(0, frames, step)
    made = {
        "features": rng.normal(size=(len(picks), 4)).astype(np.float32),
        "gtscore": rng.random(len(picks)).astype(np.float32),
        "gtsummary": np.zeros(len(picks), np.float32),
        "user_summary": (rng.random((annotators, frames)) < 0.3).astype(np.float32),
        "change_points": np.array([[0, frames - 1]]),
        "n_frame_per_seg": np.array([frames]),
        "picks": picks,
        "n_frames": np.array(frames),
        "n_steps": np.array(len(picks)),
        "video_name": "Air Force One",
    }
    return {key: value for key, value in {**made, **fields}.items() if value is not None}


def mr_hisum(seconds: int = 12, **fields: Any) -> dict[str, Any]:
    """A group as mr_hisum.h5 has it."""
    rng = np.random.default_rng(seconds)
    made = {
        "features": rng.normal(size=(seconds, 4)).astype(np.float32),
        "gtscore": rng.random(seconds),
        "gtsummary": np.zeros(seconds),
        "change_points": np.array([[0, seconds - 1]]),
    }
    return {key: value for key, value in {**made, **fields}.items() if value is not None}


def write(path: Path, videos: dict[str, dict[str, Any]]) -> Path:
    with h5py.File(path, "w") as file:
        for name, fields in videos.items():
            group = file.create_group(name)
            for field, value in fields.items():
                group[field] = value
    return path


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., tuple[Corpus, list[str]]]:
    def call(groups: dict[str, dict[str, Any]], **options: Any) -> tuple[Corpus, list[str]]:
        return tried.load(h5, write(tmp_path / "x.h5", groups), **options)

    return call


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that a file ends in, with status 2 and nothing left behind."""

    def call(videos: dict[str, dict[str, Any]] | Path, *words: str) -> str:
        path = videos if isinstance(videos, Path) else write(tmp_path / "x.h5", videos)
        before = sorted(tmp_path.iterdir())
        assert main(["import", "h5", str(path), "--out", str(tmp_path / "out"), *words]) == 2
        assert sorted(tmp_path.iterdir()) == before
        line = capfd.readouterr().err
        assert line.count("\n") == 1
        return line

    return call


def labels_of(corpus: Corpus, video: int) -> Labels:
    labels = corpus.labels(video)
    assert labels is not None
    return labels


def test_samples_become_clips_from_one_to_the_next_and_scores_become_labels(load: Any) -> None:
    videos = {"video_1": eccv16(100), "video_2": eccv16(47)}
    corpus, lines = load(videos, tag="Surf", fps=30.0)
    assert [name.decode() for name in corpus.ids] == ["video_1", "video_2"]
    assert_near(corpus.duration, [100 / 30, 47 / 30], FUNCTION)
    start = np.arange(0, 100, 15) / 30
    assert_near(corpus.rows(0, "span"), np.stack([start, np.append(start[1:], 100 / 30)], axis=1), FUNCTION)
    np.testing.assert_array_equal(corpus.rows(1, "visual"), videos["video_2"]["features"])
    np.testing.assert_array_equal(labels_of(corpus, 0).score[:, 0], videos["video_1"]["gtscore"])
    np.testing.assert_array_equal(labels_of(corpus, 0).span, corpus.rows(0, "span"))
    assert (corpus.topics, corpus.manifest["benchmark"], corpus.manifest["clock"]) == (("surf",), "importance", "exact")
    assert corpus.locate(0)[0].title(0) == "Air Force One"
    assert lines[0].endswith("importance, judged by top5/mininet; not taken: user_summary (2) (--labels)")


def test_without_a_rate_spans_are_frames_and_the_manifest_says_so(load: Any) -> None:
    corpus, lines = load({"a": eccv16(90)})
    assert corpus.manifest["clock"] == "nominal"
    assert corpus.duration.tolist() == [3.0]
    assert any("spans are frames at a nominal 30 a second, not seconds" in line for line in lines)
    assert lines[-1].endswith("no tags, so no topic to train, 0.00 hours")


def test_durations_of_the_table_give_each_video_its_rate(load: Any, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("id,tags,duration,split\nb,ski,4,test\na,surf;sea,2.5,train\n")
    corpus, _ = load({"a": eccv16(60), "b": eccv16(100)}, videos=tmp_path / "v.csv")
    assert corpus.duration.tolist() == [4, 2.5]
    assert_near(corpus.rows(0, "span")[1], [15 * 4 / 100, 30 * 4 / 100], FUNCTION)
    assert (corpus.manifest["clock"], corpus.topics) == ("exact", ("sea", "ski", "surf"))


def test_a_second_a_clip_where_there_are_no_samples(load: Any) -> None:
    corpus, _ = load({"video_1": mr_hisum(12), "video_2": mr_hisum(1)}, tag="surf")
    assert corpus.duration.tolist() == [12, 1]
    assert corpus.rows(0, "span").tolist() == [[i, i + 1] for i in range(12)]
    assert labels_of(corpus, 1).score.shape == (1, 1)
    assert corpus.manifest["clock"] == "exact"


@given(st.integers(1, 200), st.integers(1, 40), st.integers(1, 4), st.integers(0, 999))
def test_a_clip_is_a_highlight_where_half_of_its_frames_are_chosen(
    tmp_path_factory: pytest.TempPathFactory, frames: int, step: int, annotators: int, seed: int
) -> None:
    root = tmp_path_factory.mktemp("h5")
    summary = (np.random.default_rng(seed).random((annotators, frames)) < 0.5).astype(np.uint8)
    write(root / "x.h5", {"a": eccv16(frames, step, user_summary=summary)})
    h5.import_corpus(root / "x.h5", root / "out", labels="user_summary", fps=25.0, report=lambda line: None)
    corpus = Corpus(root / "out")
    picks = [*range(0, frames, step), frames]
    expected = [[float(2 * row[a:b].sum() >= b - a) for row in summary] for a, b in itertools.pairwise(picks)]
    assert labels_of(corpus, 0).score.tolist() == expected
    assert corpus.manifest["benchmark"] == "highlights"


@pytest.mark.parametrize("kind", MEASURES)
def test_the_measure_that_is_said_is_the_one_that_judges(kind: str) -> None:
    assert BENCHMARKS[kind].primary.name == MEASURES[kind]


def test_float64_becomes_float32_float16_stays_and_whole_numbers_are_taken(load: Any, tmp_path: Path) -> None:
    for kind, stored in (("float64", "float32"), ("float16", "float16"), ("uint8", "float32")):
        features = np.arange(28).reshape(7, 4).astype(kind)
        corpus, _ = load({"a": eccv16(100, features=features)})
        assert corpus.streams["visual"].dtype == stored
        assert corpus.rows(0, "visual").tolist() == features.tolist()
        for path in sorted((tmp_path / "out").iterdir()):
            path.unlink()


@pytest.mark.parametrize(("rows", "scores", "clips"), [(6, 7, 6), (7, 5, 5), (9, 7, 7), (7, 8, 7)])
def test_a_row_or_two_too_many_are_cut_with_a_note(load: Any, rows: int, scores: int, clips: int) -> None:
    corpus, lines = load({"a": eccv16(100, features=np.ones((rows, 4), "f4"), gtscore=np.ones(scores))}, fps=25.0)
    assert corpus.clips.tolist() == [clips]
    assert any(f"cut to {clips} clips: features: {rows}, gtscore: {scores}, picks: 7" in line for line in lines)
    assert corpus.rows(0, "span")[-1].tolist() == pytest.approx([15 * (clips - 1) / 25, min(15 * clips, 100) / 25])


def test_labels_that_no_video_has_are_not_missed(load: Any) -> None:
    corpus, lines = load({"a": {"features": np.ones((3, 2), "f4")}, "b": {"features": np.ones((2, 2), "f4")}})
    assert corpus.labels(0) is None
    assert lines[0].endswith("no labels are taken")


NAN = np.full((7, 4), np.nan)
FAULTS: list[tuple[dict[str, dict[str, Any]], str]] = [
    ({}, "no group in it; expected one for each video"),
    ({"a": {}}, "video 'a': features: expected a dataset of numbers that lies in this file"),
    ({"a": mr_hisum(features=None)}, "video 'a': features: expected a dataset of numbers"),
    ({"a": eccv16(features=NAN)}, "video 'a': visual: NaN or infinite in clip 0 and 6 more"),
    ({"a": eccv16(features=np.full((7, 4), 1e39))}, "video 'a': visual: 1e+39 in clip 0 is a value beyond the range of float32"),
    ({"a": eccv16(gtscore=NAN[:, 0])}, "video 'a': labels.score: NaN or infinite"),
    ({"a": eccv16(gtscore=np.full(7, 1e39))}, "video 'a': labels.score: NaN or infinite"),
    ({"a": eccv16(gtscore=np.ones((7, 2)))}, "video 'a': gtscore: shape (7, 2), expected a number for each clip"),
    ({"a": eccv16(features=np.ones(7))}, "video 'a': features: shape (7,), expected (clips, width)"),
    ({"a": eccv16(features=np.ones((0, 4)))}, "video 'a': features: shape (0, 4), expected"),
    ({"a": eccv16(features=np.ones((4, 4)))}, "video 'a': rows disagree by more than 2: features: 4, gtscore: 7, picks: 7"),
    ({"a": eccv16(), "b": mr_hisum(features=np.ones((12, 3)))}, "video 'b': features: 3 wide, expected 4 as of video 'a'"),
    ({"a": eccv16(picks=np.arange(7)[::-1])}, "video 'a': picks: expected rising numbers of frames from 0 to below n_frames, 100"),
    ({"a": eccv16(picks=np.arange(7) * 20)}, "video 'a': picks: expected rising numbers"),
    ({"a": eccv16(picks=np.arange(7) + 0.5)}, "video 'a': picks: expected rising numbers"),
    ({"a": eccv16(picks=np.array(3))}, "video 'a': picks: expected rising numbers"),
    ({"a": eccv16(n_frames=None)}, "video 'a': n_frames: expected a dataset of numbers"),
    ({"a": eccv16(n_frames=np.array([100, 2]))}, "video 'a': n_frames: 100.0, 2.0, expected a number of frames"),
    ({"a": eccv16(n_frames=np.array(np.nan))}, "video 'a': n_frames: nan, expected a number of frames"),
    ({"a\x1b[2J": eccv16()}, "id: expected a plain name"),
    ({"..": eccv16()}, "video '..': id: expected a plain name"),
    ({unicodedata.normalize("NFC", "é"): eccv16(), unicodedata.normalize("NFD", "é"): eccv16()}, "there twice, in two Unicode forms"),
]  # fmt: skip


@pytest.mark.parametrize(("videos", "says"), FAULTS)
def test_a_group_that_cannot_be_used_is_refused(refused: Any, videos: dict[str, dict[str, Any]], says: str) -> None:
    assert says in refused(videos)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"user_summary": np.ones((2, 99))}, "user_summary: shape (2, 99), expected (annotators, 100)"),
        ({"user_summary": np.full((2, 100), 2)}, "user_summary: expected 0 and 1 alone"),
        ({"user_summary": np.ones((1001, 100))}, "user_summary: 1001 annotators, expected at most 1000"),
        ({"picks": None}, "user_summary: shape (3, 100), expected (annotators, n_frames), and picks and n_frames"),
    ],
)
def test_summaries_that_do_not_fit_are_refused(refused: Any, fields: dict[str, Any], says: str) -> None:
    line = refused({"a": eccv16(), "b": eccv16(**fields)}, "--labels", "user_summary", "--fps", "30")
    assert f"video 'b': {says}" in line
    assert "no video has user_summary" in refused({"a": mr_hisum()}, "--labels", "user_summary")


@pytest.mark.parametrize("counts", [(3, 5), (5, 3), (15, 18, 1, 17)])
def test_a_video_has_its_own_number_of_annotators(load: Any, counts: tuple[int, ...]) -> None:
    """SumMe's have 15 to 18: none is refused, and none gets an annotator that it has not."""
    videos = {f"v{place}": eccv16(annotators=count) for place, count in enumerate(counts)}
    corpus, lines = load(videos, labels="user_summary", fps=30.0)
    found = [corpus.labels(place) for place in range(len(counts))]
    assert [of.score.shape[1] for of in found] == list(counts)
    for of, summary in zip(found, (group["user_summary"] for group in videos.values()), strict=True):
        assert (of.score[0] == (2 * summary[:, :15].sum(axis=1) >= 15)).all()  # the first clip's 15 frames
    assert list(faults(corpus.root)) == []
    assert any(f"user_summary: {min(counts)} to {max(counts)} annotators a video" in line for line in lines)
    again = next(iter(corpus.shards[0]))  # as it is packed again
    np.testing.assert_array_equal(again.labels.score, found[0].score)


def test_rows_and_groups_without_a_partner_are_refused_unless_allowed(load: Any, refused: Any, tmp_path: Path) -> None:
    videos = {"a": eccv16(), "B": eccv16()}
    (tmp_path / "v.csv").write_text("id,tags\na,surf\nb,ski\n")
    line = refused(videos, "--videos", str(tmp_path / "v.csv"))
    assert "1 videos of " in line
    assert "b; 1 videos of " in line
    assert "no row in " in line
    assert "differ in case" in line
    corpus, lines = load(videos, videos=tmp_path / "v.csv", allow_unmatched=True)
    assert corpus.ids.tolist() == [b"a"]
    assert sum(line.endswith("; left out") for line in lines) == 2


def test_a_file_that_is_none_or_points_elsewhere_is_refused(refused: Any, tmp_path: Path) -> None:
    assert "no such file; expected features and labels of video summarization" in refused(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("features")
    assert "no HDF5 file" in refused(tmp_path / "text.h5")
    path = write(tmp_path / "x.h5", {"a": eccv16()})
    write(tmp_path / "other.h5", {"b": eccv16()})
    with h5py.File(path, "r+") as file:
        file["b"] = h5py.ExternalLink("other.h5", "/b")
    assert "b: expected a group of a video that lies in this file" in refused(path)
    with h5py.File(path, "r+") as file:
        del file["b"], file["a/features"]
        file["a/features"] = h5py.ExternalLink("other.h5", "/b/features")
    assert "video 'a': features: expected a dataset of numbers that lies in this file" in refused(path)
    with h5py.File(path, "r+") as file:
        del file["a/features"], file["a/picks"]
        file["a/features"], file["a/picks"] = np.ones((7, 4)), h5py.ExternalLink("other.h5", "/b/picks")
    assert "video 'a': picks: expected a dataset of numbers that lies in this file" in refused(path)
    with h5py.File(path, "r+") as file:
        del file["a/features"]
        file["a"].create_dataset("features", (1 << 26, 4), "f4", chunks=(1 << 16, 4), compression="gzip")
    assert "more than a file of its size can hold" in refused(path)
    whole = bytearray(write(tmp_path / "x.h5", {"a": eccv16()}).read_bytes())
    text = whole.index(b"Air Force One") - 16
    whole[text : text + 16] = bytes(16)  # an object of no size, which the library goes through for ever
    path.write_bytes(whole)
    assert "damaged: its texts at byte" in refused(path)


def test_a_rate_or_length_that_is_none_is_refused(refused: Any) -> None:
    assert "--fps: 0.0, expected a number above 0" in refused({"a": eccv16()}, "--fps", "0")
    assert "--fps: 1e-320, expected a number from 1e-06 to 1e+12" in refused({"a": eccv16()}, "--fps", "1e-320")
    assert "--clip-seconds: 0.0" in refused({"a": mr_hisum()}, "--clip-seconds", "0")
    assert "--clip-seconds: 1e+308" in refused({"a": mr_hisum()}, "--clip-seconds", "1e308")
    assert "--tag ' ': empty" in refused({"a": mr_hisum()}, "--tag", " ")


def test_a_group_under_two_names_is_refused_before_it_counts_twice(tmp_path: Path, refused: Any) -> None:
    path = write(tmp_path / "x.h5", {"a": mr_hisum()})
    with h5py.File(path, "r+") as file:
        file["b"] = file["a"]
    assert "video 'b': the same group as video 'a'; expected one name for each" in refused(path)


def test_scores_that_float32_does_not_tell_apart_are_counted(load: Any) -> None:
    close = np.array([2**60, 2**60 + 1, 0, 1, 2, 3, 4])  # one in float64 already
    _, lines = load({"a": eccv16(gtscore=close), "b": eccv16(gtscore=np.arange(7))})
    assert "1 videos have labels that differ by less than float32 holds, and tie" in lines[-2]
