"""TVSum's official labels: scores of frames become scores of 2-second shots."""

from __future__ import annotations

import fcntl
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.faults import faults
from highlight_lit.data.importers import tvsum
from highlight_lit.data.importers.formats.foreign_hdf5 import foreign_hdf5
from highlight_lit.data.importers.formats.tvsum_table import rate_of_scores
from highlight_lit.data.importers.tvsum import RATES, frame_rate, to_shots
from highlight_lit.errors import InputError
from tests.data.importers import tried
from tests.tolerance import FUNCTION, assert_near

refused = partial(tried.refused, tvsum)


def frames_of(shots: np.ndarray[Any, Any], fps: float, tail: int) -> np.ndarray[Any, Any]:
    """Each shot's scores at each of its frames, the last shot's running on to the end, as the official file has it."""
    border = np.floor(2 * fps * np.arange(1, len(shots))).astype(int) + 1
    frame = np.arange(int(2 * fps * len(shots)) + 1 + tail)
    return np.asarray(shots[np.searchsorted(border, frame, side="right")])


def write(path: Path, videos: dict[str, dict[str, Any]]) -> Path:
    """A file laid out as MATLAB 7.3 lays out a struct array."""
    with h5py.File(path, "w") as file:
        cells, table = file.create_group("#refs#"), file.create_group("tvsum50")
        for field in next(iter(videos.values()), {"video": 0}):
            column = table.create_dataset(field, (len(videos), 1), dtype=h5py.ref_dtype)
            for row, (name, video) in enumerate(videos.items()):
                value = video[field]
                value = (
                    np.frombuffer(value.encode("utf-16-le"), np.uint16)[:, None] if isinstance(value, str) else value
                )
                column[row, 0] = cells.create_dataset(f"{name}{field}".replace("/", ""), data=value).ref
    return path


def video(name: str = "a", fps: float = 25.0, **fields: Any) -> dict[str, Any]:
    shots = np.random.default_rng(0).integers(1, 6, size=(6, 4)).astype(float)
    score = frames_of(shots, fps, tail=20)
    measures = {"length": np.array([[len(score) / fps]]), "nframes": np.array([[float(len(score))]])}
    return {"video": name, "category": "VT", "title": "Tyres 🛞", **measures, "user_anno": score.T, **fields}


@given(st.sampled_from(RATES), st.integers(1, 300), st.integers(0, 40), st.integers(0, 99))
def test_every_shot_of_every_annotator_comes_back_from_its_frames(fps: float, count: int, tail: int, seed: int) -> None:
    shots = np.random.default_rng(seed).integers(1, 6, size=(count, 20)).astype(float)
    score = frames_of(shots, fps, tail)
    found, differing = to_shots(score, fps)
    np.testing.assert_array_equal(found, shots)
    assert differing == 0


@pytest.mark.parametrize("field", ["video", "title", "category"])
@pytest.mark.parametrize(
    "characters", [np.array([[np.nan], [97.0]]), np.array([[-1], [70000]]), np.array([[97]], np.uint32)]
)
def test_a_text_of_other_numbers_is_refused_by_its_field(tmp_path: Path, field: str, characters: Any) -> None:
    """Taken for characters, they would be others: NaN is none, and 70000 is 4464."""
    error = refused(write(tmp_path / "t.mat", {"a": video(**{field: characters})}))
    assert f"t.mat: {field}: row 0: {characters.dtype}; expected text, MATLAB's uint16" in error


def test_an_empty_title_is_none(tmp_path: Path) -> None:
    write(tmp_path / "t.mat", {"a": video(title=np.array([0, 0], np.uint64))})
    tvsum.import_corpus(tmp_path / "t.mat", tmp_path / "out", report=lambda line: None)
    assert Corpus(tmp_path / "out").locate(0)[0].title(0) == ""


def test_frames_that_differ_inside_a_shot_are_counted() -> None:
    score = np.ones((100, 2))
    score[10, 1] = 5
    assert to_shots(score, 25.0)[1] == 1


@given(st.sampled_from(RATES), st.integers(2000, 20000), st.floats(0, 0.02))
def test_the_length_of_a_file_with_some_more_sound_gives_the_rate_of_its_pictures(
    fps: float, frames: int, more: float
) -> None:
    assert frame_rate(frames, frames / fps + more) == fps


def test_a_rate_that_is_none_of_the_common_ones_is_taken_as_measured() -> None:
    assert frame_rate(17527, 585.86) == pytest.approx(29.9167, abs=0.5e-4)  # half of the last digit


def test_the_corpus_holds_labels_alone(tmp_path: Path) -> None:
    lines: list[str] = []
    path = write(tmp_path / "x.mat", {"a": video(), "b": video("b", category="GA")})
    tvsum.import_corpus(path, tmp_path / "out", report=lines.append)
    corpus = Corpus(tmp_path / "out")
    assert (len(corpus), corpus.topics, corpus.streams) == (2, ("GA", "VT"), {})
    assert (corpus.manifest["benchmark"], corpus.locate(0)[0].title(0)) == ("tvsum", "Tyres 🛞")
    labels = corpus.labels(0)
    assert labels is not None
    assert labels.score.shape == (6, 4)
    assert_near(labels.span, [[2.0 * i, 2.0 * i + 2] for i in range(6)], FUNCTION)
    assert list(faults(tmp_path / "out")) == []
    assert lines == [f"{tmp_path / 'out'}: 2 videos, 0 clips, 12 labelled segments, 2 topics (GA, VT), 0.01 hours"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"video": "../a"}, "video '../a': id"),
        ({"length": np.array([[0.0]])}, "video 'a': length: 0.0"),
        ({"nframes": np.array([[7.0]])}, "video 'a': user_anno: shape (4, 321), expected (annotators, 7 frames)"),
        ({"user_anno": np.full((4, 321), np.nan)}, "video 'a': labels.score: NaN"),
    ],
)
def test_a_video_that_does_not_fit_together_is_refused(tmp_path: Path, fields: dict[str, Any], expected: str) -> None:
    assert expected in refused(write(tmp_path / "x.mat", {"a": video(**fields)}))


def test_a_file_that_is_missing_foreign_or_cut_off_is_refused(tmp_path: Path) -> None:
    assert "no such file; expected TVSum's labels, ydata-tvsum50.mat" in refused(tmp_path / "none.mat")
    assert "a folder; expected TVSum's labels" in refused(tmp_path)
    path = write(tmp_path / "x.mat", {"a": video()})
    path.write_bytes(path.read_bytes()[:2000])
    assert str(path) in refused(path)
    path.write_text("MATLAB 5.0")
    assert "no HDF5 file; expected TVSum's labels" in refused(path)
    with h5py.File(path, "w") as file:
        file["other"] = 1
    assert "not what was expected, TVSum's labels" in refused(path)


def write_tsv(path: Path, videos: dict[str, tuple[str, np.ndarray[Any, Any]]]) -> Path:
    """The other file: a line an annotator, a score a frame."""
    lines = [f"{name}\t{category}\t{','.join(f'{x:g}' for x in row)}"
             for name, (category, score) in videos.items() for row in score.T]  # fmt: skip
    path.write_text("\n".join([*lines, ""]))
    return path


@given(st.sampled_from(RATES), st.integers(30, 300), st.integers(0, 40), st.integers(0, 99))
def test_scores_tell_their_frame_rate(fps: float, count: int, tail: int, seed: int) -> None:
    shots = np.random.default_rng(seed).integers(1, 6, size=(count, 20)).astype(float)
    rate = rate_of_scores(frames_of(shots, fps, tail))
    assert rate is not None
    # A change lies within a frame of its shot's end: over all of the shots the rate is off by at most two of them.
    assert rate == pytest.approx(fps, abs=2 / (2 * (count - 1)) + 0.05)
    assert to_shots(frames_of(shots, fps, tail), rate)[1] == 0


def test_the_file_of_text_gives_what_the_other_gives(tmp_path: Path) -> None:
    videos = {"a": video(), "b": video("b", 30.0, category="GA")}
    mat = write(tmp_path / "x.mat", videos)
    tsv = write_tsv(tmp_path / "x.tsv", {n: (str(v["category"]), v["user_anno"].T) for n, v in videos.items()})
    lines: list[str] = []
    tvsum.import_corpus(mat, tmp_path / "m", report=lines.append)
    tvsum.import_corpus(tsv, tmp_path / "t", report=lines.append)
    corpora = [Corpus(tmp_path / name) for name in "mt"]
    for index in range(2):
        of_mat, of_text = (corpus.labels(index) for corpus in corpora)
        assert of_mat is not None and of_text is not None
        np.testing.assert_array_equal(of_mat.score, of_text.score)
        np.testing.assert_array_equal(of_mat.span, of_text.span)
    assert [corpus.manifest["clock"] for corpus in corpora] == ["exact", "estimated"]
    assert f"{tsv}: frame rates of 2 videos are those that fit their scores" in lines
    (tmp_path / "fps.csv").write_text("id,fps\na,25\nb,30\nz,30\n")
    tvsum.import_corpus(tsv, tmp_path / "f", fps=tmp_path / "fps.csv", report=lines.append)
    assert Corpus(tmp_path / "f").manifest["clock"] == "exact"
    assert "1 of 3 frame rates are of no video here: z" in lines[-2]
    with pytest.raises(InputError, match="expected it with the .tsv alone"):
        tvsum.import_corpus(mat, tmp_path / "g", fps=tmp_path / "fps.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\tVT\t1,2\nb 1,2\n", "line 2: 1 fields parted by tabs, expected 3"),
        ("a\tVT\t1,x\n", "line 1: video 'a': expected finite numbers parted by commas"),
        ("a\tVT\t1,1_0\n", "line 1: video 'a': expected finite numbers parted by commas"),
        ("a\tVT\t1,\uff11\n", "line 1: video 'a': expected finite numbers parted by commas"),
        ("a\tVT\t1,nan\n", "line 1: video 'a': expected finite numbers"),
        ("a\tVT\t1,2\na\tVT\t1\n", "line 2: video 'a': 1 frames, 2 in a line before"),
        ("a\tVT\t1\na\tGA\t1\n", "line 2: video 'a': category 'GA', 'VT' in a line before"),
        ("../a\tVT\t1,2\n", "line 1: video '../a': id: expected a plain name"),
        ("a\tVT\t1,2\nb\tVT\t1\nb\tVT\t2\n", "video 'b': 2 annotators, expected 1 as of video 'a'"),
        ("a\tVT\t1\n", "video 'a': 1 frames at 30.00 a second: no whole shot"),
        ("a\tVT\t" + "1,2," * 100 + "1\n", "video 'a': scores that change within shots of 2 s at any frame rate; expected --fps"),
        ("a\tVT\t" + "1," * 200 + "1\n", "video 'a': scores that change within shots"),
        ("\n", "no line; expected TVSum's annotations"),
    ],
)  # fmt: skip
def test_a_file_of_text_that_does_not_fit_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "ydata-tvsum50-anno.tsv"
    path.write_text(text)
    line = refused(path)
    assert line.startswith(str(path))
    assert says in line


def test_a_pipe_is_not_waited_for_and_a_file_that_another_writes_to_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe: a pipe; expected TVSum's labels" in refused(tmp_path / "pipe")
    path = write(tmp_path / "x.mat", {"a": video()})
    with open(path, "rb") as file:  # as another process of the HDF5 library would
        fcntl.flock(file, fcntl.LOCK_EX)
        tvsum.import_corpus(path, tmp_path / "out", report=lambda line: None)
    assert len(Corpus(tmp_path / "out")) == 1


def test_a_cell_that_is_small_in_the_file_and_huge_in_memory_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.mat", {"a": video()})
    with h5py.File(path, "r+") as file:
        huge = file["#refs#"].create_dataset("huge", (20, 1 << 24), np.float64, chunks=(1, 1 << 20), compression="gzip")
        file["tvsum50/user_anno"][0, 0] = huge.ref
    assert "user_anno: row 0: float64 of shape (20, 16777216): more than a file of its size can hold" in refused(path)


def test_numbers_that_lie_outside_the_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\1" * 8 * 400)
    path = write(tmp_path / "x.mat", {"a": video()})
    with h5py.File(path, "r+") as file:
        outside = file["#refs#"].create_dataset(
            "out", (4, 100), np.float64, external=[(str(tmp_path / "secret"), 0, 3200)]
        )
        file["tvsum50/user_anno"][0, 0] = outside.ref
    assert "user_anno: row 0: not stored in this file" in refused(path)


def test_official_labels_equal_umts_on_every_shot_of_all_fifty_videos(shared_data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    tvsum.import_corpus(shared_data / "tvsum/ydata-tvsum50.mat", tmp_path / "out", report=lines.append)
    corpus = Corpus(tmp_path / "out")
    umt = json.loads((shared_data / "umt/tvsum/tvsum_anno.json").read_text())
    assert {name.decode() for name in corpus.ids} == umt.keys()
    for index, name in enumerate(corpus.ids):
        labels, entry = corpus.labels(index), umt[name.decode()]
        assert labels is not None
        np.testing.assert_array_equal(labels.score, np.array(entry["anno"], np.float32))
        assert corpus.tagged(entry["domain"])[index]
        assert corpus.duration[index] == pytest.approx(int(entry["frames"]) / entry["fps"], abs=0.1)
    assert len(lines) == 1  # no frame inside a shot differs from its middle


def test_the_official_scores_as_text_are_the_same_labels(shared_data: Path, tmp_path: Path) -> None:
    official = shared_data / "tvsum/ydata-tvsum50.mat"
    with foreign_hdf5(official, "TVSum") as file:
        table, scores = file["tvsum50"], {}
        for row in range(50):
            name, category = (file[table[field][row, 0]][()].astype("<u2").tobytes().decode("utf-16-le")
                              for field in ("video", "category"))  # fmt: skip
            scores[name] = (category, file[table["user_anno"][row, 0]][()].T)
    tvsum.import_corpus(write_tsv(tmp_path / "x.tsv", scores), tmp_path / "t", report=lambda line: None)
    tvsum.import_corpus(official, tmp_path / "m", report=lambda line: None)
    of_mat, of_text = Corpus(tmp_path / "m"), Corpus(tmp_path / "t")
    for index in range(50):
        labels, same = of_mat.labels(index), of_text.labels(index)
        assert labels is not None and same is not None
        np.testing.assert_array_equal(labels.score, same.score)
        assert of_text.duration[index] == pytest.approx(of_mat.duration[index], abs=0.05)


@pytest.mark.parametrize("as_text", [False, True])
def test_scores_that_float32_does_not_tell_apart_are_counted(tmp_path: Path, as_text: bool) -> None:
    close = video(user_anno=frames_of(np.array([[1.0], [1.00000001], [2.0], [3.0], [4.0], [5.0]]), 25.0, tail=20).T)
    path, lines = tmp_path / ("x.tsv" if as_text else "x.mat"), list[str]()
    if as_text:
        path.write_text("a\tVT\t" + ",".join(map(repr, close["user_anno"][0].tolist())) + "\n")
    else:
        write(path, {"a": close})
    tvsum.import_corpus(path, tmp_path / "out", report=lines.append)
    assert "1 videos have labels that differ by less than float32 holds, and tie" in lines[-2]
