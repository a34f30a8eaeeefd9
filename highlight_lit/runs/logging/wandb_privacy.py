"""What W&B is told of the machine and the user: with `logger.private=true` no more than the run itself needs."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

# What W&B sends unasked; README lists it. `host` cannot be left out: without a value it is looked up.
_PRIVATE: dict[str, Any] = {
    "x_disable_meta": True,  # program, its arguments, working folder, user, Python and where it lies
    "x_disable_machine_info": True,  # processors, memory, disks, GPUs
    "x_save_requirements": False,  # every package installed, with its version
    "disable_git": True,  # remote, commit, and a patch of what is not committed
    "disable_code": True,
    "save_code": False,
    "host": "private",
}
_PATHS = ("out", "data.root")  # they often hold the user's name


def settings(private: bool) -> dict[str, Any]:
    """Further settings of W&B for a run; called before W&B is imported, which may then report its own errors."""
    if private:
        os.environ["WANDB_ERROR_REPORTING"] = "false"
    return dict(_PRIVATE) if private else {}


def sent(config: Mapping[str, Any], private: bool) -> dict[str, Any]:
    """A run's configuration as W&B may have it: if it is private, without the paths of this machine."""
    kept = copy.deepcopy(dict(config))
    for key in _PATHS if private else ():
        parent, _, last = key.rpartition(".")
        (kept[parent] if parent else kept).pop(last, None)
    if private and "environment" in kept:  # of the machine and the repository
        kept["environment"] = {"highlight_lit": kept["environment"]["highlight_lit"]}
    return kept
