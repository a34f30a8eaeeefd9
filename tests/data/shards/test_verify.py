"""Shards of strangers are checked in a process that may die of them; which one it died of is said, and the rest checked."""

from __future__ import annotations

import os
import selectors
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from highlight_lit.data.shards import ShardWriter, verify
from highlight_lit.data.shards.verify import guarded_faults
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from tests.data.shards.forge import forge_rows

MakeVideo = Callable[..., Video]


@pytest.fixture
def shards(small_corpus: Path, tmp_path: Path) -> list[Path]:
    return [Path(shutil.copy(small_corpus / "shard-00000.h5", tmp_path / f"{n}.h5")) for n in range(4)]


@pytest.fixture
def in_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Have the process do something else than check the shard named 1.h5."""

    def do(code: str) -> None:
        folder = tmp_path / "site"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            "import os, sys, time\nif 'highlight_lit.data.shards.verify' in sys.orig_argv:\n"
            "    from highlight_lit.data.shards import reader\n    opened = reader.Shard.__init__\n"
            f"    def instead(self, path):\n        if path.name == '1.h5':\n            {code}\n        opened(self, path)\n"
            "    reader.Shard.__init__ = instead\n"
        )
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path])

    return do


def children() -> set[str]:
    """The processes that this one has started and not yet waited for."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_nothing_is_wrong_with_valid_shards(shards: list[Path]) -> None:
    assert list(guarded_faults(shards)) == []


@pytest.mark.parametrize(("code", "ended"), [("os.abort()", "signal 6"), ("os._exit(3)", "status 3")])
def test_a_shard_that_kills_is_named_and_the_others_are_checked(
    shards: list[Path], in_the_process: Callable[[str], None], code: str, ended: str
) -> None:
    forge_rows(shards[3], "visual", {(0, 0): np.nan})
    in_the_process(code)
    before = children()
    found = list(guarded_faults(shards))
    assert len(found) == 2
    assert found[0].startswith(f"{shards[1]}: damaged or forged: the HDF5 library dies of it")
    assert found[0].endswith(f"({ended})")
    assert (
        found[1]
        == f"{shards[3]}: video 'synthetic-000000' (row 0): visual: NaN or infinite in clip 0; expected finite numbers: make its features again, or leave the video out, and make the corpus again"
    )
    assert children() == before


def test_a_shard_that_hangs_is_named_in_time(
    shards: list[Path], in_the_process: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hangs, waits = tmp_path / "hangs", set()

    class Selector(selectors.DefaultSelector):
        """Runs out once the shard hangs, however long a process takes to start here."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            waits.add(timeout)
            while not (ready := super().select(0.02)):
                if hangs.exists():
                    hangs.unlink()
                    break
            return ready

    monkeypatch.setattr(selectors, "DefaultSelector", Selector)
    in_the_process(f"open({str(hangs)!r}, 'w').close(); time.sleep(600)")
    before = children()
    [found] = guarded_faults(shards)
    assert found.startswith(
        f"{shards[1]}: damaged or forged: the HDF5 library dies of it, or does not come back within 60 s"
    )
    assert waits == {verify.VERIFY_TIMEOUT_S}
    assert children() == before


def test_who_stops_asking_leaves_no_process(shards: list[Path]) -> None:
    for path in shards:
        forge_rows(path, "visual", {(0, 0): np.nan})
    before, found = children(), guarded_faults(shards)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert children() == before


def test_a_shard_that_is_missing_is_named(shards: list[Path], tmp_path: Path) -> None:
    assert list(guarded_faults([tmp_path / "gone.h5", shards[0]])) == [
        f"{tmp_path / 'gone.h5'}: no such file; expected a feature shard"
    ]


def test_a_value_in_a_block_that_videos_share_is_told_once_of_the_video_that_has_it(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = tmp_path / "a\x1b[31m.h5"
    with ShardWriter(path, {"visual": Stream(4, dtype="float32")}, 1.0) as made:
        for name in "abc":
            made.add(make_video(name, 9, audio=None))
    forge_rows(path, "visual", {(9, 0): np.nan})
    shown = str(path).replace("\x1b", "\\x1b")
    [found] = [str(InputError(fault)) for fault in verify.faults(path) if fault is not None]
    assert found.startswith(f"{shown}: video 'b' (row 1): visual: NaN or infinite in clip 0;")


@pytest.mark.parametrize("name", ["b" * 5000, "b\x1b[31m", "é" * 3000])
def test_a_value_is_told_of_a_video_however_it_is_called(tmp_path: Path, make_video: MakeVideo, name: str) -> None:
    path = tmp_path / "a.h5"
    with ShardWriter(path, {"visual": Stream(4, dtype="float32")}, 1.0) as made:
        for each in ("a", name, "c"):
            made.add(make_video(each, 9, audio=None))
    forge_rows(path, "visual", {(9, 0): np.nan, (20, 0): np.inf})
    own, other = (fault for fault in verify.faults(path) if fault is not None)
    assert own.startswith(f"{path}: video {name!r} (row 1): visual: NaN or infinite in clip 0;")
    assert other.startswith(f"{path}: video 'c' (row 2): visual: NaN or infinite in clip 2;")


def test_rows_that_are_damaged_are_told_of_every_video_that_has_some(tmp_path: Path, make_video: MakeVideo) -> None:
    path = tmp_path / "a\x1b[31m.h5"
    with ShardWriter(path, {"visual": Stream(4, dtype="float32")}, 1.0) as made:
        for name in "abc":
            made.add(make_video(name, 16, audio=None))
    with h5py.File(path, "r+") as file:
        file["visual"][0, 0] += 1
    shown = str(path).replace("\x1b", "\\x1b")
    found = [str(InputError(fault)) for fault in verify.faults(path) if fault is not None]
    assert [fault.partition(": visual: rows 0 to 31 are damaged")[0] for fault in found] == [
        f"{shown}: video 'a' (row 0)",
        f"{shown}: video 'b' (row 1)",
    ]


def test_a_fault_of_a_video_is_not_hidden_by_a_neighbours(tmp_path: Path, make_video: MakeVideo) -> None:
    path = tmp_path / "a.h5"
    with ShardWriter(path, {"visual": Stream(4, dtype="float32")}, 1.0) as made:
        for name in "abcd":
            made.add(make_video(name, 4, audio=None))
    forge_rows(path, "visual", {(4, 0): np.nan, (5, 1): np.nan, (13, 0): np.nan})
    with h5py.File(path, "r+") as file:
        file["title_bytes"][file["title_offsets"][2]] = 0xFF
    found = [str(InputError(fault)).removeprefix(f"{path}: ") for fault in verify.faults(path) if fault is not None]
    assert [fault.partition(": ")[0] for fault in found] == [
        "video 'b' (row 1)",
        "video 'c' (row 2)",
        "video 'd' (row 3)",
    ]
    assert [what in fault for what, fault in zip(("clip 0", "utf-8", "clip 1"), found, strict=True)] == [True] * 3
