"""Hydra's own command line over a function of ours: overrides in, one line of error out."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from highlight_lit.config.overrides import MULTIRUN, prepared
from highlight_lit.errors import InputError, Interrupted
from highlight_lit.installation import beside

CONFIG_DIR = beside("conf")
SWEEP_FILE = "multirun.yaml"  # that Hydra writes into the folder of a sweep
# Flags that say what Hydra is to do; it raises a ValueError where there are two.
_MODES = (*MULTIRUN, "--cfg", "-c", "--info", "-i", "--run", "-r", "--shell-completion", "-sc")
_RERUN = "--experimental-rerun"


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
    sys.argv = [program, *_one_mode(_with_names_of_files(prepared(words)))]
    os.environ["HYDRA_FULL_ERROR"] = "1"  # hydra then raises, instead of printing and exiting itself
    try:
        hydra.main(config_path=str(CONFIG_DIR), config_name=config_name, version_base="1.3")(job)()
    except (HydraException, OmegaConfBaseException) as error:
        _raise_signal(error)
        raise InputError(_said(error, config_name)) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise InputError(
            f"{os.fsdecode(error.filename)}: cannot be used ({error.strerror}); expected a folder that can be written (out=...)"
        ) from error
    finally:
        sys.argv = before


def _one_mode(words: list[str]) -> list[str]:
    """The words, of which one at most says what Hydra is to do."""
    if any(len(word) > 2 and _RERUN.startswith(word.partition("=")[0]) for word in words):
        raise InputError(f"{_RERUN}: not taken, since Hydra would unpickle that file; type the run's command again")
    modes = [word for word in words if word.partition("=")[0] in _MODES]
    if len(modes) > 1:
        raise InputError(f"{' '.join(modes)}: expected one of these; --cfg job shows a single run's configuration")
    return words


def _with_names_of_files(words: list[str]) -> list[str]:
    """The words, of which those that name a group of files give names of such, one or several: Hydra fails on others."""
    overrides = [word for word in words if "=" in word and not word.startswith(("-", "~"))]
    for override in OverridesParser.create().parse_overrides(overrides):
        group, value = str(override.key_or_group), override.value()
        if not (CONFIG_DIR / group).is_dir() and "/" not in group:
            continue
        for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
            names = choice if isinstance(choice, list) else [choice]
            if not all(isinstance(name, str | QuotedString) for name in names):
                raise InputError(f"{override.input_line}: expected the name of a file in {CONFIG_DIR / group}")
    return words


def composed(config_name: str, words: Sequence[str], with_hydra: bool = False) -> DictConfig:
    """A configuration as `launch` would give it to a job.

    Args:
        config_name: A file of `CONFIG_DIR`, without its ending.
        words: Overrides.
        with_hydra: Whether Hydra's own keys are wanted too.

    Raises:
        InputError: A word Hydra does not take, or a key that has no value yet.
    """
    try:
        within = GlobalHydra.instance().is_initialized()  # a job of Hydra composes a further configuration
        with nullcontext() if within else initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            config = compose(config_name, _with_names_of_files(prepared(words)), with_hydra)
            missing = sorted(key for key in map(str, OmegaConf.missing_keys(config)) if not key.startswith("hydra."))
    except (HydraException, OmegaConfBaseException) as error:
        _raise_signal(error)
        raise InputError(_said(error, config_name)) from error
    if missing:
        raise InputError(f"{', '.join(missing)}: missing; expected {' '.join(f'{key}=...' for key in missing)}")
    return config


def _raise_signal(error: BaseException | None) -> None:
    """Raise the signal that an error came of: OmegaConf, stopped in the middle, fails on its half-made nodes."""
    while error is not None:
        if isinstance(error, Interrupted):
            raise error
        error = error.__cause__ or error.__context__


def _said(error: BaseException, config_name: str) -> str:
    """What is wrong with a word that Hydra does not take, and the nearest one that it does."""
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, option = error.missing_cfg_file.rpartition("/")
        options = [str(name) for name in error.options]
        return f"{group}={option}: no such option; expected one of {', '.join(options)}{_near(option, options)}"
    cause = error.__cause__
    if not isinstance(cause, ConfigAttributeError | ConfigKeyError) or not cause.full_key:
        return _one_line(error)
    key, keys = str(cause.full_key), _keys(config_name)
    hint, node = _near(key, keys), key.rpartition(".")[0]
    if node and any(known.startswith(f"{node}.") and known.endswith("._target_") for known in keys):
        hint += f"; +{key}=... adds one that its class takes"
    return f"{key}: no such key{hint or f'; the keys are those of {CONFIG_DIR / config_name}.yaml'}"


def _near(word: str, words: Sequence[str]) -> str:
    """Which of some words may have been meant."""
    close = difflib.get_close_matches(word, words, 1)
    return f"; did you mean {close[0]}?" if close else ""


def _keys(config_name: str) -> list[str]:
    """Every key of a configuration and its groups."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose(config_name)
    keys, left = [], [("", config)]
    while left:
        prefix, node = left.pop()
        for name in map(str, node):
            keys.append(f"{prefix}{name}")
            told = not OmegaConf.is_missing(node, name) and not OmegaConf.is_interpolation(node, name)
            if told and isinstance(node[name], DictConfig):
                left.append((f"{keys[-1]}.", node[name]))
    return keys


def _one_line(error: BaseException) -> str:
    """What Hydra and OmegaConf say over several lines, in one."""
    parts: list[str] = []
    while error is not None and len(parts) < 3:
        text = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
        if text and not any(text in part for part in parts):
            parts.append(text)
        error = error.__cause__  # type: ignore[assignment]
    return " ".join(parts)
