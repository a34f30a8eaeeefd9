"""What a run is: its keys, and what each takes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from highlight_lit.data.audio_ablation import AUDIO_ABLATIONS
from highlight_lit.data.topics.folds import MAX_FOLDS, is_fold
from highlight_lit.data.topics.weak_labels import RULES
from highlight_lit.data.video import MODALITIES
from highlight_lit.errors import InputError, first_line

Check = tuple[Callable[[Any], bool], str]


def _whole(least: int, most: float = math.inf) -> Check:
    return (
        lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
        f"a whole number of at least {least}" + (f" and at most {most:,}" if most < math.inf else ""),
    )


def _number(least: float) -> Check:
    return (
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and least <= value < math.inf,
        f"a number of at least {least:g}",
    )


def _or_null(check: Check) -> Check:
    accepts, takes = check
    return (lambda value: value is None or accepts(value), f"{takes}, or null")


def _one_of(*values: object) -> Check:
    return (lambda value: value in values, "one of " + ", ".join(map(str, values)))


_SWITCH: Check = (lambda value: isinstance(value, bool), "true or false")


def _text(takes: str) -> Check:
    return (lambda value: isinstance(value, str) and value != "", takes)


# Bounds of what is asked for at once, far above any use; they keep a slip of the finger from taking the machine.
MAX_TAU = 1 << 20  # clips in a bag
MAX_PAIRS = 1 << 20  # in a batch
MAX_EPOCHS = 10**6
MAX_RANKINGS = 10**5  # random rankings
MAX_READERS = 256  # threads
MAX_DEVICES = 4096
MAX_BATCHES = (1 << 31) - 1  # of the trainer's numbers of steps and batches
MAX_RANK = 1 << 20
MAX_SEEDS = 100  # networks behind a teacher

# Every key of a run outside its parts, and what it takes.
TAKES: dict[str, Check] = {
    "topic": _text("a topic of the corpus, such as dog (doctor CORPUS lists them)"),
    "modality": _one_of(*MODALITIES),
    "streams": (
        lambda value: isinstance(value, list) and tuple(value) in MODALITIES.values(),
        "set by modality=av, visual or audio",
    ),
    "rank": _whole(1, MAX_RANK),
    "tau": _whole(1, MAX_TAU),
    "beta": _number(0),
    "seed": _whole(0),
    "out": _text("a folder for the runs"),
    "study": (lambda value: value is None or isinstance(value, str), "one of the files in conf/study"),
    "data._target_": _text("the class of the data, such as my.module.Data"),
    "data.root": _text("the folder of a corpus, made by 'highlight-lit import', 'extract' or 'synthesize'"),
    "data.rule": _one_of(*RULES),
    "data.training": _one_of("lists", "transductive"),
    "data.validation": (
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1,
        "a share of the training videos, at least 0 and under 1",
    ),
    "data.pairs": _whole(1, MAX_PAIRS),
    "data.fold": (
        lambda value: value is None or is_fold(value),
        f"K/n with 1 <= K <= n and n from 2 to {MAX_FOLDS}, such as 1/3, or null",
    ),
    "data.audio": _one_of(*AUDIO_ABLATIONS),
    "data.scale": _one_of("dimension", "stream"),
    "teacher.method": (lambda value: value is None or isinstance(value, str), "recurrence_change, or null"),
    "teacher.seeds": _whole(0, MAX_SEEDS),
    "data.store": _one_of("auto", "resident", "stream"),
    "data.readers": _whole(1, MAX_READERS),
    "evaluate.split": _one_of("test", "val", "all"),
    "evaluate.empty": _one_of("zero", "leave_out"),
    "evaluate.draws": _whole(2, MAX_RANKINGS),
    "checkpoint.steps": _or_null(_whole(1)),
    "checkpoint.minutes": _or_null(_number(0)),
    "compile": _SWITCH,
    "optimized_metric": (lambda value: value is None or isinstance(value, str), "a measure such as val/loss, or null"),
}
DATA = "highlight_lit.data.datamodule.HighlightData"
# What is made of classes, each a node with `_target_`: the class checks its own arguments.
PARTS = ("model", "fusion", "context", "pooling", "loss", "optimizer", "trainer", "callbacks", "logger")
_NEEDED = ("model", "loss", "optimizer.algorithm", "trainer", "callbacks")  # of them, what every run has


def check(config: DictConfig | Mapping[str, Any]) -> None:
    """Refuse a configuration with a wrong key, type or range, before any data is opened.

    Raises:
        InputError: Names the key, its value and what it takes.
    """
    values = dict(_leaves(config))
    for key, value in values.items():
        if key not in TAKES:
            if key.startswith("data.") and values["data._target_"] != DATA:
                continue  # an argument of the user's own
            close = difflib.get_close_matches(key, TAKES, 1)
            raise InputError(f"{key}: no such key" + (f"; did you mean {close[0]}?" if close else ""))
        accepts, takes = TAKES[key]
        if not accepts(value):
            raise InputError(f"{key}={value}: expected {takes}")
    for key in TAKES:
        if key not in values:
            raise InputError(f"{key}: missing; expected {TAKES[key][1]}")
    for part in _NEEDED:
        node: Any = config
        for name in part.split("."):
            node = node.get(name) if isinstance(node, Mapping) else None
        if node is None:
            raise InputError(f"{part}: missing; expected it as in the files of conf/{part.partition('.')[0]}")
    _check_trainer(config["trainer"])
    if (strange := next(_not_finite(config), None)) is not None:  # no record can hold it
        raise InputError(f"{strange}: expected a finite number")
    if list(MODALITIES[values["modality"]]) != values["streams"]:
        raise InputError(f"streams={values['streams']}: set by modality={values['modality']}; leave it alone")


def _not_finite(node: Any, key: str = "") -> Iterator[str]:
    """KEY=VALUE of each number that is NaN or infinite."""
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, Mapping | list):
        for name, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from _not_finite(value, f"{key}.{name}".removeprefix("."))
    elif isinstance(node, float) and not math.isfinite(node):
        yield f"{key}={node}"


# Arguments of the Trainer that stand elsewhere here, or that leave a run without what its record tells.
_NOT_THE_TRAINERS = {
    "callbacks": "callbacks=[last,...], or +callbacks.NAME._target_=...",
    "logger": "logger=csv, several as logger=[wandb,csv], or logger=none",
    "fast_dev_run": "debug=one_batch",
    "limit_test_batches": "null: every labelled video is judged",
}

# Of the Trainer's arguments those that count; Lightning takes halves of some without a word.
_WHOLE = (
    "max_steps", "min_steps", "min_epochs", "accumulate_grad_batches", "check_val_every_n_epoch", "log_every_n_steps",
    "num_nodes", "num_sanity_val_steps", "reload_dataloaders_every_n_epochs",
)  # fmt: skip


def _check_trainer(node: Any) -> None:
    """Bounds that Lightning does not know; what else it takes is its own to check."""
    for key, instead in _NOT_THE_TRAINERS.items():
        if (value := node.get(key)) is not None and (value is not False or key == "logger"):
            raise InputError(f"trainer.{key}={value}: expected {instead}")
    epochs = node.get("max_epochs")
    if epochs is not None and not (type(epochs) is int and (1 <= epochs <= MAX_EPOCHS or epochs == -1)):
        raise InputError(
            f"trainer.max_epochs={epochs}: expected a whole number of at least 1 and at most {MAX_EPOCHS:,}"
        )
    for key in _WHOLE:
        if isinstance(value := node.get(key), float | bool):
            raise InputError(f"trainer.{key}={value}: expected a whole number")
    for key in ("max_steps", "limit_train_batches"):
        if node.get(key) == 0:
            raise InputError(f"trainer.{key}=0: trains nothing; expected more than 0")
    for key in ("accumulate_grad_batches", "val_check_interval", "check_val_every_n_epoch"):
        if isinstance(value := node.get(key), int | float) and value <= 0:
            raise InputError(f"trainer.{key}={value}: expected more than 0")
    for key, value in node.items():
        if isinstance(value, int) and abs(value) > MAX_BATCHES:
            raise InputError(f"trainer.{key}={value}: expected at most {MAX_BATCHES:,}")
    strategy = node.get("strategy")
    start = f"_{strategy.get('start_method')}" if isinstance(strategy, Mapping) else str(strategy)
    if any(way in start for way in ("_spawn", "_fork", "_notebook")):
        raise InputError(f"trainer.strategy={strategy}: its processes give no progress back to a record; expected ddp")
    devices = node.get("devices")
    if isinstance(devices, int) and devices > MAX_DEVICES:
        raise InputError(f"trainer.devices={devices}: expected at most {MAX_DEVICES}")


def _leaves(node: DictConfig | Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key outside the parts with its resolved value."""
    for name in node:
        key = f"{prefix}{name!s}"
        if key in PARTS:
            continue
        if isinstance(node, DictConfig) and OmegaConf.is_missing(node, name):
            raise InputError(f"{key}: missing; expected {key}=... ({TAKES[key][1]})")
        try:
            value = node[name]
        except OmegaConfBaseException as error:
            raise InputError(f"{key}: {first_line(error)}") from error
        if isinstance(value, DictConfig | dict):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
