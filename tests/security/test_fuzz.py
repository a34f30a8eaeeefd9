"""Files of any content end in one line or a right result, and touch nothing beside a scratch folder.

HIGHLIGHT_LIT_FUZZ sets how many cases there are of each kind.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from highlight_lit.training.command import main as train
from tests.security.fuzz import KINDS
from tests.security.fuzz_hdf5 import write_bait
from tests.security.made import Checkpoint
from tests.security.opens import Opens

CASES = int(os.environ.get("HIGHLIGHT_LIT_FUZZ", "100"))
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fuzzed(small_corpus: Path, valid: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of each kind, from one process: folders with a valid checkpoint, a run that is done, and their corpus."""
    root = tmp_path_factory.mktemp("fuzzed")
    first = root / next(iter(KINDS))
    shutil.copytree(small_corpus, first / "corpus")
    torch.save(valid, first / "valid.ckpt")
    words = ["topic=topic01", "data.pairs=4", "tau=8", "model.d=8", "trainer.max_epochs=2", "logger=none",
             "evaluate.draws=10", "optimizer=paper", f"data.root={first / 'corpus'}", f"out={root / 'runs'}"]  # fmt: skip
    assert train(words) == 0
    [run] = (root / "runs").glob("[!.]*")
    shutil.move(run, first / "run")
    shutil.rmtree(root / "runs")
    (first / "run" / "last.ckpt").rename(first / "run" / "valid.ckpt")
    for kind in KINDS:
        if not (root / kind).exists():
            shutil.copytree(first, root / kind)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.security.fuzz", str(root), str(CASES), "0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {found["kind"]: found for found in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_ends_in_one_line_or_a_right_result_and_touches_nothing(
    kind: str, fuzzed: dict[str, Any]
) -> None:
    found = fuzzed[kind]
    assert found["wrong"] == []
    assert found["touched"] == []
    assert found["resolved"] == 0
    assert found["ends"]["right"] > CASES / 20
    assert found["ends"]["refused"] > CASES / 5


def test_the_watch_sees_files_processes_sockets_and_resolvers(tmp_path: Path) -> None:
    code = f"""
import os, pickle, shutil, socket, subprocess, sys
from pathlib import Path
from tests.security.fuzz import watch
touched = []
watch(Path({str(tmp_path)!r}), touched)
Path({str(tmp_path / "inside")!r}).write_text("x")
assert touched == [], touched
Path({str(tmp_path / "link")!r}).symlink_to("/etc/hostname")
for act in (lambda: Path("/etc/hostname").read_text(), lambda: os.system("true"), lambda: subprocess.run(["true"]),
            lambda: socket.socket().connect_ex(("127.0.0.1", 9)), lambda: os.mkdir("/nowhere/at/all"),
            lambda: open({str(tmp_path.parent / "outside")!r}, "w"), lambda: os.remove("/nowhere/at/all"),
            lambda: open({str(tmp_path) + "-beside"!r}, "w"), lambda: os.replace("/nowhere/a", "/nowhere/b"),
            lambda: os.symlink("/nowhere/a", "/nowhere/b"), lambda: shutil.rmtree("/nowhere/at/all"),
            lambda: os.open("/dev/null", os.O_WRONLY), lambda: pickle.loads(pickle.dumps(os.getcwd)),
            lambda: open({str(tmp_path / "link")!r}).read()):
    touched.clear()
    try:
        act()
    except OSError:
        pass
    assert touched, act
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_opens_of_libraries_are_seen_too(tmp_path: Path) -> None:
    """HDF5 and FFmpeg open files past Python, and so past its audit hook."""
    (tmp_path / "bait").mkdir()
    write_bait(tmp_path / "bait")
    opened = Opens(tmp_path / "bait")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink("bait/bait.h5", "/x")
        layout = h5py.VirtualLayout((4, 4), "f4")
        layout[...] = h5py.VirtualSource("bait/bait.h5", "x", (4, 4))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (4,), "u1", external=[(str(tmp_path / "bait/bait.h5"), 0, 4)])
        assert opened() == []
        for name in ("link", "virtual", "raw"):
            file[name][()]
            assert "bait.h5" in opened(), name
