"""Parts of a run made from their nodes."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import hydra.utils
from omegaconf import DictConfig, OmegaConf, open_dict

from highlight_lit.config.launch import CONFIG_DIR
from highlight_lit.config.own_classes import make_findable, targets
from highlight_lit.config.run_identity import READ_BY_OTHERS
from highlight_lit.config.schema import PARTS
from highlight_lit.errors import InputError

# Those whose arguments are of one class alone, and of no other that takes its place.
_ALONE = ("fusion", "context", "pooling", "loss")
_BOTH = ("visual", "audio")  # what a fusion reads that does not say


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


def settle(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Settle what Hydra's own rules leave open.

    Args:
        config: The composed configuration; changed in place.
        overrides: The user's, as Hydra keeps them.

    Returns:
        What the user is to be told of it.
    """
    _drop_left_arguments(config, overrides)
    given = {override.partition("=")[0].lstrip("+~").partition(".")[0] for override in overrides}
    if (gives_way := _fuse_what_is_read(config)) is not None:
        return [gives_way]
    return [f"{key}: changes nothing, since nothing else here reads it" for key in sorted(given & _unread(config))]


def _unread(config: DictConfig) -> set[str]:
    """The keys that are there for others to read, of which none does."""
    raw = OmegaConf.to_container(config, resolve=False)
    assert isinstance(raw, dict)
    left = {key: raw.pop(key) for key in READ_BY_OTHERS if key in raw}
    reading = [str(raw)]
    while reading:
        read = set(re.findall(r"\$\{(\w+)", reading.pop())) & set(left)
        reading += [str(left.pop(key)) for key in read]
    return set(left)


def _fuse_what_is_read(config: DictConfig) -> str | None:
    """One stream has nothing to fuse: its own fusion takes the place of one that reads both.

    So `fusion=low_rank,residual modality=visual,av` can be swept; the visual stream alone is one run, named as ever.
    """
    streams, target = (OmegaConf.select(config, key) for key in ("streams", "fusion._target_"))
    if streams not in (["visual"], ["audio"]) or not target or OmegaConf.select(config, "model.fusion") is None:
        return None
    alone = cast(DictConfig, OmegaConf.load(CONFIG_DIR / "fusion" / f"{streams[0]}_only.yaml"))
    try:
        make_findable(target)
        reads = () if target == alone["_target_"] else getattr(hydra.utils.get_object(target), "streams", _BOTH)
    except Exception:
        return None  # said where it is built
    if not set(reads) > set(streams):
        return None
    config.fusion = alone
    return f"modality={config.modality}: one stream, nothing to fuse; {target.rpartition('.')[2]} gives way to fusion={streams[0]}_only"


def _drop_left_arguments(config: DictConfig, overrides: Sequence[str]) -> None:
    """Take the arguments away that are left of a class in whose place the user has named another.

    `fusion._target_=my.Fusion` names a class alone, and what stood beside it was the other's: gone are those of a
    fusion, context, pooling or loss that the user has not given, and of other nodes those that the class does not take.
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
