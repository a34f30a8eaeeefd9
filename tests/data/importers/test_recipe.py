"""An importer registers itself: CONTRIBUTING.md's recipe, word for word, in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from highlight_lit.cli import main
from highlight_lit.data.importers.command import sources

ROOT = Path(__file__).parents[3]


def recipe() -> tuple[str, str, list[str]]:
    """The file's name, its text, and the commands."""
    section = (ROOT / "CONTRIBUTING.md").read_text().split("\n### An importer\n")[1].split("\n### ")[0]
    [(name, text)] = re.findall(r"`(\S+\.py)`:\n\n```python\n(.*?)```", section, re.DOTALL)
    [block] = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return name, text, re.findall(r"^\$ (.*)$", block, re.MULTILINE)


def test_the_recipe_makes_an_importer(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "highlight_lit", tmp_path / "highlight_lit", ignore=shutil.ignore_patterns("__pycache__"))
    name, text, commands = recipe()
    assert not (tmp_path / name).exists()
    (tmp_path / name).write_text(text)
    rng = np.random.default_rng(0)
    for video, clips in (("surf/a", 5), ("surf/b", 3), ("cats/c", 70)):
        path = tmp_path / f"features/{video}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rng.normal(size=(clips, 4)))
    for command in commands:
        words = [sys.executable, "-m", *command.replace("highlight-lit", "highlight_lit").split()]
        ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
                               env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    assert "surf" in ended.stdout
    assert len(list((tmp_path / "highlight_lit/data/importers").glob("*.py"))) <= 12


def test_each_source_is_a_sub_command_with_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["import", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    found = dict(sources())
    assert {"ave", "cosum", "h5", "labels", "npy", "npz", "tvsum", "umt", "youtube-highlights"} <= found.keys()
    for name, module in found.items():
        assert f"{name} {module.PURPOSE.split()[0]}" in said
        with pytest.raises(SystemExit, match="0"):
            main(["import", name, "--help"])
        assert module.PURPOSE in " ".join(capsys.readouterr().out.split())


def test_other_verbs_load_no_source() -> None:
    code = "import sys; from highlight_lit.cli import _parser; _parser(['doctor']); print('scipy.io' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.strip() == "False"
