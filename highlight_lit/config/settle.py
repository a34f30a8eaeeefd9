"""Finish a composed configuration: the fusion of a stream alone, arguments of a replaced class, keys that none reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import hydra.utils
from omegaconf import DictConfig, OmegaConf, open_dict

from highlight_lit.config.build import check_node
from highlight_lit.config.own_classes import make_findable
from highlight_lit.config.run_identity import READ_BY_OTHERS
from highlight_lit.config.schema import PARTS
from highlight_lit.launch import CONFIG_DIR

# Those whose arguments are of one class alone, and of no other that takes its place.
_ALONE = ("fusion", "context", "pooling", "loss")
_BOTH = ("visual", "audio")  # what a fusion reads that does not say


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
    """Keys of `READ_BY_OTHERS` that no other key's interpolation reads."""
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
