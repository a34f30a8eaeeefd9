"""The checkpoint of a run: its name in the run's folder, and reading it as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from highlight_lit.errors import InputError
from highlight_lit.untrusted.torch_files import read_tensors

LAST_CHECKPOINT = "last.ckpt"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint as data: no pickled object is made from it, and it takes no more memory than it is large.

    Raises:
        InputError: The file is missing, damaged (each part is checked against its CRC-32), or holds more than data.
    """
    checkpoint = read_tensors(path, "a checkpoint")
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path}: a {type(checkpoint).__name__}; expected a checkpoint of highlight-lit")
    return checkpoint
