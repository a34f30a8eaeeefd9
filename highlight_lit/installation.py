"""How this code is installed: as a checkout or a wheel, with which extras, and beside which versions on which machine.

A wheel has inside the package what a checkout has beside it.
"""

from __future__ import annotations

import platform
import subprocess
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from highlight_lit import __version__
from highlight_lit.errors import InputError

PACKAGE = Path(__file__).parent
COMMIT = PACKAGE / "COMMIT"  # written into a wheel as it is built


def beside(name: str) -> Path:
    """A folder that is inside the package in a wheel and beside it in a checkout: conf, experiments."""
    return next(path for path in (PACKAGE / name, PACKAGE.parent / name) if path.is_dir())


def experiments(module: str) -> ModuleType:
    """A module of experiments/: `highlight_lit.experiments` in a wheel, `experiments` in a checkout.

    Raises:
        InputError: In a checkout, another package of that name comes first on Python's path.
    """
    folder = beside("experiments")
    package = "highlight_lit.experiments" if folder.parent == PACKAGE else "experiments"
    try:
        imported = import_module(package)
        if imported.__file__ and Path(imported.__file__).parent.samefile(folder):
            return import_module(f"{package}.{module}")
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
    raise InputError(f"{folder}: not the package 'experiments' on Python's path; run from {folder.parent}")


def commit() -> str:
    """Commit of this code, with `-dirty` if it differs from it; empty where neither a wheel nor a checkout says it."""
    if COMMIT.is_file():
        return COMMIT.read_text(encoding="ascii").strip()
    if not (PACKAGE.parent / ".git").exists():  # an environment may lie within the checkout of another project
        return ""
    try:
        changed = "-dirty" if _git("status", "--porcelain", "--untracked-files=no") else ""
        return _git("describe", "--always", "--abbrev=12", "--exclude=*") + changed
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*words: str) -> str:
    """What git says of this checkout, in which it writes nothing: ended as it does, it would leave the index locked.

    That is why `describe --dirty`, which writes the index anew whatever it is told, is not asked.
    """
    command = ["git", "--no-optional-locks", "-C", str(PACKAGE), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()


def environment() -> dict[str, str]:
    """Versions, commit and machine that a run was made with."""
    import torch  # a record is read without it

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        "highlight_lit": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device,
        "threads": str(torch.get_num_threads()),
    }


def need(extra: str, what: str, *modules: str) -> None:
    """Refuse to go on without the modules of an extra.

    Args:
        extra: Its name in pyproject.toml.
        what: What needs it, for the error.
        modules: Names that are imported.

    Raises:
        InputError: One is not installed.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise InputError(f"{what} needs {' and '.join(missing)}: pip install 'highlight-lit[{extra}]'")
