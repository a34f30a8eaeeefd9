"""A part of a run made from its node, the keys under its name: the class that `_target_` names, with the others as arguments."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

import hydra.utils

from highlight_lit.config.own_classes import class_names, make_findable
from highlight_lit.errors import InputError, first_line


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
        raise InputError(f"{name}: {part.get('_target_')}: {first_line(cause)}") from error


def check_node(part: Mapping[str, Any], name: str) -> Mapping[str, inspect.Parameter]:
    """What the class of a node takes.

    Raises:
        InputError: There is no such class, or it has no argument of a name that the node gives.
    """
    target = str(part.get("_target_"))
    for each in class_names(part):
        make_findable(each)
    try:
        taken = inspect.signature(hydra.utils.get_object(target)).parameters
    except Exception as error:  # whatever importing it raises
        cause = error.__cause__ or error
        raise InputError(f"{name}: {target}: {first_line(cause)}") from error
    if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        for key in part:
            if key not in taken and not key.startswith("_"):
                close = difflib.get_close_matches(key, taken, 1)
                meant = f"did you mean {close[0]}?" if close else f"expected {', '.join(taken)}"
                raise InputError(f"{name}.{key}: no argument of {target}; {meant}")
    return taken
