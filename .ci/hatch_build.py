"""What hatchling is told beside pyproject.toml: the commit, as a file of the wheel and of the sdist."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILE = "highlight_lit/COMMIT"


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """Writes `FILE`; a tree without git, as an unpacked sdist, keeps the one it has."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to what is built."""
        self.folder: Path | None = None
        if version == "editable" or (Path(self.root) / FILE).is_file():
            return
        self.folder = Path(tempfile.mkdtemp())
        (self.folder / "COMMIT").write_text(f"{commit(self.root)}\n", encoding="ascii")
        build_data["force_include"][str(self.folder / "COMMIT")] = FILE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was made for the build."""
        if self.folder is not None:
            shutil.rmtree(self.folder)


def commit(root: str) -> str:
    """The commit, with `-dirty` where a file was changed or is not known to git; empty without git."""
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return f"{head}-dirty" if _git(root, "status", "--porcelain") else head
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: str, *words: str) -> str:
    if not (Path(root) / ".git").exists():
        raise FileNotFoundError(root)
    command = ["git", "-C", root, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
