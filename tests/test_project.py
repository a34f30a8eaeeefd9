"""What the project says of itself agrees: bounds and their lowest versions, the version, the names of extras."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

import highlight_lit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_lowest_versions_are_those_that_pyproject_allows() -> None:
    asked = [*PROJECT["dependencies"], *(each for extra in PROJECT["optional-dependencies"].values() for each in extra)]
    bounds = {found[1]: found[2] for each in asked if (found := re.match(r"([\w-]+)>=([\d.]+)", each))}
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    lowest = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert lowest == bounds


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == highlight_lit.__version__


def test_workflows_and_hooks_call_what_the_makefile_has() -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"run: make ([a-z-]+)", workflow)) <= made
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100
