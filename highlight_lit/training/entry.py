"""The Hydra entry: overrides in, runs out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from highlight_lit.errors import InputError
from highlight_lit.launch import launch
from highlight_lit.text import say
from highlight_lit.training.sweep import Sweep


def main(arguments: Sequence[str]) -> int:
    """Run `highlight-lit train` with Hydra's own command line.

    Args:
        arguments: Overrides and Hydra's flags (`-m`, `--cfg job`, `--help`).

    Returns:
        Exit status: 0, or 1 if a cell of a sweep failed.

    Raises:
        InputError: A key, value or corpus that cannot be used, in one line.
    """
    try:
        launch("highlight-lit train", "config", _cell, arguments)
    finally:
        Sweep.discard_notes()
    if Sweep.error is not None:
        raise Sweep.error
    if Sweep.failures:
        say(
            f"{len(Sweep.failures)} of the sweep's cells failed:",
            *(f"  {of}" for of in Sweep.failures),
            file=sys.stderr,
        )
    return 1 if Sweep.failures else 0


def _cell(config: DictConfig) -> dict[str, Any]:
    """One run. What it raises is handed over in its result: Hydra would print a traceback of its own, and stop a sweep."""
    from highlight_lit.training.train import train

    try:
        return train(config)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        described = first if isinstance(error, InputError) else f"{type(error).__name__}: {first}"
        alone = HydraConfig.get().mode == RunMode.RUN
        return {"status": "failed", "error": described, "exception": error if alone else None}
