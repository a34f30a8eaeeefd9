"""A few kilobytes that stand for hundreds of megabytes are refused by every importer, and so is what is read without end."""

from __future__ import annotations

import io
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.importers import ave, cosum, h5, npy, npz, tvsum
from highlight_lit.data.importers.formats import foreign_hdf5, tvsum_table
from highlight_lit.data.shards import ShardWriter, writer
from highlight_lit.data.video import Labels, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.evaluation.judge import labelled_videos
from highlight_lit.files import sizes
from highlight_lit.inference.feature_files import videos_of
from highlight_lit.untrusted import hdf5_files

MANY = 1 << 28


def zeros(group: h5py.Group, name: str, *shape: int) -> None:
    """A dataset of single bytes of which nothing is written."""
    chunks = (min(shape[0], (1 << 25) // int(np.prod(shape[1:]))), *shape[1:])
    group.create_dataset(name, shape, "i1", chunks=chunks, compression="gzip")


FEW = {"features": np.ones((5, 4), "f4"), "picks": np.arange(5), "n_frames": np.array(100)}
LARGE: dict[str, tuple[int, ...]] = {
    "features": (MANY // 4, 4), "picks": (MANY,), "n_frames": (MANY,), "gtscore": (MANY,), "user_summary": (1024, MANY >> 10)
}  # fmt: skip


@pytest.mark.parametrize("field", LARGE)
@pytest.mark.parametrize("padding", [0, 3 << 20])
def test_a_field_of_a_summary_file_that_is_mostly_nothing_is_refused(tmp_path: Path, field: str, padding: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("v")
        for name, values in FEW.items():
            if name != field:
                group[name] = values
        zeros(group, field, *LARGE[field])
        group["padding"] = np.frombuffer(np.random.default_rng(0).bytes(padding), "u1")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=rf"a\.h5: video 'v': {field}: .*(more than a file|expected at most)"):
        h5.import_corpus(tmp_path / "a.h5", tmp_path / "c", tag="x", report=lambda line: None)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 << 10  # KiB


def test_numbers_that_many_groups_link_to_are_not_read_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v0/features"] = np.ones((64, 16), "f4")
        for number in range(1, 200):
            file[f"v{number}/features"] = file["v0/features"]
    h5.import_corpus(tmp_path / "a.h5", tmp_path / "c", tag="x", report=lambda line: None)
    monkeypatch.setattr(foreign_hdf5, "MAX_BYTES", 1 << 16)
    monkeypatch.setattr(hdf5_files, "MIN_BYTES", 1 << 16)
    monkeypatch.setattr(hdf5_files, "MAX_RATIO", 2)
    with pytest.raises(InputError, match="features: read again and again"):
        h5.import_corpus(tmp_path / "a.h5", tmp_path / "d", tag="x", report=lambda line: None)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("field", "shape"), [("user_anno", (2048, 8192)), ("title", (1, 1 << 13)), ("length", (1, 1 << 13))]
)
def test_a_cell_of_tvsum_is_bounded(tmp_path: Path, field: str, shape: tuple[int, ...]) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        letter = np.array([[97]], np.uint16)
        cells = {"video": letter, "category": letter, "title": letter, "length": [[2.0]], "nframes": [[60]],
                 "user_anno": np.ones((1, 60))}  # fmt: skip
        for name, value in cells.items():
            if name == field:
                zeros(file, name, *shape)
            else:
                file[name] = np.array(value)
            file.create_dataset(f"tvsum50/{name}", (1, 1), dtype=h5py.ref_dtype)[0, 0] = file[name].ref
    with pytest.raises(InputError, match=rf"a\.mat: {field}: row 0: .*(more than a file|expected at most)"):
        tvsum.import_corpus(tmp_path / "a.mat", tmp_path / "c", report=lambda line: None)


def nested_cells(depth: int) -> bytes:
    """A MATLAB file whose `labels` is a cell in a cell in a cell."""
    head = struct.pack("<10I", 6, 8, 1, 0, 5, 8, 1, 1, 1, 0)
    first = struct.pack("<10I", 6, 8, 1, 0, 5, 8, 1, 1, 1, 6) + b"labels\0\0"
    parts, size = [struct.pack("<2I", 14, 0)], 8
    for number in range(depth):
        start = first if number == depth - 1 else head
        parts.append(struct.pack("<2I", 14, size + len(start)) + start)
        size += 8 + len(start)
    packed = zlib.compress(b"".join(reversed(parts)), 9)
    return (
        b"MATLAB 5.0".ljust(116)
        + bytes(8)
        + struct.pack("<H", 256)
        + b"IM"
        + struct.pack("<2I", 15, len(packed))
        + packed
    )


def _matrix(values: object) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, {"labels": values}, do_compression=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: nested_cells(60_000), r"cell of shape \(1, 1\)"),
        (lambda: _matrix(np.ones((1 << 17, 2), "u1")), r"uint8 of shape \(131072, 2\)"),
        (lambda: _matrix({"a": 1}), r"struct of shape \(1, 1\)"),
        (lambda: _matrix(scipy.sparse.eye(2)), r"sparse of shape \(2, 2\)"),
    ],
    ids=["nested", "long", "struct", "sparse"],
)  # fmt: skip
def test_a_judges_file_is_looked_at_before_it_is_read(tmp_path: Path, content: Callable[[], bytes], says: str) -> None:
    for name in ("shots", "annotation"):
        (tmp_path / name / "1_base").mkdir(parents=True)
    (tmp_path / "shots/1_base/base1_shots.txt").write_text("1 50 100")
    for judge in "abc":
        path = tmp_path / f"annotation/1_base/1__{judge}.mat"
        path.write_bytes(content() if judge == "b" else _matrix([[1, 1]]))
    with pytest.raises(InputError, match=rf"1__b\.mat: video 'base1': labels: {says}; expected a matrix"):
        cosum.import_corpus(tmp_path, tmp_path / "c", report=lambda line: None)


def header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("kind", ["hole", "import", "score"])
def test_an_array_of_which_next_to_nothing_is_stored_is_refused(tmp_path: Path, kind: str) -> None:
    shape = (1 << 15, 1 << 10)  # 128 MiB
    (tmp_path / "f/visual").mkdir(parents=True)
    if kind == "hole":
        with open(tmp_path / "f/visual/v.npy", "wb") as file:
            file.write(header(shape))
            file.truncate(file.tell() + (4 << 25))
        (tmp_path / "t.csv").write_text("id,duration,tags\nv,5,x\n")
    else:
        with zipfile.ZipFile(tmp_path / "f/v.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("features.npy", header(shape) + bytes(4 << 25))
    read = {
        "hole": lambda: npy.import_corpus(tmp_path / "f", tmp_path / "c", videos=tmp_path / "t.csv"),
        "import": lambda: npz.import_corpus(tmp_path / "f", tmp_path / "c", tag="x", report=lambda line: None),
        "score": lambda: videos_of([tmp_path / "f/v.npz"], ["visual"])[0].read({"visual": Stream(1 << 10)}),
    }
    with pytest.raises(InputError, match=rf"128 MiB of .* expected at most {sizes.MAX_PACKED} times"):
        read[kind]()


@pytest.mark.parametrize("kind", ["import", "score"])
def test_an_archive_of_arrays_with_a_long_list_of_members_is_refused_before_the_list_is_read(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").mkdir()
    with zipfile.ZipFile(tmp_path / "f/v.npz", "w") as archive:
        archive.writestr("features.npy", header((4, 2)) + bytes(4 * 2 * 4))
        for number in range(12):
            archive.writestr(f"{number:0>60000}.npy", b"")
    assert videos_of([tmp_path / "f/v.npz"], ["visual"])[0].read({"visual": Stream(2)})["visual"].shape == (4, 2)
    with zipfile.ZipFile(tmp_path / "f/v.npz", "a") as archive:
        for number in range(12, 20):
            archive.writestr(f"{number:0>60000}.npy", b"")
    monkeypatch.setattr(zipfile.ZipFile, "__init__", None)  # opened, it has been read
    read = {
        "import": lambda: npz.import_corpus(tmp_path / "f", tmp_path / "c", tag="x", report=lambda line: None),
        "score": lambda: videos_of([tmp_path / "f/v.npz"], ["visual"])[0].read({"visual": Stream(2)}),
    }
    with pytest.raises(InputError, match=r"v\.npz: .*a list of members of over 1 MiB"):
        read[kind]()


def test_clips_of_a_video_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    span = np.stack([np.arange(4.0), np.arange(1.0, 5.0)], axis=1)
    one = Video("a", 4.0, (), span)
    assert one.fault({}) is None
    monkeypatch.setattr("highlight_lit.data.video.MAX_CLIPS", 3)
    assert one.fault({}) == "span: 4 clips; expected at most 3 a video, a bound that cannot be raised"


def test_labelled_segments_are_bounded_of_a_video_and_of_all_that_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    span = np.stack([np.arange(4.0), np.arange(1.0, 5.0)], axis=1)
    labels = Labels(span, np.ones((4, 1), "f4"))
    videos = [
        Video(name, 4.0, (topic,), np.empty((0, 2)), labels=labels) for name, topic in zip("abc", "xxy", strict=True)
    ]
    write_corpus(tmp_path / "c", videos, {}, name="c", clip_seconds=1.0)
    corpus = Corpus(tmp_path / "c")
    monkeypatch.setattr("highlight_lit.evaluation.judge.MAX_SEGMENTS", 11)
    assert len(labelled_videos(corpus, ["x"])) == 2
    with pytest.raises(InputError, match=r"topic=y: video 'c': with it over 11 labelled segments; .*fewer topics"):
        labelled_videos(corpus, ["x", "y"])
    monkeypatch.setattr("highlight_lit.data.video.MAX_SEGMENTS", 3)
    with pytest.raises(InputError, match="labels.span: 4 segments; expected at most 3 a video, a bound that"):
        labelled_videos(corpus, ["y"])


def test_labels_of_a_file_are_counted_with_the_columns_that_each_gets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MAX_SCORES", 100)
    span = np.stack([np.arange(40.0), np.arange(1.0, 41.0)], axis=1)
    long = Video("a", 40.0, (), np.empty((0, 2)), labels=Labels(span, np.ones((40, 1), "f4")))
    wide = Video("b", 40.0, (), np.empty((0, 2)), labels=Labels(span[:1], np.ones((1, 50), "f4")))
    for order in ([long, wide], [wide, long]):
        with ShardWriter(tmp_path / f"{order[0].id}.h5", {}, 1.0) as made:
            made.add(order[0])
            says = rf"video '{order[1].id}': labels: segments: 41 .* expected at most 100"
            with pytest.raises(InputError, match=says):
                made.add(order[1])


def test_names_of_tags_are_counted_as_long_as_the_longest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_TAG_BYTES", 100)
    videos = [Video("a", 1.0, ("x" * 50,), np.empty((0, 2))), Video("b", 1.0, ("y", "z"), np.empty((0, 2)))]
    for first, second in (videos, videos[::-1]):
        with ShardWriter(tmp_path / f"{first.id}.h5", {}, 1.0) as made:
            made.add(first)
            with pytest.raises(InputError, match=rf"video '{second.id}': tags: names: 3 up to it, one of 50 bytes"):
                made.add(second)


@pytest.mark.parametrize("category", ["Dog\x1b[2J", "a\\b", "c" * 300])
def test_an_id_that_a_category_is_made_part_of_is_a_plain_name(tmp_path: Path, category: str) -> None:
    lines = ["Dog&v&good&0&10", f"{category}&v&good&0&10"]
    (tmp_path / ave.ANNOTATIONS).write_text("\n".join([ave.FIELDS, *lines]))
    with pytest.raises(InputError, match=r"Annotations\.txt: line 3: video .* id: expected"):
        ave.import_corpus(tmp_path, tmp_path / "c", report=lambda line: None)


def test_lists_of_numbers_are_measured_before_they_are_parted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tvsum_table, "MAX_SCORES", 8)
    for number, lines in enumerate(["v\tVT\t" + ",".join("1" * 9), "v\tVT\t1,2,3\n" * 3]):
        (tmp_path / f"{number}.tsv").write_text(lines)
        with pytest.raises(InputError, match="video 'v': over 8 scores"):
            tvsum.import_corpus(tmp_path / f"{number}.tsv", tmp_path / "c")
    monkeypatch.setattr(tvsum_table, "MAX_FRAMES", 8)
    with pytest.raises(InputError, match="line 1: video 'v': over 8 frames, the most"):
        tvsum.import_corpus(tmp_path / "0.tsv", tmp_path / "c")
    (tmp_path / "shots/1_base").mkdir(parents=True)
    (tmp_path / "shots/1_base/base1_shots.txt").write_text("1 " * (1 << 20))
    for judge in "abc":
        (tmp_path / "annotation/1_base").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"annotation/1_base/1__{judge}.mat").write_bytes(_matrix([[1, 1]]))
    with pytest.raises(InputError, match=r"base1_shots\.txt: over 1 MiB"):
        cosum.import_corpus(tmp_path, tmp_path / "c", report=lambda line: None)
    (tmp_path / ave.ANNOTATIONS).write_text("A&b&c&0&1\n" * (1 << 19))
    with pytest.raises(InputError, match=r"Annotations\.txt: over 4 MiB"):
        ave.import_corpus(tmp_path, tmp_path / "c", report=lambda line: None)


def test_scores_that_change_at_each_frame_fit_no_rate_and_take_no_time() -> None:
    assert tvsum_table.rate_of_scores(np.resize([1.0, 2.0], (10**6, 1))) is None
