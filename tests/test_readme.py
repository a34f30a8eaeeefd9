"""README's first roads, run as they are written: own features from the shell, then the same from Python."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"
ROADS = ("Own features", "From Python")


def blocks(title: str, language: str) -> list[str]:
    """The blocks of a language in a section."""
    section = README.read_text().split(f"\n### {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos: short ones with the tag, long ones without; and a new one."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    rows = []
    for number in range(12):
        clips, name = (20, f"a{number}") if number % 2 else (70, f"b{number}")
        for stream, width in (("visual", 12), ("audio", 8)):
            (folder / "features" / stream).mkdir(parents=True, exist_ok=True)
            array = rng.normal(size=(clips, width)) + (number % 2)
            np.save(folder / "features" / stream / f"{name}.npy", array.astype(np.float32))
        rows.append((name, clips, "surf" if number % 2 else "cats"))
    with open(folder / "videos.csv", "w", newline="") as file:
        csv.writer(file).writerows([("id", "duration", "tags"), *rows])
    np.savez(folder / "new.npz", visual=rng.normal(size=(15, 12)), audio=rng.normal(size=(15, 8)))
    return folder


def run(words: list[str], folder: Path) -> str:
    environment = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "COLUMNS": "120",
    }  # fmt: skip
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def masked(text: str) -> list[str]:
    """Lines without the numbers, which differ from machine to machine, and the names of runs."""
    return [re.sub(r"[0-9a-f]{16}|[0-9][0-9.]*", "#", line) for line in text.splitlines() if line.strip()]


def test_own_features_go_from_import_to_scores(own: Path) -> None:
    shell = blocks("Own features", "console")
    assert shell
    for block in shell:
        shown, printed = [], ""
        for line in block.splitlines():
            if line.startswith("$ "):
                printed += run(["bash", "-c", line[2:]], own)
            elif line.strip() not in ("", "..."):
                shown.append(line)
        assert all(line in masked(printed) for line in masked("\n".join(shown)))
    assert (own / "scores" / "scores.csv").is_file()
    assert (own / "new.scores.csv").is_file()


def test_python_does_the_same(own: Path) -> None:
    if not (own / "corpus").is_dir():
        run(["highlight-lit", "import", "npy", "features", "--videos", "videos.csv", "--out", "corpus"], own)
    [block] = blocks("From Python", "python")
    assert len([line for line in block.splitlines() if line.strip()]) <= 14
    shape = run([sys.executable, "-W", "ignore", "-c", block], own)
    assert shape.strip().splitlines()[-1] == "(15,)"
