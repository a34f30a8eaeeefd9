"""Signals to `score` and `reel`, at random moments of real processes: nothing is left, one line, the shells' status.

HIGHLIGHT_LIT_KILLS sets how many processes are killed of each verb.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
import av

from tests.preloaded import SESSIONS
from tests.real_processes import python, takes_signals, until

KILLS = int(os.environ.get("HIGHLIGHT_LIT_KILLS", "3"))
LAST = {"reel": "reel.mp4", "score": "walk.html"}  # what a verb writes last
# `score` with a detector that needs no training.
SCORE = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from tests.media.output.test_scoring import detector\n"
    "import highlight_lit.inference.loading.load as trained; trained.load_detector = lambda *_: detector()\n"
    "from highlight_lit.cli import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory, made) -> Path:
    """A minute that takes seconds to encode again, and scores for it."""
    folder = tmp_path_factory.mktemp("walk")
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    made.write_video(folder / "walk.avi", 60, lambda time: np.roll(noise, round(90 * time), 1), fps=10, format="avi",
                     codec="mpeg4", audio_codec="mp2")  # fmt: skip
    clips = [{"start": at, "end": at + 1, "score": at % 7 / 7} for at in range(60)]
    (folder / "s.json").write_text(json.dumps({"format": "highlight-lit scores", "version": 1, "clips": clips}))
    return folder / "walk.avi"


def started(verb: str, video: Path, out: Path, temporary: Path) -> tuple[subprocess.Popen[str], int]:
    """What waits for the verb and ends as it does, and the verb's own process, which is its session's first."""
    if verb == "reel":
        words = ["-m", "highlight_lit", "reel", video, "--scores", video.with_name("s.json"), "--out", out / "reel.mp4"]
    else:
        words = ["-c", SCORE, Path(__file__).parents[3], "score", video, "--checkpoint", "x", "--out", out, "--html"]
    sessions = out.with_name(f"{out.name}-sessions")
    sessions.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", SESSIONS: str(sessions)}
    process = subprocess.Popen(python(*words), env=environment, text=True, stderr=subprocess.PIPE)
    until(lambda: any(sessions.iterdir()), every=0.002)
    return process, int(next(sessions.iterdir()).name)


def seconds_of(video: Path) -> float:
    with av.open(str(video)) as container:
        assert container.duration is not None
        return container.duration / av.time_base


def of_session(session: int) -> list[str]:
    """The processes that a process and its children left running."""
    listed = subprocess.run(["ps", "-eo", "pid=,sess=,stat="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[1] == str(session) and "Z" not in line.split()[2]]


@pytest.mark.parametrize("verb", ["reel", "score"])
def test_nothing_is_left_of_a_verb_that_is_killed(tmp_path, walk, verb):
    chance = random.Random(time.time_ns())
    before, whole, stopped = sorted(walk.parent.iterdir()), 0.0, 0
    for number in range(KILLS + 1):
        out, temporary = tmp_path / str(number), tmp_path / f"tmp{number}"
        out.mkdir()
        temporary.mkdir()
        process, own = started(verb, walk, out, temporary)
        until(lambda pid=own: takes_signals(pid), every=0.002)
        begin = time.monotonic()
        sent = None
        if number:  # the first is left alone, and tells how long it takes
            time.sleep(chance.uniform(0, whole))
            sent = chance.choice([signal.SIGTERM, signal.SIGINT])
            os.kill(own, sent)
            begin = time.monotonic()
        assert process.stderr is not None
        said = process.stderr.readline()  # what comes after is the interpreter's own end
        seconds = time.monotonic() - begin
        said += process.communicate(timeout=300)[1]
        if sent is None:
            assert process.returncode == 0, said
            whole = seconds
        elif not (process.returncode in (0, -sent) and (out / LAST[verb]).exists()):  # done: it was ending by itself
            stopped += 1
            assert seconds < 5, said
            assert process.returncode == 128 + sent, said
            assert said == f"highlight-lit: stopped by {sent.name}; the same command starts again\n"
        assert [path for path in out.iterdir() if path.name.startswith(".")] == []
        if verb == "reel":  # one that is there is whole: the signal may come as the last line is about to be said
            assert all(seconds_of(reel) == pytest.approx(30.0, abs=0.2) for reel in out.iterdir())
        assert list(temporary.rglob("preview.mp4")) == []
        assert of_session(own) == []
        assert sorted(walk.parent.iterdir()) == before
    print(f"{verb}: takes {whole:.1f} s; {stopped} of {KILLS} were stopped before their end")
