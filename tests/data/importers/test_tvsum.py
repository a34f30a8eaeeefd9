"""TVSum's official labels: scores of frames become scores of 2-second shots."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.importers import tvsum
from highlight_lit.data.importers.tvsum import RATES, frame_rate, to_shots
from highlight_lit.data.verify import faults
from highlight_lit.errors import InputError
from tests.tolerance import FUNCTION, assert_near


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


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        tvsum.import_corpus(path, path.parent / "out", report=lambda line: None)
    assert not (path.parent / "out").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(st.sampled_from(RATES), st.integers(1, 300), st.integers(0, 40), st.integers(0, 99))
def test_every_shot_of_every_annotator_comes_back_from_its_frames(fps: float, count: int, tail: int, seed: int) -> None:
    shots = np.random.default_rng(seed).integers(1, 6, size=(count, 20)).astype(float)
    score = frames_of(shots, fps, tail)
    found, differing = to_shots(score, fps)
    np.testing.assert_array_equal(found, shots)
    assert differing == 0


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


def test_the_other_file_of_tvsum_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "ydata-tvsum50-anno.tsv"
    path.write_text("AwmHb44_ouw\tVT\t4,4,4,3\n")
    line = refused(path)
    assert line.startswith(f"{path}: TVSum's annotations as text")
    assert "expected ydata-tvsum50.mat" in line


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
    assert "user_anno: row 0: not numbers stored in this file" in refused(path)


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
