"""Hydra's own command line over a function of ours: overrides in, one line of error out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from highlight_lit.errors import InputError, Interrupted
from highlight_lit.overrides import MULTIRUN as MULTIRUN
from highlight_lit.overrides import prepared

_HERE = Path(__file__).parent
# In a wheel the configuration lies inside the package, in a checkout beside it.
CONFIG_DIR = next(path for path in (_HERE / "conf", _HERE.parent / "conf") if path.is_dir())


def launch(program: str, config_name: str, job: Callable[[DictConfig], Any], words: Sequence[str]) -> None:
    """Run `job` as Hydra says: once, or with -m once a cell, here or wherever the launcher puts it.

    Args:
        program: What the user typed before the words.
        config_name: A file of `CONFIG_DIR`, without its ending.
        job: Takes a composed configuration; a function of a module, since other processes import it.
        words: Overrides and Hydra's flags, in any order.

    Raises:
        InputError: A word Hydra does not take, in one line.
    """
    before = sys.argv
    sys.argv = [program, *prepared(words)]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra then raises, instead of printing and exiting itself
    try:
        hydra.main(config_path=str(CONFIG_DIR), config_name=config_name, version_base="1.3")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        _raise_signal(error)
        raise InputError(_one_line(error)) from error
    finally:
        sys.argv = before


def composed(config_name: str, words: Sequence[str]) -> DictConfig:
    """A configuration as `launch` would give it to a job.

    Raises:
        InputError: A word Hydra does not take, or a key that has no value yet.
    """
    try:
        within = GlobalHydra.instance().is_initialized()  # a job of Hydra composes a further configuration
        with nullcontext() if within else initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = compose(config_name, prepared(words))
            missing = sorted(str(key) for key in OmegaConf.missing_keys(config))
    except (HydraException, OmegaConfBaseException) as error:
        _raise_signal(error)
        raise InputError(_one_line(error)) from error
    if missing:
        raise InputError(f"{', '.join(missing)}: missing; expected {' '.join(f'{key}=...' for key in missing)}")
    return config


def _raise_signal(error: BaseException | None) -> None:
    """Raise the signal that an error came of: OmegaConf, stopped in the middle, fails on its half-made nodes."""
    while error is not None:
        if isinstance(error, Interrupted):
            raise error
        error = error.__cause__ or error.__context__


def _one_line(error: BaseException) -> str:
    """What Hydra and OmegaConf say over several lines, in one."""
    parts: list[str] = []
    while error is not None and len(parts) < 3:
        text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
        if text and not any(text in part for part in parts):
            parts.append(text)
        error = error.__cause__  # type: ignore[assignment]
    return " ".join(parts)
