"""CONTRIBUTING.md: its map, and its recipes, word for word, one after the other in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.real_processes import python

ROOT = Path(__file__).parents[1]
SMALL = ("trainer.max_epochs=1", "tau=8", "data.pairs=4", "evaluate.draws=10", "logger=none")


def sections() -> dict[str, str]:
    recipes = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## Recipes\n")[1]
    return dict(part.split("\n", 1) for part in recipes.split("\n### ")[1:])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name in ("highlight_lit", "experiments", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    return folder


def follow(recipe: str, folder: Path) -> list[str]:
    """Write a recipe's files, make its changes and run its commands; what each command printed."""
    for name, text in re.findall(r"`([\w./]+)`:\n\n```(?:python|yaml)\n(.*?)```", recipe, re.DOTALL):
        assert not (folder / name).exists(), name
        (folder / name).write_text(text, encoding="utf-8")
    for change in re.findall(r"```diff\n(.*?)```", recipe, re.DOTALL):
        (folder / "change.patch").write_text(change, encoding="utf-8")
        subprocess.run(["git", "apply", "--recount", "change.patch"], cwd=folder, check=True)
    printed = []
    [block] = re.findall(r"```console\n(.*?)```", recipe, re.DOTALL)
    for command in re.findall(r"^\$ highlight-lit (.*)$", block, re.MULTILINE):
        words = command.split()
        if words[0] == "train":
            words += [word for word in SMALL if word.split("=")[0] not in command]
        words = [str(found) for word in words for found in (sorted(folder.glob(word)) if "*" in word else [word])]
        done = subprocess.run(
            python("-m", "highlight_lit", *words), cwd=folder, capture_output=True, text=True, timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    return printed


def test_the_map_names_files_that_are_there() -> None:
    shown = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("\n## ")[2]
    named = re.findall(r"\b(?!NAME)\w+\.(?:py|yaml)\b", shown)
    assert "sampling.py" in named
    there = {
        path.name
        for folder in ("conf", "docs", "experiments", "highlight_lit")
        for path in (ROOT / folder).rglob("*.*")
    }
    assert set(named) <= there


def test_each_recipe_of_the_guide_works(copy: Path) -> None:
    recipes = sections()
    # A fusion has no commands here, and the importer is in test_recipe.
    assert list(recipes) == ["A fusion", "A method to compare with", "An importer", "A study"]
    assert "youtube/trapezoid" in follow(recipes["A method to compare with"], copy)[-1]
    assert len(re.findall("topic01", follow(recipes["A study"], copy)[-1])) >= 4  # two widths, two seeds
    code = (
        "from experiments.reproduce.study import studies; print({s.name: len(s.systems()) for s in studies()}['width'])"
    )
    shown = subprocess.run(python("-c", code), cwd=copy, capture_output=True, text=True, check=True,
                           env={**os.environ, "PYTHONPATH": str(copy)})  # fmt: skip
    assert shown.stdout.strip() == "2"
