"""Stopped at any moment, an extraction leaves no process, lock or unfinished file, and the same command goes on.

`HIGHLIGHT_LIT_KILLS=20` sends each signal at 20 random moments to each way of extracting, in place of one.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("av")
from highlight_lit.data.corpus import Corpus

KILLS = int(os.environ.get("HIGHLIGHT_LIT_KILLS", "1"))
VIDEOS = 6
WAYS = {
    "one process": ["extract", "v", "--out", "corpus", "--workers", "1"],
    "workers": ["extract", "v", "--out", "corpus", "--workers", "2"],
    "basic": ["extract", "-m", "videos=v", "out=corpus", "slices=2"],
    "basic with workers": ["extract", "-m", "videos=v", "out=corpus", "slices=2", "workers=2"],
    "joblib": ["extract", "-m", "videos=v", "out=corpus", "slices=2", "hydra/launcher=joblib"],
    "joblib with workers": ["extract", "-m", "videos=v", "out=corpus", "slices=2", "workers=2", "hydra/launcher=joblib"],
    "submitit_local": ["extract", "-m", "videos=v", "out=corpus", "slices=2", "hydra/launcher=submitit_local"],
}  # fmt: skip


@pytest.fixture(scope="module")
def clip(tmp_path_factory, made) -> bytes:
    """A video that takes about a second to extract."""
    return made.write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 60, fps=10).read_bytes()


class Run:
    """A command in a session of its own, all of whose processes can be told by a mark."""

    def __init__(self, folder: Path, words: list[str]) -> None:
        self.mark = secrets.token_hex(8)
        self.folder = folder
        (folder / "tmp").mkdir(exist_ok=True)
        marked = {"HIGHLIGHT_LIT_TEST_MARK": self.mark, "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "highlight_lit.cli", *words],
            cwd=folder,
            env={**os.environ, **marked},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def members(self) -> list[str]:
        """Its processes that are there, and what each runs."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found.append(f"{folder.name}: {(folder / 'cmdline').read_bytes().decode()}")
        return found

    def wait_until_signals_are_handled(self) -> None:
        """Before, Python itself dies of them, and nothing has begun."""
        while self.process.poll() is None:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
            if caught >> (signal.SIGTERM - 1) & 1:
                return
            time.sleep(0.01)

    def end(self) -> None:
        for line in self.members():
            with contextlib.suppress(OSError):
                os.kill(int(line.split(":")[0]), signal.SIGKILL)
        self.process.communicate()


def left(folder: Path) -> list[str]:
    """Locks and unfinished files."""
    found = [path for path in (folder / "corpus").rglob("*") if path.name == ".lock" or path.name.endswith(".tmp")]
    found += [*(folder / "corpus").rglob(".run-*"), *(folder / "corpus").rglob("notes-*"), *(folder / "tmp").iterdir()]
    return sorted(str(path.relative_to(folder)) for path in found)


def nothing_within(seconds: float, run: Run) -> tuple[list[str], list[str]]:
    """What is left of a run that has ended, after so long at most."""
    until = time.monotonic() + seconds
    while (found := (run.members(), left(run.folder))) != ([], []) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def moments() -> Iterator[tuple[int, bool, float]]:
    """Signal, whether to the whole group as a terminal sends it, and when: a share of a run's time."""
    draw = random.Random(KILLS)
    for number in range(KILLS):
        for signum, group in ((signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True)):
            yield signum, group, draw.random() if KILLS > 1 else 0.5 + number


@pytest.mark.parametrize("way", list(WAYS))
def test_stopped_at_any_moment_it_leaves_nothing_and_goes_on(tmp_path, clip, way):
    (tmp_path / "v").mkdir()
    for number in range(VIDEOS):
        (tmp_path / "v" / f"{number}.mp4").write_bytes(clip)
    whole = Run(tmp_path, WAYS[way])
    whole.wait_until_signals_are_handled()
    start = time.monotonic()
    assert whole.process.wait() == 0, whole.process.communicate()
    took = time.monotonic() - start
    assert nothing_within(5, whole) == ([], [])
    faults = []
    for signum, group, share in moments():
        for path in sorted((tmp_path / "corpus").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        run = Run(tmp_path, WAYS[way])
        try:
            run.wait_until_signals_are_handled()
            time.sleep(share * took)
            (os.killpg if group else os.kill)(run.process.pid, signum)
            out, err = run.process.communicate(timeout=60)
            status = run.process.returncode
            gone = nothing_within(5, run)
            lines = [line for line in err.splitlines() if line and not line.startswith(("[", "note:"))]
            expected = [f"highlight-lit: stopped by {signal.Signals(signum).name}; the same command does what is left"]
            if gone != ([], []) or not (
                (status == 128 + signum and lines == expected) or (status == 0 and f"{VIDEOS} videos extracted" in out)
            ):
                faults.append((signal.Signals(signum).name, group, share, status, gone, err[-2000:]))
        finally:
            run.end()
    assert faults == []
    again = Run(tmp_path, WAYS[way])
    out, err = again.process.communicate()
    assert again.process.returncode == 0, err
    assert f"{VIDEOS} videos" in out or f"{VIDEOS} there before" in out or "there before" in out
    assert sorted(name.decode() for name in Corpus(tmp_path / "corpus").ids) == [str(n) for n in range(VIDEOS)]
    assert nothing_within(5, again) == ([], [])
