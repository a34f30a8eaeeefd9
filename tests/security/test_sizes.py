"""A small file that stands for a large thing is refused before memory is asked for, and no other file is opened for it."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from rich.table import Table

from highlight_lit.config import overrides
from highlight_lit.data import video
from highlight_lit.data.importers import ave, cosum, npy, tvsum
from highlight_lit.data.shards import Shard, ShardWriter
from highlight_lit.data.video import Labels, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.evaluation import levels
from highlight_lit.evaluation.benchmarks import BENCHMARKS, LabelledVideo
from highlight_lit.evaluation.scores_csv import read_scores
from highlight_lit.files import reading
from highlight_lit.text import MAX_LINE, a_few, say, say_table
from highlight_lit.untrusted import csv_tables, hdf5_files

VIDEOS = 4
Change = Callable[[h5py.File, str, Any], object]


def ave_folder(root: Path, file: str = "", change: Change | None = None) -> Path:
    """AVE's files of four videos, one of them changed."""
    lines = [f"Dog&v{i}&good&0&10" for i in range(VIDEOS)]
    (root / ave.ANNOTATIONS).write_text("\n".join(["Category&VideoID&Quality&StartTime&EndTime", *lines]))
    onehot = np.zeros((VIDEOS, 10, 3))
    onehot[:, :, 0] = 1
    arrays = {"visual_feature.h5": np.ones((VIDEOS, 10, 6), "f4"), "audio_feature.h5": np.ones((VIDEOS, 10, 5), "f4"),
              "labels.h5": onehot, "train_order.h5": np.arange(2), "test_order.h5": np.arange(2, 4)}  # fmt: skip
    for name, array in arrays.items():
        key = "order" if "order" in name else "avadataset"
        with h5py.File(root / name, "w") as made:
            if name == file and change is not None:
                change(made, key, array)
            else:
                made[key] = array
    return root


def _elsewhere(made: h5py.File, key: str, array: Any) -> None:
    made[key] = h5py.ExternalLink("pipe.h5", "/x")


def _unwritten(*shape: int) -> Change:
    return lambda made, key, array: made.create_dataset(key, shape=shape, dtype="f4", chunks=(1,) * len(shape))


STRANGE: dict[str, Change] = {
    "virtual": lambda made, key, array: made.create_virtual_dataset(key, _virtual(array)),
    "external": lambda made, key, array: made.create_dataset(
        key, array.shape, "f4", external=[("/etc/hostname", 0, array.nbytes)]
    ),
    "compound": lambda made, key, array: made.create_dataset(key, data=np.zeros((VIDEOS, 10), [("a", "f4"), ("b", "i4")])),
    "link to itself": lambda made, key, array: made.__setitem__(key, h5py.SoftLink(f"/{key}")),
    "text": lambda made, key, array: made.create_dataset(key, array.shape, h5py.string_dtype()),
    "references": lambda made, key, array: made.create_dataset(key, array.shape, h5py.ref_dtype),
    "complex": lambda made, key, array: made.create_dataset(key, data=array.astype("c8")),
    "opaque": lambda made, key, array: made.create_dataset(key, data=np.zeros(array.shape, "V4")),
    "group": lambda made, key, array: made.create_group(key),
}  # fmt: skip


def _virtual(array: Any) -> h5py.VirtualLayout:
    layout = h5py.VirtualLayout(array.shape, "f4")
    layout[:] = h5py.VirtualSource("pipe.h5", "x", array.shape)
    return layout


@pytest.mark.parametrize("kind", STRANGE)
def test_ave_reads_numbers_of_the_file_itself_alone(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    ave_folder(tmp_path, "visual_feature.h5", STRANGE[kind])
    with pytest.raises(InputError, match=r"visual_feature\.h5: avadataset: (not stored|expected a dataset of num)"):
        ave.import_corpus(tmp_path, tmp_path / "corpus", report=lambda line: None)
    assert not (tmp_path / "corpus").exists()


def _one_chunk(made: h5py.File, key: str, array: Any) -> None:
    chunks, most = (4000, 10, 6000), (None,) * 3
    made.create_dataset(key, shape=array.shape, maxshape=most, chunks=chunks, dtype="f4", compression="gzip")


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("visual_feature.h5", _elsewhere, "expected a dataset of numbers that lies in this file"),
        ("test_order.h5", _elsewhere, "expected a dataset of numbers that lies in this file"),
        ("visual_feature.h5", _unwritten(VIDEOS, 10, 1 << 28), "more than a file of its size can hold"),
        ("visual_feature.h5", _unwritten(VIDEOS, 10, 1 << 13, 1 << 13, 6), "more than a file of its size can hold"),
        ("labels.h5", _unwritten(VIDEOS, 10, 1 << 30), "more than a file of its size can hold"),
        ("visual_feature.h5", _one_chunk, "chunks of"),
    ],
)  # fmt: skip
def test_ave_in_a_small_file_that_stands_for_much_is_refused(
    tmp_path: Path, file: str, change: Change, says: str
) -> None:
    os.mkfifo(tmp_path / "pipe.h5")  # a link to it would be waited for
    ave_folder(tmp_path, file, change)
    with pytest.raises(InputError, match=f"{file}.*{says}"):
        ave.import_corpus(tmp_path, tmp_path / "corpus", report=lambda line: None)
    assert not (tmp_path / "corpus").exists()


def test_a_video_of_ave_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ave, "MAX_VIDEO_BYTES", 239)
    with pytest.raises(InputError, match="over 0 MiB a video"):
        ave.import_corpus(ave_folder(tmp_path), tmp_path / "corpus")


@pytest.mark.parametrize("place", ["tvsum50", "tvsum50/video", "tvsum50/length"])
def test_no_link_of_tvsum_is_followed_to_another_file(tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    with h5py.File(tmp_path / "a.mat", "w") as file:
        cell = file.create_dataset("cell", data=np.full((1, 1), ord("a"), "u2"))
        if place != "tvsum50":
            for name in ("video", "category", "title", "length", "nframes", "user_anno"):
                if f"tvsum50/{name}" != place:
                    file.create_dataset(f"tvsum50/{name}", (1, 1), dtype=h5py.ref_dtype)[0, 0] = cell.ref
        file[place] = h5py.ExternalLink("pipe.h5", "/x")
    with pytest.raises(InputError, match=r"a\.mat.*expected"):
        tvsum.import_corpus(tmp_path / "a.mat", tmp_path / "corpus")


@pytest.mark.parametrize("name", ["labels", "other"])
def test_a_matlab_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "shots/1_base").mkdir(parents=True)
    (tmp_path / "annotation/1_base").mkdir(parents=True)
    (tmp_path / "shots/1_base/base1_shots.txt").write_text("1 50 100")
    for judge in "abc":
        values = {"labels": np.array([[1, 1]]), **({name: np.zeros((10**7, 2))} if judge == "b" else {})}
        scipy.io.savemat(tmp_path / f"annotation/1_base/1__{judge}.mat", values, do_compression=True)
    with pytest.raises(InputError, match=r"1__b\.mat.*over 128 KiB"):
        cosum.import_corpus(tmp_path, tmp_path / "corpus", report=lambda line: None)


def npy_folder(root: Path, table: str = "v,5,dog\n") -> Path:
    (root / "f/visual").mkdir(parents=True)
    np.save(root / "f/visual/v.npy", np.ones((5, 4), "f4"))
    (root / "t.csv").write_text(f"id,duration,tags\n{table}")
    return root


def test_an_array_that_is_mostly_a_hole_is_refused(tmp_path: Path) -> None:
    path = npy_folder(tmp_path) / "f/visual/v.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (5, 1 << 28)}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + (5 << 30))
    with pytest.raises(InputError, match=r"v\.npy: 5120 MiB; expected at most 1024 MiB a video"):
        npy.import_corpus(tmp_path / "f", tmp_path / "c", videos=tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["v" * 256, "é" * 128, "w" * 100_000])
def test_an_id_longer_than_a_files_name_is_refused_in_a_short_line(tmp_path: Path, name: str) -> None:
    npy_folder(tmp_path, f"{name},5,dog\n")
    with pytest.raises(InputError, match="id: expected at most 255 bytes") as refused:
        npy.import_corpus(tmp_path / "f", tmp_path / "c", videos=tmp_path / "t.csv")
    assert len(str(refused.value)) < 500


def test_json_of_many_small_values_and_a_table_of_many_rows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_JSON_VALUES", 100)
    path = tmp_path / "a.json"
    for value in ([[]] * 60, [{}] * 60, list(range(110)), {str(i): i for i in range(60)}):
        path.write_text(json.dumps(value))
        with pytest.raises(InputError, match=r"a\.json: over 100 values"):
            reading.read_json(path, "something")
    table = tmp_path / "a.csv"
    table.write_text("a\n" + "1\n\n" * 20)
    assert len(list(csv_tables.read_table(table, ["a"], rows=20))) == 20
    with pytest.raises(InputError, match=r"a\.csv: over 19 rows"):
        list(csv_tables.read_table(table, ["a"], rows=19))


def test_scores_are_read_in_order_of_their_start_whatever_the_order_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("video,start,end,score\na,2,3,1\nb,0,1,5\na,0,2,4\na,0,1,3\n")
    scores = read_scores(path)
    assert scores["a"].span.tolist() == [[0, 1], [0, 2], [2, 3]]
    assert scores["a"].score.tolist() == [3, 4, 1]
    assert scores["b"].score.tolist() == [5]


def test_chance_is_the_same_to_the_bit_however_many_rankings_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    span = np.stack([np.arange(30.0), np.arange(1.0, 31.0)], axis=1)
    videos = [LabelledVideo(f"v{i}", "dog", 30.0, span, rng.integers(0, 2, (30, 3)).astype("f4")) for i in range(3)]
    for benchmark in BENCHMARKS.values():
        monkeypatch.setattr(levels, "MAX_DRAWN", 1 << 22)
        whole = levels.chance(benchmark, videos, draws=50).to_dict()
        for most in (1, 30, 300):
            monkeypatch.setattr(levels, "MAX_DRAWN", most)
            assert levels.chance(benchmark, videos, draws=50).to_dict() == whole


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_rankings_of_many_annotators_are_in_memory_a_few_at_a_time(
    benchmark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 400 segments, 200 annotators and 20 rankings, all at once take 100 MB."""
    monkeypatch.setattr(levels, "MAX_DRAWN", 1 << 14)
    span = np.stack([np.arange(400.0), np.arange(1.0, 401.0)], axis=1)
    score = np.random.default_rng(0).integers(0, 2, (400, 200)).astype("f4")
    tracemalloc.start()
    try:
        levels.chance(BENCHMARKS[benchmark], [LabelledVideo("a", "dog", 400.0, span, score)], draws=20)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(10, 7), (40, 3)])
def test_labels_of_many_annotators_or_numbers_are_refused(
    shape: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    span = np.stack([np.arange(shape[0]), np.arange(shape[0]) + 1.0], axis=1)
    labelled = Video("a", 40.0, (), np.empty((0, 2)), labels=Labels(span, np.ones(shape, "f4")))
    with ShardWriter(tmp_path / "a.h5", {}, 1.0) as made:
        made.add(labelled)
    monkeypatch.setattr(video, "MAX_ANNOTATORS", 6)
    monkeypatch.setattr(video, "MAX_LABELS", 100)
    with pytest.raises(
        InputError, match=r"a\.h5: row 0: labels\.score: shape .*; expected at most 6 annotators and 100"
    ):
        Shard(tmp_path / "a.h5").labels(0)


def test_rows_that_the_disk_does_not_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole in a file costs nothing to make, and archives keep it."""
    monkeypatch.setattr(hdf5_files, "MIN_BYTES", 1 << 16)
    span = np.stack([np.arange(4096.0), np.arange(4096) + 1.0], axis=1)
    with ShardWriter(tmp_path / "a.h5", {"visual": Stream(2048)}, 1.0) as made:
        made.add(Video("a", 4096.0, (), span, np.zeros((4096, 2048), "f2")))
    extent = Shard(tmp_path / "a.h5").packed["visual"].extent
    assert extent is not None
    with open(tmp_path / "a.h5", "rb") as whole, open(tmp_path / "b.h5", "wb") as holed:
        holed.write(whole.read(extent[0]))
        holed.seek(whole.seek(extent[1]))
        holed.write(whole.read())
    if (tmp_path / "b.h5").stat().st_blocks * 512 > 1 << 19:
        pytest.skip("no holes on this file system")
    with pytest.raises(InputError, match=r"b\.h5: visual: .*more than a file of its size can hold"):
        Shard(tmp_path / "b.h5")


def test_a_long_name_is_short_in_a_table_and_among_others(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(Table("a", title="x" * 10**6))
    assert len(capsys.readouterr().out) < 2 * MAX_LINE
    assert len(a_few(["x" * 10**6] * 9, 2)) < 3 * MAX_LINE


def test_an_error_and_a_printed_line_stay_one_short_line(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("a\nb\x1b[2J" + "x" * 10**7 + "the end", "\x1b" * 10**6, "ok"):
        said = str(InputError(text))
        assert len(said) <= MAX_LINE
        assert "\n" not in said
        assert "\x1b" not in said
        say(text)
        assert capsys.readouterr().out == said + "\n"
    assert str(InputError("a" * 10**6 + "the end")).endswith("the end")


@pytest.mark.parametrize("text", ["(" * 100_000, "[(" * 50_000, "(," * 50_000, ",".join("ab" * 20_000), "'" * 100_000])
def test_a_long_value_is_parted_in_time_that_grows_with_it(text: str) -> None:
    assert ",".join(part for part in overrides.split(text)) == text


@pytest.mark.parametrize("word", ["seed=" + "9" * 5000, "beta=-" + "1" * 5000, "tau=[" + "7" * 4301 + "]"])
def test_a_number_of_thousands_of_digits_is_one_line(word: str) -> None:
    with pytest.raises(InputError, match=re.escape(word.split("=")[0])) as refused:
        overrides.prepared([word])
    assert len(str(refused.value)) <= MAX_LINE
