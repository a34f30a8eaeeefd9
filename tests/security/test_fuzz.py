"""Files of any content end in one line or a right result, and touch nothing beside a scratch folder.

HIGHLIGHT_LIT_FUZZ sets how many cases there are of each kind; each kind has a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.security.fuzz import KINDS
from tests.security.made import Checkpoint

CASES = int(os.environ.get("HIGHLIGHT_LIT_FUZZ", "200"))
ROOT = Path(__file__).parents[2]


@pytest.fixture
def scratch(tmp_path: Path, small_corpus: Path, sound: Checkpoint, quick_train: Callable[..., int]) -> Path:
    """A folder with a sound checkpoint, a run that is done, and the corpus of both."""
    folder = tmp_path / "scratch"
    shutil.copytree(small_corpus, folder / "corpus")
    torch.save(sound, folder / "sound.ckpt")
    assert quick_train("optimizer=paper", f"data.root={folder / 'corpus'}") == 0
    [run] = (tmp_path / "runs").glob("[!.]*")
    shutil.move(run, folder / "run")
    (folder / "run" / "last.ckpt").rename(folder / "run" / "sound.ckpt")
    return folder


def fuzzed(kind: str, folder: Path, count: int, seed: int) -> dict[str, Any]:
    words = [sys.executable, "-m", "tests.security.fuzz", kind, str(folder), str(count), str(seed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_ends_in_one_line_or_a_right_result_and_touches_nothing(kind: str, scratch: Path) -> None:
    found = fuzzed(kind, scratch, CASES, seed=0)
    assert found["wrong"] == []
    assert found["touched"] == []
    assert found["resolved"] == 0
    assert found["ends"]["right"] > CASES / 20
    assert found["ends"]["refused"] > CASES / 5


def test_the_watch_sees_files_processes_sockets_and_resolvers(tmp_path: Path) -> None:
    code = f"""
import os, socket, subprocess, sys
from pathlib import Path
from tests.security.fuzz import watch
touched = []
watch(Path({str(tmp_path)!r}), touched)
Path({str(tmp_path / "inside")!r}).write_text("x")
assert touched == [], touched
for act in (lambda: Path("/etc/hostname").read_text(), lambda: os.system("true"), lambda: subprocess.run(["true"]),
            lambda: socket.socket().connect_ex(("127.0.0.1", 9)), lambda: os.mkdir("/nowhere/at/all"),
            lambda: open({str(tmp_path.parent / "outside")!r}, "w"), lambda: os.remove("/nowhere/at/all")):
    touched.clear()
    try:
        act()
    except OSError:
        pass
    assert touched, act
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
