"""What is built holds all that its commands read, says its commit, and leads to nothing that is not there."""

from __future__ import annotations

import email
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import highlight_lit

pytest.importorskip("hatchling", reason="NO HATCHLING: nothing was built (the extra dist)")
pytest.importorskip("hatch_fancy_pypi_readme")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    [path] = dist.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def unpacked(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it lies in an environment, within the checkout of another project."""
    folder = tmp_path_factory.mktemp("other-project")
    wheel.extractall(folder / "site-packages")
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a", "--allow-empty"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder / "site-packages"


def run(words: list[str], unpacked: Path, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_one_package_with_configuration_and_studies_inside_and_no_tests(wheel: zipfile.ZipFile) -> None:
    names = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert {name.split("/")[0] for name in names} == {"highlight_lit", "hydra_plugins"}
    assert [name for name in names if name.startswith("hydra_plugins")] == ["hydra_plugins/highlight_lit_stacked.py"]
    assert not [name for name in names if "test" in name or "__pycache__" in name or "/results/" in name]
    wanted = ["conf", *(f"experiments/{room}" for room in ("reproduce", "studies", "profiles", "paper", "analyses"))]
    for folder in wanted:
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert files
        assert {f"highlight_lit/{path.relative_to(ROOT).as_posix()}" for path in files} <= set(names)
    assert {"highlight_lit/py.typed", "highlight_lit/experiments/demo.py", "highlight_lit/COMMIT"} <= set(names)


def test_the_long_description_leads_to_no_file_of_the_checkout(wheel: zipfile.ZipFile, dist: Path) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith("METADATA")]
    text = str(email.message_from_bytes(wheel.read(name)).get_payload())
    assert "## From nothing to a result" in text
    assert not [link for link in re.findall(r"\]\(([^)]*)\)", text) if not re.match("https?:", link)]
    twine = pytest.importorskip("twine.commands.check")
    assert not twine.check([str(path) for path in dist.iterdir()], strict=True)


def test_the_sdist_has_what_a_wheel_is_built_from_and_no_tests(dist: Path) -> None:
    [path] = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        rooms = {name.split("/")[1] for name in archive.getnames()}
    assert "tests" not in rooms
    assert {".ci", "README.md", "conf", "experiments", "highlight_lit", "pyproject.toml"} <= rooms


def test_verbs_and_records_of_a_wheel_need_no_checkout(wheel: zipfile.ZipFile, unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "__init__.py").touch()  # a user's own package of that name is another
    for verb in ("demo", "reproduce"):
        assert f"highlight-lit {verb}" in run(["-m", "highlight_lit", verb, "--help"], unpacked, tmp_path)
    code = (
        "import json, highlight_lit as h; from highlight_lit.installation import experiments; "
        "from highlight_lit.installation import environment; study = experiments('reproduce.study'); "
        "print(json.dumps([h.__file__, study.__file__, len(study.studies()), study.profile('quick').seeds, environment()]))"
    )
    package, study, studies, seeds, environment = json.loads(run(["-c", code], unpacked, tmp_path))
    assert package.startswith(str(unpacked))
    assert study.startswith(str(unpacked))
    assert (studies, seeds) == (len(list((ROOT / "experiments" / "studies").glob("*.yaml"))), 2)
    assert environment["highlight_lit"] == highlight_lit.__version__
    assert environment["commit"] == wheel.read("highlight_lit/COMMIT").decode().strip()
    (unpacked / "highlight_lit" / "COMMIT").unlink()
    code = "from highlight_lit.installation import commit; print(commit())"
    assert run(["-c", code], unpacked, tmp_path).strip() == ""  # not that of the project around it


def test_a_changed_tree_and_an_unknown_file_mark_the_commit(tmp_path: Path) -> None:
    commit = _hook().commit

    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    assert commit(str(tmp_path)) == ""
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "a")
    clean = commit(str(tmp_path))
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "a").write_text("2")
    assert commit(str(tmp_path)) == f"{clean}-dirty"
    git("checkout", "a")
    (tmp_path / "b").touch()
    assert commit(str(tmp_path)) == f"{clean}-dirty"


def _hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / ".ci" / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
