"""Whether a run was done before, told from its configuration, the corpus' manifest and its record: without PyTorch.

Importing PyTorch and Lightning takes seconds; a sweep that is done is shown in less.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from highlight_lit.config.run_identity import as_plain
from highlight_lit.config.schema import check
from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.runs import ledger
from highlight_lit.training.distributed.variables import several_processes
from highlight_lit.training.guided import identity_with_teacher


def done_before(composed: DictConfig | Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of the same run where it is done; None where it is not, or that takes a look at the machine.

    Raises:
        InputError: The configuration or the corpus cannot be used.
    """
    check(composed)
    config = as_plain(composed)
    trainer = config["trainer"]
    alone = trainer.get("devices") == 1 and trainer.get("num_nodes", 1) in (1, None)
    if not alone or several_processes():
        return None  # ranks must agree: `train` asks them
    try:
        root = Path(config["data"]["root"])
        run_id = identity_with_teacher(config, _fingerprint(root, _state(root)))
    except (AttributeError, KeyError, TypeError, ValueError, InputError, OSError):
        return None  # what cannot be used is refused by `train`, which says more of it
    record = ledger.read_record(ledger.run_dir(Path(config["out"]), run_id), run_id)
    if record is None or record["status"] != "done":
        return None
    return {**record, "skipped": True}


@functools.lru_cache(maxsize=4)
def _fingerprint(root: Path, state: object) -> str:
    """Fingerprint of a corpus, which is opened again only if `state`, that of its files, has changed."""
    return Corpus(root).fingerprint


def _state(root: Path) -> tuple[tuple[str, int, int, int, int], ...]:
    """Names, inodes, sizes and times of a folder's files: they differ once a file is written or replaced."""
    files = [(entry.name, entry.stat()) for entry in os.scandir(root)]
    return tuple(sorted((name, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns) for name, at in files))
