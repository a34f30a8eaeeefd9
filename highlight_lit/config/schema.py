"""What a run is: its keys and what each takes, its parts, and its identity."""

from __future__ import annotations

import copy
import difflib
import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import hydra.utils
import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from highlight_lit.config.launch import CONFIG_DIR as CONFIG_DIR
from highlight_lit.config.own_classes import make_findable, targets
from highlight_lit.data.audio_ways import AUDIO_WAYS
from highlight_lit.data.topics.folds import MAX_FOLDS, is_fold
from highlight_lit.data.topics.weak_labels import RULES
from highlight_lit.errors import InputError

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


_MODALITIES = {"av": ["visual", "audio"], "visual": ["visual"], "audio": ["audio"]}

# Bounds of what is asked for at once, far above any use; they keep a slip of the finger from taking the machine.
MAX_TAU = 1 << 20  # clips in a bag
MAX_PAIRS = 1 << 20  # in a batch
MAX_EPOCHS = 10**6
MAX_DRAWS = 10**5  # random rankings
MAX_READERS = 256  # threads
MAX_DEVICES = 4096
MAX_WHOLE = (1 << 31) - 1  # of the trainer's numbers of steps and batches
MAX_RANK = 1 << 20
MAX_SEEDS = 100  # networks behind a teacher

# Every key of a run outside its parts, and what it takes.
TAKES: dict[str, Check] = {
    "topic": _text("a topic of the corpus, such as dog (doctor CORPUS lists them)"),
    "modality": _one_of(*_MODALITIES),
    "streams": (lambda value: value in _MODALITIES.values(), "set by modality=av, visual or audio"),
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
    "data.audio": _one_of(*AUDIO_WAYS),
    "teacher.method": (lambda value: value is None or isinstance(value, str), "recurrence_change, or null"),
    "teacher.seeds": _whole(0, MAX_SEEDS),
    "data.store": _one_of("auto", "resident", "stream"),
    "data.readers": _whole(1, MAX_READERS),
    "evaluate.split": _one_of("test", "val", "all"),
    "evaluate.empty": _one_of("zero", "leave_out"),
    "evaluate.draws": _whole(2, MAX_DRAWS),
    "checkpoint.steps": _or_null(_whole(1)),
    "checkpoint.minutes": _or_null(_number(0)),
    "compile": _SWITCH,
    "optimized_metric": (lambda value: value is None or isinstance(value, str), "a measure such as val/loss, or null"),
}
DATA = "highlight_lit.data.datamodule.HighlightData"
# What is made of classes, each a node with `_target_`: the class checks its own arguments.
PARTS = ("model", "fusion", "context", "pooling", "loss", "optimizer", "trainer", "callbacks", "logger")
# Those whose arguments are of one class alone, and of no other that takes its place.
_ALONE = ("fusion", "context", "pooling", "loss")
# Keys that change where or how fast a run happens, not what it computes: an accelerator or a number of devices moves
# the last bits of a sum, as another machine does. Where dropout draws other masks on each rank, `identity` counts ranks.
_NOT_SCIENCE = (
    "out", "study", "compile", "optimized_metric", "data.root", "data.store", "data.readers", "logger", "checkpoint",
    "fusion", "context", "pooling", "rank", "beta",
    *(f"callbacks.{name}" for name in ("last", "progress", "lr_monitor", "device_stats")),
    *(f"trainer.{name}" for name in ("_target_", "accelerator", "devices", "num_nodes", "strategy", "profiler",
      "log_every_n_steps", "enable_progress_bar", "enable_model_summary", "num_sanity_val_steps", "benchmark",
      "detect_anomaly", "deterministic", "default_root_dir", "barebones", "plugins", "enable_checkpointing",
      "use_distributed_sampler")),
)  # fmt: skip


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
    _check_trainer(config["trainer"])
    if _MODALITIES[values["modality"]] != values["streams"]:
        raise InputError(f"streams={values['streams']}: set by modality={values['modality']}; leave it alone")


def drop_left_arguments(config: DictConfig, overrides: Sequence[str]) -> None:
    """Take the arguments away that are left of a class in whose place the user has named another.

    `fusion._target_=my.Fusion` names a class alone, and what stood beside it was the other's: gone are those of a
    fusion, context, pooling or loss that the user has not given, and of other nodes those that the class does not take.

    Args:
        config: The composed configuration; changed in place.
        overrides: The user's, as Hydra keeps them.
    """
    given = {override.partition("=")[0].lstrip("+~") for override in overrides}
    for key in (each.removesuffix("._target_") for each in given if each.endswith("._target_")):
        node = OmegaConf.select(config, key)
        if not isinstance(node, DictConfig) or not key.startswith(PARTS):
            continue
        taken = {} if key in _ALONE else check_node({"_target_": node["_target_"]}, key)
        with open_dict(node):
            for name in [str(each) for each in node if not str(each).startswith("_")]:
                if f"{key}.{name}" not in given and name not in taken:
                    del node[name]


def _check_trainer(node: Any) -> None:
    """Bounds that Lightning does not know; what else it takes is its own to check."""
    epochs = node.get("max_epochs")
    if isinstance(epochs, int) and not (1 <= epochs <= MAX_EPOCHS or epochs == -1):
        raise InputError(
            f"trainer.max_epochs={epochs}: expected a whole number of at least 1 and at most {MAX_EPOCHS:,}"
        )
    for key, value in node.items():
        if isinstance(value, int) and abs(value) > MAX_WHOLE:
            raise InputError(f"trainer.{key}={value}: expected at most {MAX_WHOLE:,}")
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
            raise InputError(f"{key}: {str(error).splitlines()[0]}") from error
        if isinstance(value, DictConfig | dict):
            yield from _leaves(value, f"{key}.")
        else:
            yield key, OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def plain(config: DictConfig | Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as plain dictionaries, every interpolation resolved; one that is plain already is copied.

    A plain one is never resolved: a topic's name, say, comes from a corpus, and is the text it is.

    Raises:
        InputError: An interpolation names a key that does not exist.
    """
    if not isinstance(config, DictConfig):
        return copy.deepcopy(dict(config))
    try:
        resolved = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(str(error).splitlines()[0]) from error
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def identity(config: Mapping[str, Any], corpus: str, ranks: int = 1) -> str:
    """Hexadecimal name of a run: two runs that compute the same thing have the same one.

    It is the hash of the resolved configuration without what does not change the result (folders, logging, progress,
    device) and without what is null, and of the corpus' contents in place of its path.

    Args:
        config: A checked configuration, plain.
        corpus: `Corpus.fingerprint`.
        ranks: How many processes it is trained on, if what is dropped out depends on that; else 1.
    """
    science = copy.deepcopy(dict(config))
    for key in _NOT_SCIENCE:
        parent, _, last = key.rpartition(".")
        (science[parent] if parent else science).pop(last, None)
    for part in ("trainer", "callbacks"):  # an argument that is left to Lightning is no other run
        science[part] = {key: value for key, value in science[part].items() if value is not None}
    text = json.dumps(
        {**science, "corpus": corpus, **({"ranks": ranks} if ranks > 1 else {})}, sort_keys=True, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folded(seed: int) -> int:
    """A seed of at most 32 bits, which is what most generators take; one that has no more is left as it is."""
    return seed if seed < 1 << 32 else int(np.random.SeedSequence(seed).generate_state(1)[0])


def build(part: Mapping[str, Any], name: str, everything: bool = False, **arguments: Any) -> Any:
    """Make a part of the run from its node: the class that `_target_` names, with the node's arguments.

    Args:
        part: The node, plain.
        name: The key it stands under, for errors.
        everything: Whether a class with `**arguments` is given all that follow.
        arguments: Further arguments, such as `Dv`; those the class does not take are left out, and those that the node
            gives itself win.

    Raises:
        InputError: The class does not exist, or does not take an argument or its value.
    """
    taken = check_node(part, name)
    everything = everything and any(each.kind is each.VAR_KEYWORD for each in taken.values())
    further = {key: arguments[key] for key in arguments if (key in taken or everything) and part.get(key) is None}
    own = {key: value for key, value in part.items() if key not in further}
    try:
        if not further:
            return hydra.utils.instantiate(own, _convert_="all")
        return hydra.utils.instantiate({**own, "_partial_": True}, _convert_="all")(**further)
    except InputError:
        raise
    except Exception as error:  # hydra wraps what the class raises in types of its own
        cause = error.__cause__ or error
        first = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise InputError(f"{name}: {part.get('_target_')}: {first}") from error


def check_node(part: Mapping[str, Any], name: str) -> Mapping[str, inspect.Parameter]:
    """What the class of a node takes.

    Raises:
        InputError: There is no such class, or it has no argument of a name that the node gives.
    """
    target = str(part.get("_target_"))
    for each in targets(part):
        make_findable(each)
    try:
        taken = inspect.signature(hydra.utils.get_object(target)).parameters
    except Exception as error:  # whatever importing it raises
        cause = error.__cause__ or error
        raise InputError(f"{name}: {target}: {(str(cause).splitlines() or [''])[0]}") from error
    if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        for key in part:
            if key not in taken and not key.startswith("_"):
                close = difflib.get_close_matches(key, taken, 1)
                meant = f"did you mean {close[0]}?" if close else f"expected {', '.join(taken)}"
                raise InputError(f"{name}.{key}: no argument of {target}; {meant}")
    return taken
