"""Stopped at any moment, an extraction leaves no process, lock or unfinished file, and the same command goes on.

`HIGHLIGHT_LIT_KILLS=20` sends each signal at 20 random moments to each way of extracting; without it, one signal is sent
to some of them as soon as a video is done.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("av")
from highlight_lit.data.corpus import Corpus
from tests.real_processes import python, takes_signals, until

KILLS = int(os.environ.get("HIGHLIGHT_LIT_KILLS", "0"))
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
    """A command in a session of its own, all of whose processes can be told by a mark.

    `quick` begins it as by `python()`: what asks for a process bears the mark, and is there as long as that is.
    """

    def __init__(self, folder: Path, words: list[str], quick: bool = False) -> None:
        self.mark = secrets.token_hex(8)
        self.folder = folder
        (folder / "tmp").mkdir(exist_ok=True)
        marked = {"HIGHLIGHT_LIT_TEST_MARK": self.mark, "TMPDIR": str(folder / "tmp"), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*(python() if quick else [sys.executable]), "-m", "highlight_lit", *words],
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
    end = time.monotonic() + seconds
    while (found := (run.members(), left(run.folder))) != ([], []) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def wait_for_a_part(run: Run) -> None:
    while run.process.poll() is None and not list((run.folder / "corpus" / "parts").glob("[!.]*.h5")):
        time.sleep(0.02)


def fault(run: Run, signum: int, group: bool) -> str:
    """Send a signal; what is not as it should be then, "" if all is.

    Args:
        run: The command.
        signum: The signal.
        group: Whether all its processes get it, as from a terminal.
    """
    try:
        (os.killpg if group else os.kill)(run.process.pid, signum)
        out, err = run.process.communicate(timeout=300)
        status, gone = run.process.returncode, nothing_within(5, run)
        lines = [line for line in err.splitlines() if line and not line.startswith(("[", "note:", "features:"))]
        stop = f"highlight-lit: stopped by {signal.Signals(signum).name}; the same command"
        begun = [f"{stop} does what is left"]
        stopped = status == 128 + signum and lines in (begun, [f"{stop} starts again"])  # while Python imports
        done = status in (0, -signum) and lines == [] and out.startswith("corpus: ")  # Python itself ended by it
        return "" if gone == ([], []) and (stopped or done) else f"status {status}, left {gone}, said {err[-2000:]}"
    finally:
        run.end()


def goes_on(folder: Path, way: str) -> None:
    """The same command does what is left."""
    again = Run(folder, WAYS[way], quick=True)
    err = again.process.communicate()[1]
    assert again.process.returncode == 0, err
    assert sorted(name.decode() for name in Corpus(folder / "corpus").ids) == [str(number) for number in range(VIDEOS)]
    assert nothing_within(5, again) == ([], [])


@pytest.fixture
def folder(tmp_path, clip) -> Path:
    """Where the commands run: a folder `v` of videos."""
    (tmp_path / "v").mkdir()
    for number in range(VIDEOS):
        (tmp_path / "v" / f"{number}.mp4").write_bytes(clip)
    return tmp_path


@pytest.mark.parametrize(
    ("way", "signum", "group"),
    [
        ("workers", signal.SIGTERM, False),
        ("workers", signal.SIGINT, True),
        ("joblib", signal.SIGTERM, False),
        ("submitit_local", signal.SIGINT, True),
    ],
)
def test_stopped_it_leaves_nothing_and_goes_on(folder, way, signum, group):
    run = Run(folder, WAYS[way])
    wait_for_a_part(run)
    assert fault(run, signum, group) == ""
    goes_on(folder, way)


@pytest.mark.parametrize("way", ["joblib with workers", "submitit_local"])
def test_its_jobs_end_though_it_is_killed_itself(folder, way):
    run = Run(folder, WAYS[way])
    try:
        wait_for_a_part(run)
        run.process.kill()
        run.process.wait()
        until(lambda: run.members() == [], seconds=10)
        assert len(list((folder / "corpus" / "parts").glob("[!.]*.h5"))) < VIDEOS
    finally:
        run.end()


@pytest.mark.skipif(KILLS == 0, reason="HIGHLIGHT_LIT_KILLS=20 sends signals at random moments; takes an hour")
@pytest.mark.parametrize("way", list(WAYS))
def test_stopped_at_any_moment_it_leaves_nothing_and_goes_on(folder, way):
    whole = Run(folder, WAYS[way])
    until(lambda: takes_signals(whole.process.pid), every=0.01)
    start = time.monotonic()
    err = whole.process.communicate()[1]
    assert whole.process.returncode == 0, err
    took = time.monotonic() - start
    assert nothing_within(5, whole) == ([], [])
    draw, faults = random.Random(KILLS), []
    for number in range(KILLS):
        for signum, group in ((signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True)):
            if draw.random() < 0.5:
                shutil.rmtree(folder / "corpus", ignore_errors=True)  # else it goes on from what is there
            share = draw.random()
            run = Run(folder, WAYS[way])
            until(lambda pid=run.process.pid: takes_signals(pid), every=0.01)
            time.sleep(share * took)
            if found := fault(run, signum, group):
                faults.append(f"{number}: {signal.Signals(signum).name}, group {group}, at {share:.3f}: {found}")
    assert faults == [], "\n".join(faults)
    goes_on(folder, way)
