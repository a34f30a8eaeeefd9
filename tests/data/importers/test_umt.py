"""The importer of UMT's layout: features, overlapping clips, lists, principal components, and what it refuses."""

from __future__ import annotations

import json
import os
import unicodedata
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.importers import umt
from highlight_lit.data.importers.common.pca import fit
from highlight_lit.data.importers.common.values import number, safe_id
from highlight_lit.errors import InputError
from tests.data.importers import tried
from tests.tolerance import FUNCTION, assert_near, rounding

load = partial(tried.load, umt)
refused = partial(tried.refused, umt)

CLIPS = 8
SPLITS = {"dog": {"train": ["a", "b"], "val": ["c"]}, "ski": {"train": ["d"], "val": []}}


def save(root: Path, name: str, *shape: int, dtype: str = "float16") -> None:
    """A feature file of numbers that depend on its name alone."""
    path = root / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(list(name.encode())).normal(size=shape).astype(dtype))


def annotation(topic: str, clips: int = CLIPS) -> dict[str, Any]:
    spans = [[50.0 * i, 50.0 * i + 100] for i in range(clips)]
    match = [(i % 3) - 1 for i in range(clips)]
    return {"fps": 25.0, "frames": str(50 * clips + 50), "domain": topic, "clip": spans, "match": match}


def edit(source: Path, video: str, **fields: Any) -> None:
    path = source / "youtube_anno.json"
    entries = json.loads(path.read_text())
    entries[video] = {key: value for key, value in {**entries[video], **fields}.items() if value is not None}
    path.write_text(json.dumps(entries))


def as_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four videos of two topics, the last of them silent."""
    root = tmp_path / "source"
    for name in "abcd":
        save(root, f"video_features/{name}_rgb", CLIPS, 3)
        save(root, f"video_features/{name}_opt", CLIPS, 4)
    for name in "abc":
        save(root, f"audio_features/{name}", CLIPS, 5)
    as_json(root / "youtube_anno.json", {name: annotation("ski" if name == "d" else "dog") for name in "abcd"})
    return root


def test_picture_and_flow_stand_side_by_side_and_a_missing_audio_file_is_a_silent_video(source: Path) -> None:
    corpus, lines = load(source)
    expected = [np.load(source / f"video_features/a_{part}.npy") for part in ("rgb", "opt")]
    np.testing.assert_array_equal(corpus.rows(0, "visual"), np.concatenate(expected, axis=1))
    np.testing.assert_array_equal(corpus.rows(0, "audio"), np.load(source / "audio_features/a.npy"))
    assert corpus.rows(3, "audio_mask").tolist() == [0] * CLIPS
    assert {name: stream.dtype for name, stream in corpus.streams.items()} == {"visual": "float16", "audio": "float16"}
    assert corpus.streams["visual"].extractor == "i3d-rgb+flow"
    assert (corpus.topics, corpus.manifest["benchmark"]) == (("dog", "ski"), "youtube-highlights")
    assert lines == [
        f"{source.parent / 'out'}: 4 videos (1 without audio), 32 clips, 32 labelled segments, 2 topics (dog, ski), 0.02 hours"
    ]


def test_overlapping_clips_keep_their_frames_in_seconds(source: Path) -> None:
    corpus, _ = load(source)
    expected = [[2.0 * i, 2.0 * i + 4] for i in range(CLIPS)]
    assert_near(corpus.rows(0, "span"), expected, FUNCTION)
    labels = corpus.labels(0)
    assert labels is not None
    assert_near(labels.span, expected, FUNCTION)
    assert labels.score[:, 0].tolist() == [(i % 3) - 1 for i in range(CLIPS)]
    assert corpus.duration[0] == (50 * CLIPS + 50) / 25
    assert corpus.manifest["shards"][0]["clips"] == 4 * CLIPS


def test_one_file_a_video_is_taken_alone(source: Path) -> None:
    for path in source.glob("video_features/*_opt.npy"):
        path.unlink()
    for path in source.glob("video_features/*_rgb.npy"):
        path.rename(path.with_name(path.name.replace("_rgb", "")))
    corpus, _ = load(source)
    assert corpus.streams["visual"].width == 3


def test_tvsum_is_known_by_its_field_and_has_two_second_clips_of_many_annotators(source: Path) -> None:
    (source / "youtube_anno.json").unlink()
    entries = {
        name: {"fps": 30.0, "frames": "500", "domain": "VT", "title": "é\ud800", "anno": [[1.0, 5.0, 3.0]] * CLIPS}
        for name in "abcd"
    }
    as_json(source / "my_anno_file.json", entries)
    corpus, _ = load(source)
    labels = corpus.labels(0)
    assert labels is not None
    assert corpus.manifest["benchmark"] == "tvsum"
    assert corpus.manifest["topics"] == ["VT"]
    assert_near(corpus.rows(0, "span"), [[2.0 * i, 2.0 * i + 2] for i in range(CLIPS)], FUNCTION)
    assert labels.score.tolist() == [[1, 5, 3]] * CLIPS
    assert corpus.locate(0)[0].title(0) == "é?"


@pytest.mark.parametrize(
    ("stored", "wanted", "kept"), [("float64", None, "float32"), ("float32", "float16", "float16")]
)
def test_anything_but_float16_becomes_float32_unless_asked(source: Path, stored: str, wanted: str, kept: str) -> None:
    save(source, "audio_features/b", CLIPS, 5, dtype=stored)
    corpus, _ = load(source, dtype=wanted)
    assert corpus.streams["audio"].dtype == kept
    assert corpus.streams["visual"].dtype == "float16"


@pytest.mark.parametrize("extra", [-2, -1, 1, 2])
def test_streams_a_row_or_two_apart_are_cut_to_the_shortest_and_named(source: Path, extra: int) -> None:
    save(source, "audio_features/b", CLIPS + extra, 5)
    corpus, lines = load(source)
    kept = min(CLIPS, CLIPS + extra)
    labels = corpus.labels(1)
    assert labels is not None
    assert corpus.clips.tolist() == [CLIPS, kept, CLIPS, CLIPS]
    assert len(labels.span) == kept
    assert len(lines) == 2
    assert f"video 'b': cut to {kept} clips" in lines[0]
    assert f"audio_features/b.npy {CLIPS + extra}" in lines[0]


def test_lengths_three_rows_apart_are_refused(source: Path) -> None:
    save(source, "audio_features/b", CLIPS + 3, 5)
    assert "video 'b': rows disagree" in refused(source)


def test_lists_set_the_split_and_absent_and_unlisted_videos_are_counted(source: Path, tmp_path: Path) -> None:
    lists = {"dog": {"train": ["a", "x", "y"], "val": ["c"]}, "ski": {"train": ["d"], "val": []}}
    corpus, lines = load(source, splits=as_json(tmp_path / "s.json", lists))
    assert corpus.split.tolist() == ["train", "", "val", "train"]
    assert len(lines) == 3
    assert "2 listed videos are not among the features: x, y" in lines[0]
    assert "1 videos are on no list" in lines[1]


def test_of_several_tables_of_lists_the_one_of_these_topics_is_taken(source: Path, tmp_path: Path) -> None:
    both = {"other": {"VT": {"train": ["a"], "val": []}}, "mine": SPLITS}
    corpus, _ = load(source, splits=as_json(tmp_path / "s.json", both))
    assert corpus.split.tolist() == ["train", "train", "val", "train"]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"dog": {"train": ["a"], "val": ["a"]}}, "video 'a': dog: on the train and on the val list"),
        ({"VT": {"train": ["a"]}}, "0 tables of lists"),
        ({"one": SPLITS, "two": SPLITS}, "2 tables of lists"),
        ({"dog": {"train": "a"}}, "dog.train: expected a list"),
        ({"dog": {"training": ["a"]}}, "0 tables of lists"),
        ([1], "0 tables of lists"),
    ],
)
def test_lists_that_cannot_be_used_are_refused(source: Path, tmp_path: Path, lists: Any, expected: str) -> None:
    line = refused(source, splits=as_json(tmp_path / "s.json", lists))
    assert line.startswith(str(tmp_path / "s.json"))
    assert expected in line


def test_components_are_those_of_the_training_videos_alone(source: Path, tmp_path: Path) -> None:
    corpus, _ = load(source, splits=as_json(tmp_path / "s.json", SPLITS), pca=(4, 2), dtype="float32")
    rows = {
        name: np.concatenate([np.load(source / f"video_features/{name}_{part}.npy") for part in ("rgb", "opt")], axis=1)
        for name in "abcd"
    }
    reference = (
        pytest.importorskip("sklearn.decomposition", reason="needs the extra methods")
        .PCA(4, svd_solver="full")
        .fit(np.concatenate([rows[name] for name in "abd"]).astype(np.float64))
    )
    for video, name in enumerate("abcd"):
        expected = reference.transform(rows[name].astype(np.float64))
        assert_near(np.abs(corpus.rows(video, "visual")), np.abs(expected), 1)  # kept as float32, computed in float64
    assert corpus.streams["audio"].width == 2
    assert corpus.streams["visual"].version.startswith("umt, pca 4 of ")


def test_components_fitted_on_other_videos_have_another_version(source: Path, tmp_path: Path) -> None:
    corpus, _ = load(source, pca=(4, 2))
    umt.import_corpus(
        source, tmp_path / "b", splits=as_json(tmp_path / "s.json", SPLITS), pca=(4, 2), report=lambda line: None
    )
    assert Corpus(tmp_path / "b").streams["visual"].version != corpus.streams["visual"].version


@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 1000), st.floats(-1e4, 1e4))
def test_components_do_not_depend_on_how_the_rows_are_cut_into_videos(
    blocks: int, width: int, seed: int, offset: float
) -> None:
    rows = np.random.default_rng(seed).normal(size=(40, 5)) * [5, 4, 3, 2, 1] + offset
    whole = fit([rows], width, "x")
    apart = fit(np.array_split(rows, blocks), width, "x")
    # Eigenvectors turn by the roundings of the covariance over the gap between its eigenvalues; rows are kept as float32.
    size, gap = np.abs(rows - offset).max(), np.diff(np.linalg.eigvalsh(np.cov(rows.T))).min()
    turned = size * rounding(40, scale=5 * size**2) / gap
    kept = rounding(1, dtype=torch.float32, scale=5 * size)
    np.testing.assert_allclose(
        apart(rows), whole(rows), rtol=0, atol=turned + kept + rounding(40, scale=5 * (size + abs(offset)))
    )
    assert_near(whole.basis.T @ whole.basis, np.eye(width), 5 * 5 * FUNCTION)
    assert (np.diff(whole(rows).var(axis=0)) <= rounding(2 * 40, dtype=torch.float32, scale=size**2)).all()


@pytest.mark.parametrize(
    ("pca", "expected"), [((8, 2), "visual: pca 8"), ((4, 6), "audio: pca 6"), ((0, 2), "visual: pca 0")]
)
def test_more_components_than_columns_or_none_are_refused(source: Path, pca: tuple[int, int], expected: str) -> None:
    assert expected in refused(source, pca=pca)


def test_components_need_more_training_clips_than_there_are_components(source: Path, tmp_path: Path) -> None:
    empty = as_json(tmp_path / "s.json", {"dog": {"train": [], "val": ["a"]}})
    assert "0 clips to fit on" in refused(source, splits=empty, pca=(4, 2))


def test_features_with_a_nan_are_refused_with_and_without_components(source: Path) -> None:
    rows = np.load(source / "audio_features/b.npy")
    rows[3, 1] = np.nan
    np.save(source / "audio_features/b.npy", rows)
    for options in ({}, {"pca": (4, 2)}):
        line = refused(source, **options)
        assert line.startswith(str(source))
        assert "video 'b': audio: NaN or infinite in clip 3" in line


def test_videos_without_features_and_features_without_annotation_are_counted(source: Path) -> None:
    for part in ("rgb", "opt"):
        (source / f"video_features/c_{part}.npy").unlink()
    save(source, "video_features/zz", CLIPS, 3)
    _, lines = load(source)
    assert "1 annotated videos have no visual features and are left out: c" in lines[0]
    assert "2 feature files of no annotated video: c.npy, zz.npy" in lines[1]
    assert ": 3 videos" in lines[2]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"fps": 0}, "fps: 0, expected a number above 0"),
        ({"fps": None}, "fps: None"),
        ({"frames": "many"}, "frames: 'many'"),
        ({"domain": None}, "domain: None"),
        ({"clip": [[0, 100, 5]] * CLIPS}, "clip: expected rows of 2 finite numbers"),
        ({"clip": []}, "clip: expected rows"),
        ({"clip": [[100, 50]] * CLIPS}, "span: a start that is negative, not finite or not before its end"),
        ({"clip": [["1_0", 100]] * CLIPS}, "clip: expected rows of 2 finite numbers"),
        ({"match": [True] * CLIPS}, "match: expected rows"),
        ({"match": [1]}, f"match: expected rows of {CLIPS}"),
        ({"match": [float("nan")] * CLIPS}, "match: expected rows"),
    ],
)
def test_a_field_of_another_kind_is_refused(source: Path, fields: dict[str, Any], expected: str) -> None:
    edit(source, "b", **fields)
    line = refused(source)
    assert line.startswith(f"{source / 'youtube_anno.json'}: video 'b': ")
    assert expected in line


def test_features_of_another_width_are_refused(source: Path) -> None:
    save(source, "audio_features/c", CLIPS, 6)
    assert "video 'c': audio: 1 files, 6 wide, expected 1 and 5 as of video 'a'" in refused(source)


def test_half_a_pair_of_picture_and_flow_is_refused(source: Path) -> None:
    (source / "video_features/b_opt.npy").unlink()
    assert "video 'b': b_opt.npy: no such file beside its pair" in refused(source)


@pytest.mark.parametrize("damage", ["pickle", "cut", "empty", "text", "vector", "whole", "no clip"])
def test_a_file_that_is_no_array_of_features_is_refused(source: Path, damage: str) -> None:
    path = source / "audio_features/b.npy"
    if damage == "pickle":
        np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)
    elif damage in ("cut", "empty"):
        path.write_bytes(path.read_bytes()[: -3 if damage == "cut" else 0])
    elif damage == "text":
        path.write_text("hello")
    else:
        arrays = {"vector": np.ones(CLIPS), "whole": np.ones((CLIPS, 5), int), "no clip": np.ones((0, 5))}
        np.save(path, arrays[damage])
    line = refused(source)
    assert str(source / "audio_features") in line
    assert "video 'b': audio: b.npy: " in line


def test_a_folder_without_annotations_or_features_is_refused(source: Path, tmp_path: Path) -> None:
    assert "0 files named *anno*.json" in refused(tmp_path / "nothing")
    as_json(source / "youtube_anno.json", {"a": {"fps": 1}})
    assert "expected clip and match" in refused(source)
    as_json(source / "youtube_anno.json", {"q": annotation("dog")})
    assert "no features of any annotated video" in refused(source)


@pytest.mark.parametrize("name", ["../a", "..", ".", "", " ", "a/b", "a\\b", "/etc/passwd", "a\0", "a\n", None, 3])
def test_an_id_that_could_leave_its_folder_is_refused(name: object) -> None:
    with pytest.raises(InputError, match="expected a plain name"):
        safe_id(name, "x")


@pytest.mark.parametrize("name", ["a ", " a", "\u00a0a", "a\u3000", "a\u2007"])
def test_an_id_with_blanks_around_it_is_refused_since_tables_leave_them_out(name: str) -> None:
    with pytest.raises(InputError, match="expected a name without blanks around it"):
        safe_id(name, "x")
    assert safe_id("a b\u00a0c", "x") == "a b\u00a0c"


@given(st.text(st.characters(categories=["L", "N"], include_characters="_-"), min_size=1, max_size=60))
def test_an_id_of_letters_digits_and_dashes_is_kept(name: str) -> None:
    assert safe_id(name, "x") == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("value", ["1_0", "\u0661", "1e\u0661"])
def test_a_number_as_python_alone_writes_it_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="expected a number above 0"):
        number(value, "x")
    assert number(" 1e1 ", "x") == number(10, "x") == 10


def test_a_path_as_id_in_the_annotations_is_refused(source: Path) -> None:
    as_json(source / "youtube_anno.json", {"../a": annotation("dog")})
    assert "video '../a': id" in refused(source)


def test_the_four_topics_of_youtube_highlights_come_out_whole(shared_data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    splits, folder = shared_data / "umt/splits.json", shared_data / "umt/youtube"
    umt.import_corpus(folder, tmp_path / "out", splits=splits, report=lines.append)
    corpus = Corpus(tmp_path / "out")
    assert (len(corpus), corpus.topics) == (265, ("dog", "gymnastics", "parkour", "skiing"))
    assert [corpus.streams[name].width for name in ("visual", "audio")] == [2048, 2048]
    lists = json.loads(splits.read_text())["youtube"]
    for topic, kind in ((topic, kind) for topic in lists for kind in ("train", "val")):
        ids = {corpus.ids[i].decode() for i in np.flatnonzero(corpus.tagged(topic) & (corpus.split == kind))}
        assert ids == set(lists[topic][kind]) & {name.decode() for name in corpus.ids}
    assert (corpus.duration < 60).sum() == 118
    assert "18 listed videos are not among the features" in lines[0]
    assert "2 videos are on no list" in lines[1]
    assert len(lines) == 3


def test_tvsum_comes_out_whole_but_for_one_row_of_sound(shared_data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    umt.import_corpus(shared_data / "umt/tvsum", tmp_path / "out", report=lines.append)
    corpus = Corpus(tmp_path / "out")
    assert (len(corpus), len(corpus.topics)) == (50, 10)
    assert len(lines) == 2
    assert "video 'kLxoNp-UchI': cut to 64 clips" in lines[0]
    assert "audio_features/kLxoNp-UchI.npy 65" in lines[0]
    labels = corpus.labels(0)
    assert labels is not None
    assert labels.score.shape[1] == 20


@pytest.mark.parametrize(("annotated", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_compared_in_one_unicode_form(source: Path, tmp_path: Path, annotated: Any, on_disk: Any) -> None:
    name, stored = (unicodedata.normalize(form, "é") for form in (annotated, on_disk))
    entries = json.loads((source / "youtube_anno.json").read_text())
    as_json(source / "youtube_anno.json", {**entries, name: annotation("dog")})
    save(source, f"video_features/{stored}_rgb", CLIPS, 3)
    save(source, f"video_features/{stored}_opt", CLIPS, 4)
    save(source, f"audio_features/{stored}", CLIPS, 5)
    lists = as_json(
        tmp_path / "splits.json", {"dog": {"train": ["a", "b", stored], "val": ["c"]}, "ski": {"train": ["d"]}}
    )
    corpus, lines = load(source, splits=lists)
    index = corpus.index(unicodedata.normalize("NFC", "é"))
    assert index is not None
    assert corpus.split[index] == "train"
    assert len(lines) == 1


def test_many_videos_that_are_cut_are_counted(tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(30)]
    for name in names:
        save(tmp_path / "s", f"video_features/{name}", CLIPS + 1, 3)
    as_json(tmp_path / "s" / "youtube_anno.json", {name: annotation("dog") for name in names})
    _, lines = load(tmp_path / "s")
    assert len(lines) == 12
    assert lines[10] == "and 20 more videos were cut to their shortest stream"


def test_a_pipe_among_the_files_is_never_waited_for(source: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe: a pipe; expected training and validation lists" in refused(source, splits=tmp_path / "pipe")
    (source / "audio_features/a.npy").unlink()
    os.mkfifo(source / "audio_features/a.npy")
    assert "a.npy: a pipe; expected an array of audio features" in refused(source)
    (source / "youtube_anno.json").unlink()
    os.mkfifo(source / "youtube_anno.json")
    assert "youtube_anno.json: a pipe; expected UMT's annotations" in refused(source)


def test_two_clips_of_one_span_are_refused(source: Path) -> None:
    """Their scores could not be told apart in `scores.csv`, which is refused then."""
    clip = annotation("dog")["clip"]
    clip[3:6] = [[150.0, 260], [150.0, 250], [150.0, 260]]
    edit(source, "b", clip=clip)
    assert "youtube_anno.json: video 'b': span: rows 3 and 5 both last from 6 to 10.4 s" in refused(source)
    clip[5] = [150.0, 255]
    edit(source, "b", clip=clip)
    load(source)


def test_labels_that_float32_does_not_tell_apart_are_counted(source: Path) -> None:
    edit(source, "b", match=[16777216, 16777217, *range(CLIPS - 2)])
    edit(source, "c", match=[16777214, 16777216, *range(CLIPS - 2)])
    _, lines = load(source)
    assert "out: 1 videos have labels that differ by less than float32 holds, and tie" in lines[-2]
