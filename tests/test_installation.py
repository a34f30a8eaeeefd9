"""Where code comes from: in a checkout experiments/ and the commit are those of the checkout, and of no other project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from highlight_lit import installation
from highlight_lit.installation import beside, commit

ROOT = Path(__file__).parents[1]


def test_a_checkout_names_its_commit_and_its_folders() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout")
    head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    assert commit().removesuffix("-dirty") == head.stdout.strip()
    assert (beside("conf"), beside("experiments")) == (ROOT / "conf", ROOT / "experiments")


def test_the_commit_is_told_and_nothing_is_written_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        of = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.com", *words]
        return subprocess.run(of, check=True, capture_output=True, text=True).stdout.strip()

    package, index = tmp_path / "highlight_lit", tmp_path / ".git/index"
    package.mkdir()
    (package / "a.py").write_text("1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "a")
    head = git("rev-parse", "--short=12", "HEAD")
    monkeypatch.setattr(installation, "PACKAGE", package)
    monkeypatch.setattr(installation, "COMMIT", package / "nowhere")
    os.utime(package / "a.py", (1, 1))
    before = index.read_bytes()
    assert commit() == head
    (package / "a.py").write_text("2\n")
    (package / "b.py").touch()
    assert commit() == f"{head}-dirty"
    assert index.read_bytes() == before


@pytest.mark.parametrize("shadow", ["experiments/__init__.py", "experiments.py"])
def test_another_package_named_experiments_is_refused_in_a_line(tmp_path: Path, shadow: str) -> None:
    path = tmp_path / shadow
    path.parent.mkdir(exist_ok=True)
    path.touch()
    words = [sys.executable, "-m", "highlight_lit", "demo", "--help"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert str(ROOT / "experiments") in line
    assert f"run from {ROOT}" in line
