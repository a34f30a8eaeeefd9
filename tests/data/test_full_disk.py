"""A disk that fills while a corpus is written ends the command in one line, and leaves nothing under a final name."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from highlight_lit.cli import main
from highlight_lit.processes.locks import locked
from tests.real_processes import exit_status, forked

FULL = 64 << 10  # bytes that the corpus below takes at least


def run_with_room_for(size: int, *words: str) -> tuple[int, str]:
    """Exit status and standard error of a command, in a process of its own whose files cannot grow beyond a size."""
    read, write = os.pipe()

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        with os.fdopen(write, "w") as sys.stderr:
            return main(words)

    process = forked(work)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read().strip()
    return exit_status(process), said


@pytest.mark.parametrize("size", [0, 100, 2000, 9000, 20000, FULL // 2, FULL - 4096, FULL])
def test_synthesize_ends_in_one_line_and_leaves_nothing(tmp_path: Path, size: int) -> None:
    words = ("synthesize", str(tmp_path / "corpus"), "--topics", "2", "--videos", "20")
    status, said = run_with_room_for(size, *words)
    assert status == 2
    assert said.endswith("shard-00000.h5: cannot be written (File too large)")
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_import_ends_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    features = tmp_path / "features" / "visual"
    features.mkdir(parents=True)
    np.save(features / "a.npy", np.ones((30, 2000), np.float32))
    (tmp_path / "videos.csv").write_text("id,duration,tags\na,30.0,surf\n")
    words = ["import", "npy", str(tmp_path / "features"), "--videos", str(tmp_path / "videos.csv")]
    status, said = run_with_room_for(FULL, *words, "--out", str(tmp_path / "corpus"))
    assert status == 2
    assert said.endswith("shard-00000.h5: cannot be written (File too large)")
    assert {path.name for path in tmp_path.iterdir()} == {"features", "videos.csv"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_small_file_system_that_fills_ends_alike(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size={FULL} tmpfs {small} 2>/dev/null") != 0:
        pytest.skip("mounting is not allowed here")
    try:
        words = ("synthesize", str(small / "corpus"), "--topics", "2", "--videos", "200")
        status, said = run_with_room_for(1 << 30, *words)
        assert status == 2
        assert said.endswith("shard-00000.h5: cannot be written (No space left on device)")
        assert list(small.iterdir()) == []
    finally:
        os.system(f"umount {small}")


def test_a_lock_that_cannot_be_written_is_named_and_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "new" / ".labels.lock"

    def takes_it(arguments: object) -> int:
        with locked(lock, "a test"):
            return 0

    monkeypatch.setattr("highlight_lit.cli._VERBS", (("doctor", "", lambda parser: None, takes_it),))
    status, said = run_with_room_for(0, "doctor")
    assert (status, said) == (2, f"highlight-lit: {lock}: cannot be written (File too large)")
    assert list(tmp_path.iterdir()) == []
