"""Folders of .npz files: which are visual and which audio, what stands side by side, and each thing that is refused."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.importers import npz
from highlight_lit.data.importers.formats.npz_rows import NpzRows
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.inference.feature_files import videos_of
from tests.data.importers import tried

load = partial(tried.load, npz)

Array = np.ndarray[Any, Any]


def rows(clips: int, width: int, kind: str = "f4") -> Array:
    return np.random.default_rng(clips + width).normal(size=(clips, width)).astype(kind)


def save(source: Path, name: str, array: Array, key: str = "features") -> Path:
    path = source / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: array})
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two videos of 75 and 4 clips as Moment-DETR's users have them; the second is silent."""
    root = tmp_path / "features"
    for name, clips in (("NUsG9BgSes0_210.0_360.0", 75), ("b", 4)):
        save(root, f"slowfast_features/{name}", rows(clips, 3))
        save(root, f"clip_features/{name}", rows(clips, 2))
        save(root, f"clip_text_features/qid{clips}", rows(7, 2), "last_hidden_state")
    save(root, "pann_features/b", rows(4, 5, "f2"))
    return root


@pytest.fixture
def refused(source: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that an import ends in, with status 2 and nothing left behind."""

    def call(*words: object, root: Path = source) -> str:
        before = sorted(source.parent.iterdir())
        assert main(["import", "npz", str(root), "--out", str(source.parent / "out"), *map(str, words)]) == 2
        assert sorted(source.parent.iterdir()) == before
        line = capfd.readouterr().err
        assert line.count("\n") == 1
        return line

    return call


def test_visual_folders_stand_side_by_side_and_audio_is_told_by_its_name(source: Path) -> None:
    corpus, lines = load(source, tag="Vlog")
    assert corpus.ids.tolist() == [b"NUsG9BgSes0_210.0_360.0", b"b"]
    assert corpus.duration.tolist() == [150, 8]
    assert corpus.rows(1, "span").tolist() == [[0, 2], [2, 4], [4, 6], [6, 8]]
    np.testing.assert_array_equal(corpus.rows(0, "visual"), np.concatenate([rows(75, 2), rows(75, 3)], axis=1))
    np.testing.assert_array_equal(corpus.rows(1, "audio"), rows(4, 5, "f2"))
    assert [bool(corpus.rows(video, "audio_mask").all()) for video in (0, 1)] == [False, True]
    assert {name: (of.width, of.dtype) for name, of in corpus.streams.items()} == {
        "visual": (5, "float32"), "audio": (5, "float16"),
    }  # fmt: skip
    assert (corpus.topics, corpus.streams["visual"].extractor) == (("vlog",), "clip_features+slowfast_features")
    assert lines[0] == f"{source}: clip_text_features: left out (--visual and --audio name folders)"
    assert lines[1] == f"{source}: visual: clip_features + slowfast_features; audio: pann_features"


def test_folders_may_be_named_and_one_folder_stands_for_itself(source: Path) -> None:
    corpus, _ = load(source, visual=["slowfast_features"])
    assert list(corpus.streams) == ["visual", "audio"]
    assert corpus.streams["visual"].width == 3
    out = source.parent / "out"
    out.rename(source.parent / "other")
    lines: list[str] = []
    npz.import_corpus(source / "slowfast_features", out, report=lines.append)
    assert list(Corpus(out).streams) == ["visual"]


def test_a_table_gives_tags_durations_and_lists(source: Path, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("id,tags,duration,split\nb,dog;pet,7.5,val\nNUsG9BgSes0_210.0_360.0,ski,,train\n")
    corpus, _ = load(source, videos=tmp_path / "v.csv")
    assert corpus.topics == ("dog", "pet", "ski")
    assert corpus.duration.tolist() == [7.5, 150]
    assert corpus.rows(0, "span")[-1].tolist() == [6, 7.5]
    assert corpus.split.tolist() == ["val", "train"]


@pytest.mark.parametrize(("clips", "kept"), [(3, 3), (5, 4), (6, 4), (2, 2)])
def test_files_of_other_lengths_are_cut_to_the_shortest_with_a_note(source: Path, clips: int, kept: int) -> None:
    save(source, "clip_features/b", rows(clips, 2))
    corpus, lines = load(source)
    assert corpus.clips.tolist() == [75, kept]
    assert any(
        f"video 'b': cut to {kept} clips: clip_features/b.npz: {clips}, slowfast_features/b.npz: 4" in line
        for line in lines
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("packed", [True, False])
def test_an_array_is_read_whatever_its_order_and_packing(tmp_path: Path, order: Any, packed: bool) -> None:
    array = np.asarray(rows(9, 4, "f8"), order=order)
    (np.savez_compressed if packed else np.savez)(tmp_path / "a.npz", features=array)
    found = NpzRows(tmp_path / "a.npz", "here: visual: a.npz")
    assert (found.shape, found.dtype, len(found)) == ((9, 4), np.float64, 9)
    np.testing.assert_array_equal(found[:5], array[:5])


def test_one_row_and_float64_are_a_corpus(source: Path) -> None:
    for path in source.glob("*/*.npz"):
        path.unlink()
    save(source, "slowfast_features/é", rows(1, 3, "f8"))
    corpus, _ = load(source)
    assert (corpus.clips.tolist(), corpus.streams["visual"].dtype) == ([1], "float32")


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("clip_features/b", rows(9, 2), "video 'b': rows disagree by more than 2: clip_features/b.npz: 9, slowfast"),
        ("clip_features/b", rows(4, 3), "clip_features: video 'b': visual: 3 wide, expected 2 as of video 'NUsG9BgSes0_210.0_360.0'"),
        ("clip_features/b", np.full((4, 2), np.nan), "video 'b': visual: NaN or infinite in clip 0 and 3 more"),
        ("clip_features/b", np.full((4, 2), 1e39), "video 'b': visual: 1e+39 in clip 0 is a value beyond the range of float32"),
        ("clip_features/b", np.ones((4, 2), int), "b.npz: features: int64 of shape (4, 2), expected floating point"),
        ("clip_features/b", np.ones(4), "b.npz: features: float64 of shape (4,), expected"),
        ("clip_features/b", np.ones((0, 2)), "b.npz: features: float64 of shape (0, 2), expected"),
        ("clip_features/c", rows(4, 2), "1 of 3 videos of {source}: no array in {source}/slowfast_features: c"),
        ("pann_features/c", rows(4, 5), "1 of 3 videos of {source}: no array in {source}/clip_features: c"),
        ("clip_features/a\x1b[2J", rows(4, 2), "id: expected a plain name"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(source: Path, refused: Any, name: str, array: Array, says: str) -> None:
    save(source, name, array)
    assert says.format(source=source) in refused()


def test_a_video_without_all_of_its_files_is_left_out_where_that_is_allowed(source: Path) -> None:
    save(source, "clip_features/c", rows(4, 2))
    corpus, lines = load(source, allow_unmatched=True)
    assert corpus.ids.tolist() == [b"NUsG9BgSes0_210.0_360.0", b"b"]
    assert any("no array in" in line and line.endswith("c; left out") for line in lines)


def test_folders_that_hold_nothing_to_read_are_refused(source: Path, refused: Any, tmp_path: Path) -> None:
    assert "slow: no folder of .npz files; there are clip_features, clip_text_features, pann" in refused(
        "--visual", "slow"
    )
    assert "as --visual and as --audio" in refused("--visual", "clip_features", "--audio", "clip_features")
    assert "no such folder" in refused(root=tmp_path / "none")
    (tmp_path / "other/visual").mkdir(parents=True)
    assert "no .npz file in it or in a folder of it\n" in refused(root=tmp_path / "other")
    np.save(tmp_path / "other/visual/a.npy", rows(2, 2))
    assert "there are .npy files, which 'import npy' reads" in refused(root=tmp_path / "other")
    save(tmp_path, "query/text/a", rows(2, 2))
    assert "no folder of visual or audio features" in refused(root=tmp_path / "query")
    for form in ("NFC", "NFD"):
        save(source, f"clip_features/{unicodedata.normalize(form, 'é')}", rows(4, 2))  # type: ignore[arg-type]
    assert "there twice, in two Unicode forms" in refused()


def test_a_pickled_array_is_refused_with_the_line_that_converts_it(source: Path, refused: Any) -> None:
    array = rows(4, 2)
    path = source / "clip_features/b.npz"
    np.savez(path, features=np.array([list(row) for row in array], dtype=object), other=array)
    line = refused()
    assert "b.npz: features: pickled, which could run anything and is never read" in line
    command = line.partition("trust where it is from: python ")[2]
    assert subprocess.run(f"{sys.executable} {command}", shell=True, check=False).returncode == 0
    corpus, _ = load(source)
    np.testing.assert_array_equal(corpus.rows(1, "visual")[:, :2], array)
    np.testing.assert_array_equal(np.load(path)["other"], array)


def test_files_that_are_no_npz_or_lie_about_their_size_are_refused(source: Path, refused: Any) -> None:
    path = source / "clip_features/b.npz"
    path.write_text("features")
    assert "b.npz: truncated or not a plain .npz file (File is not a zip file)" in refused()
    save(source, "clip_features/b", rows(4, 2), "feats")
    assert "b.npz: keys feats; expected 'features'" in refused()
    whole = save(source, "clip_features/b", rows(400, 2)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated or not a plain .npz" in refused()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        header = (
            b"\x93NUMPY\x01\x00\x76\x00"
            + b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2), }".ljust(117)
            + b"\n"
        )
        file.writestr("features.npy", header + bytes(1 << 24))
    assert "b.npz: features: truncated, or longer than its header says" in refused()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("features.npy", re.sub(rb"\(4, 2\), }   ", b"(1<<40,)}   ", header))
    assert "truncated or not a plain .npz" in refused()


def npy_bytes(array: Array) -> bytes:
    np.save(file := io.BytesIO(), array)
    return file.getvalue()


@pytest.mark.parametrize("copies", [("features.npy", "features.npy"), ("features", "features.npy")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_key_are_refused_where_readers_may_take_either(
    source: Path, refused: Any, copies: tuple[str, ...]
) -> None:
    path = source / "slowfast_features/b.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(copies):
            archive.writestr(name, npy_bytes(rows(4, 3) + number))
    assert "b.npz: features: 2 arrays of this key; expected one" in refused()
    with pytest.raises(InputError, match="b.npz: features: 2 arrays of this key; expected one"):
        videos_of([path], ["visual"])[0].read({"visual": Stream(3)})


def test_an_array_of_more_rows_than_its_header_says_is_refused(source: Path, refused: Any) -> None:
    path = source / "slowfast_features/b.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.npy", npy_bytes(rows(4, 3)) + bytes(4 * 3 * 4))
    assert "b.npz: features: truncated, or longer than its header says" in refused()
    with pytest.raises(InputError, match="b.npz: features: truncated, or longer than its header says"):
        videos_of([path], ["visual"])[0].read({"visual": Stream(3)})


@pytest.mark.parametrize(
    "header",
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -3)}",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (", "{'descr': '<f4', 'fortran_order': False, 'shape': (10**12, 3)}",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3)}",
     "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904)}"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["npz", "features npz", "features npy"])
def test_a_header_that_claims_what_cannot_be_is_one_line(
    source: Path, refused: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder, header: str, kind: str
) -> None:
    text = header.encode() + b"\n"
    made = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(12)
    path = source / "slowfast_features/b.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("features.npy", made)
    if kind == "npz":
        assert "b.npz" in refused()
        return
    if kind == "features npy":
        path = tmp_path / "b.npy"
        path.write_bytes(made)
    streams = {"visual": Stream(3, dtype="float32")}
    with pytest.raises(InputError, match=path.name):
        videos_of([path], streams)[0].read(streams)
    assert not recwarn.list
