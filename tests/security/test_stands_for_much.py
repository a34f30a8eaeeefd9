"""Files that say they hold more than they do, with a hole or a false size, take no memory by their word."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus import corpus as corpora
from highlight_lit.data.importers import h5, npy, npz
from highlight_lit.data.importers.common import pca
from highlight_lit.data.importers.formats import summary_group
from highlight_lit.data.importers.formats.npz_rows import NpzRows
from highlight_lit.data.shards import Shard
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.evaluation import scores_csv
from highlight_lit.inference.feature_files import videos_of
from highlight_lit.untrusted.safetensors_files import read_safetensors
from highlight_lit.untrusted.torch_files import read_tensors
from tests.security.made import Checkpoint
from tests.security.test_packed import header

LARGE_HEADER = b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 28)


def imported(folder: Path) -> None:
    npz.import_corpus(folder, folder.parent / "c", tag="x", report=lambda line: None)


def scored(folder: Path) -> None:
    videos_of([folder / "v.npz"], ["visual"])[0].read({"visual": Stream(1 << 10)})


@pytest.mark.parametrize("read", [imported, scored])
def test_the_header_of_an_array_in_an_archive_is_bounded(tmp_path: Path, read: Callable[[Path], None]) -> None:
    with zipfile.ZipFile(tmp_path / "v.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", LARGE_HEADER + b" " * (16 << 20))
    with pytest.raises(InputError, match=r"v\.npz.*a header of over 64 KiB"):
        read(tmp_path)


@pytest.mark.parametrize("read", [imported, scored])
def test_an_archive_is_not_believed_that_it_holds_more_than_its_file(
    tmp_path: Path, read: Callable[[Path], None]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", header((1 << 15, 1 << 10)) + bytes(4 << 25))
    content = bytearray(packed.getvalue())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 20, 1 << 30)  # bytes as packed, in the list of members
    (tmp_path / "f").mkdir()
    (tmp_path / "f/v.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"128 MiB of .* that are stored|Overlapped entries"):
        read(tmp_path / "f")


def test_the_header_of_an_array_that_is_a_hole_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "f/visual").mkdir(parents=True)
    with open(tmp_path / "f/visual/v.npy", "wb") as file:
        file.write(LARGE_HEADER)
        file.truncate(1 << 29)
    (tmp_path / "t.csv").write_text("id,duration,tags\nv,5,x\n")
    with pytest.raises(InputError, match=r"v\.npy: .*a header of over 64 KiB"):
        npy.import_corpus(tmp_path / "f", tmp_path / "c", videos=tmp_path / "t.csv")


def torch_file(path: Path, valid: Checkpoint) -> None:
    """A checkpoint with 64 MiB of zeros as a hole."""
    plain = io.BytesIO()
    torch.save({**valid, "further": torch.zeros(1 << 24)}, plain)
    content = plain.getvalue()
    with open(path, "wb") as file:
        start = content.index(bytes(1 << 25))
        end = content.rindex(bytes(1 << 25)) + (1 << 25)
        file.write(content[:start])
        file.seek(end)
        file.write(content[end:])


def safetensors_file(path: Path, valid: Checkpoint) -> None:
    """64 MiB of weights, all of them a hole."""
    head = b'{"w":{"dtype":"F32","shape":[16777216],"data_offsets":[0,67108864]}}'
    with open(path, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        file.truncate(8 + len(head) + (1 << 26))


@pytest.mark.parametrize(("write", "read"), [(torch_file, read_tensors), (safetensors_file, read_safetensors)])
def test_tensors_that_are_a_hole_are_refused(
    tmp_path: Path, valid: Checkpoint, write: Callable[[Path, Checkpoint], None], read: Callable[..., Any]
) -> None:
    if read is read_safetensors:
        pytest.importorskip("safetensors")
    write(tmp_path / "hole", valid)
    with pytest.raises(InputError, match=r"hole: 64 MiB of .* that are stored"):
        read(tmp_path / "hole", "a checkpoint")


def test_a_hole_makes_a_summary_file_no_larger(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("v/features", (1 << 18, 256), "u1", chunks=(1 << 14, 256))
    with open(tmp_path / "a.h5", "r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match="features: .* more than a file of its size can hold"):
        h5.import_corpus(tmp_path / "a.h5", tmp_path / "c", tag="x", report=lambda line: None)


def test_features_are_counted_as_wide_as_they_become(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v/features"] = np.ones((8, 8), "u1")
    monkeypatch.setattr(summary_group, "MAX_FEATURES", 63)
    with pytest.raises(InputError, match="features: .* expected at most 63 numbers"):
        h5.import_corpus(tmp_path / "a.h5", tmp_path / "c", tag="x", report=lambda line: None)


def test_a_pca_of_very_wide_features_is_refused() -> None:
    rows = np.ones((3, pca.MAX_WIDTH + 1), np.float16)
    with pytest.raises(InputError, match="4097 wide; expected at most 4096"):
        pca.fit([rows], 2, "a: visual")


def test_a_row_of_a_table_that_goes_on_over_lines_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text('video,start,end,score\n"a\n' + '","a\n' * 300_000 + '"\n')
    with pytest.raises(InputError, match="line 209717: over 1048576 characters"):
        scores_csv.read_scores(tmp_path / "s.csv")
    (tmp_path / "s.csv").write_text("video,start,end,score\n" + "".join(f"v,{i},{i + 1},1\n" for i in range(200_000)))
    assert len(scores_csv.read_scores(tmp_path / "s.csv")["v"].score) == 200_000


@pytest.mark.parametrize("seconds", [1.1e9, 1e12])
def test_times_of_which_sums_are_no_numbers_are_refused(tmp_path: Path, seconds: float) -> None:
    (tmp_path / "f/visual").mkdir(parents=True)
    np.save(tmp_path / "f/visual/v.npy", np.ones((2, 2), "f4"))
    (tmp_path / "t.csv").write_text(f"id,duration,tags\nv,{seconds},x\n")
    with pytest.raises(InputError, match=r"duration: .* at most 1e\+09"):
        npy.import_corpus(
            tmp_path / "f",
            tmp_path / "c",
            videos=tmp_path / "t.csv",
            clip_seconds=seconds / 2,
            report=lambda line: None,
        )


def test_a_large_archive_of_random_numbers_is_read_as_it_is(tmp_path: Path) -> None:
    """Looking for holes leaves the file where it was: archives larger than a buffer are read piece by piece."""
    rows = np.random.default_rng(0).random((3000, 512), np.float32)
    np.savez_compressed(tmp_path / "v.npz", features=rows)
    read = videos_of([tmp_path / "v.npz"], ["visual"])[0].read({"visual": Stream(512)})["visual"]
    assert np.array_equal(read, rows)
    assert np.array_equal(NpzRows(tmp_path / "v.npz", "here")[:2000], rows[:2000])


def test_a_topic_that_is_not_there_is_compared_with_some_of_very_many(
    small_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, asked = Corpus(small_corpus), list[int]()
    corpus.topics = tuple(f"topic{number}" for number in range(corpora.MAX_COMPARED * 2))
    near = corpora.difflib.get_close_matches
    monkeypatch.setattr(corpora.difflib, "get_close_matches", lambda *of: asked.append(len(of[1])) or near(*of))
    with pytest.raises(InputError, match="did you mean topic"):
        corpus.tagged("topik7")
    assert asked == [corpora.MAX_COMPARED]


@pytest.mark.parametrize("what", ["a hole", "large", "long", "missing"])
def test_what_a_shard_says_of_a_stream_is_bounded(what: str, small_corpus: Path, tmp_path: Path) -> None:
    shard, size = tmp_path / "a.h5", {"a hole": 64 << 20, "large": 80 << 10}.get(what)
    shard.write_bytes(next(small_corpus.glob("*.h5")).read_bytes())
    Shard(shard).close()
    with h5py.File(shard, "r+", libver="latest") as file:
        del file["visual"].attrs["extractor"]
        if size is not None:
            file["visual"].attrs.create("extractor", np.zeros((), f"S{size}"))
        elif what == "long":
            file["visual"].attrs["extractor"] = "a" * 501
    if what == "a hole":
        content = shard.read_bytes()
        at = content.index(bytes(size or 0))
        with open(shard, "wb") as file:
            file.write(content[:at])
            file.seek(at + (size or 0))
            file.write(content[at + (size or 0) :])
    with pytest.raises(InputError, match="that are stored" if what == "a hole" else "expected texts of at most 500"):
        Shard(shard)
