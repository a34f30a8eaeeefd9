"""What an extra of the package brings is asked for where it is used, and named where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from highlight_lit.errors import InputError


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


def need_media() -> None:
    """Refuse a verb that reads video without PyAV, the extra `media`.

    Raises:
        InputError: PyAV is missing.
    """
    if find_spec("av") is None:
        raise InputError("this verb needs PyAV: pip install 'highlight-lit[media]'")
