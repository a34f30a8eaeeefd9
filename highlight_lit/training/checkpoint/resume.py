"""How a run goes on from its last checkpoint: each entry (`contents`) must be of the form that the run itself would write.

The configuration is the user's; a checkpoint only fills what was made from it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.optim import Optimizer

from highlight_lit.errors import InputError, first_line, with_kind
from highlight_lit.text import shown
from highlight_lit.training.callbacks.last_checkpoint import LastCheckpoint
from highlight_lit.training.checkpoint.contents import NEEDED
from highlight_lit.untrusted.checkpoint_file import LAST_CHECKPOINT, read_checkpoint
from highlight_lit.untrusted.networks import check_tensors
from highlight_lit.untrusted.plain_values import plain
from highlight_lit.untrusted.shapes import check_shape

MAX_COUNT = 1 << 53  # of steps, epochs and bags
# How Lightning begins a refusal that is of no class of its own, and the group that is meant.
_OF_NO_CLASS = {"Early stopping conditioned on metric": "callbacks", "`val_check_interval`": "trainer"}


def resumable(folder: Path, module: pl.LightningModule, precision: str = "32-true") -> Path | None:
    """The checkpoint that a run goes on from, None if there is none; what a killed writer left is removed.

    Raises:
        InputError: There is one and it cannot be used.
    """
    for left in folder.glob(f".{LAST_CHECKPOINT}.*.tmp"):
        left.unlink(missing_ok=True)
    path = folder / LAST_CHECKPOINT
    if not path.exists():
        return None
    try:
        checkpoint = read_checkpoint(path)
        _refuse_another_runs(checkpoint, path)
        _refuse_swa(checkpoint, path)
        check_state(checkpoint, copy.deepcopy(module).double() if precision == "64-true" else module, path)
    except InputError as error:
        raise InputError(f"{error}; remove it to train from the start") from error
    return path


def _refuse_another_runs(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuse what another run has written, with another seed say: it may fit, and its numbers would be taken for this run's."""
    own = path.parent.name
    if (run := checkpoint.get("run", own)) != own:  # absent before it was kept
        raise InputError(f"{path}: of the run {shown(str(run)[:64])}, expected of {own}")


def _refuse_swa(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuse a training whose averaging has begun: Lightning leaves its learning rate out of an epoch in progress."""
    callbacks = checkpoint.get("callbacks")
    swa = callbacks.get("StochasticWeightAveraging") if isinstance(callbacks, dict) else None
    if isinstance(swa, dict) and swa.get("scheduler_state") is not None:
        raise InputError(
            f"{path}: StochasticWeightAveraging had begun, which cannot go on exactly (callbacks=[last,weight_averaging] can)"
        )


@contextmanager
def restoring(path: Path | None, last: LastCheckpoint) -> Iterator[None]:
    """Name the checkpoint in what Lightning raises while it restores it, before training has begun, or what it refuses.

    Raises:
        InputError: In place of what was raised.
    """
    try:
        yield
    except InputError:
        raise
    except MisconfigurationException as error:
        raise InputError(f"trainer: {first_line(error)}") from error
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        for said, of in _OF_NO_CLASS.items():
            if str(error).strip().startswith(said):
                raise InputError(f"{of}: {first_line(error)}") from error
        if path is None or last.began:
            raise
        raise InputError(
            f"{path}: cannot be restored ({with_kind(error)}); remove it to train from the start"
        ) from error


def check_state(checkpoint: Mapping[str, Any], module: pl.LightningModule, path: Path) -> None:
    """Refuse a checkpoint that a run of this module cannot go on from.

    Raises:
        InputError: Names the key, and what was expected.
    """
    if not checkpoint.keys() >= NEEDED:
        raise InputError(
            f"{path}: written by another version, which no run can go on from; start anew with another out=..."
        )
    weights = checkpoint["state_dict"]
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise InputError(f"{path}: state_dict: expected weights by name")
    check_tensors(weights, module.state_dict(), str(path))
    for key in ("epoch", "global_step"):
        _whole(checkpoint[key], f"{path}: {key}")
    _check_loops(plain(checkpoint["loops"], f"{path}: loops"), f"{path}: loops")
    _check_seconds(checkpoint.get("callbacks", {}), f"{path}: callbacks")
    _check_progress(checkpoint["progress"], checkpoint["epoch"], f"{path}: progress")
    made: Any = module.configure_optimizers()
    optimizer, schedule = (made["optimizer"], made["lr_scheduler"]) if isinstance(made, dict) else (made, None)
    states, where = checkpoint["optimizer_states"], f"{path}: optimizer_states"
    groups = optimizer.state_dict()["param_groups"]
    _like(states, [{"state": {}, "param_groups": groups}], where, free=("state",))
    if any(group["params"] != own["params"] for group, own in zip(states[0]["param_groups"], groups, strict=True)):
        raise InputError(f"{where}.param_groups.params: expected the parameters in their order")
    _check_moments(states[0]["state"], _moments(optimizer), f"{where}.state")
    own = [] if schedule is None else [schedule.state_dict()]
    _like(checkpoint["lr_schedulers"], own, f"{path}: lr_schedulers")
    if schedule is not None:
        _check_step(schedule, checkpoint["lr_schedulers"][0], f"{path}: lr_schedulers")


def _check_seconds(callbacks: object, where: str) -> None:
    """Refuse seconds of training, or a count of cells trained at once, that no record can hold."""
    if not isinstance(callbacks, dict) or not all(type(name) is str for name in callbacks):
        raise InputError(f"{where}: expected the state of each callback by name")
    if "LastCheckpoint" in callbacks:
        last = callbacks["LastCheckpoint"]
        check_shape(last, {"seconds": (int, float), "stacked?": int}, f"{where}.LastCheckpoint")
        if last["seconds"] < 0:
            raise InputError(f"{where}.LastCheckpoint.seconds: expected at least 0")
        _whole(last.get("stacked", 1), f"{where}.LastCheckpoint.stacked")


def _check_step(schedule: Any, state: dict[str, Any], where: str) -> None:
    """Refuse a schedule's state with which it takes no step, such as a `step_size` of 0."""
    try:
        schedule.step()
    except Exception:
        return  # it waits for a measure: nothing can be tried here
    try:
        schedule.load_state_dict(copy.deepcopy(state))
        schedule.step()
    except Exception as error:  # whatever a schedule raises
        raise InputError(f"{where}: its next step fails ({type(error).__name__}: {error})") from error


def _whole(value: object, where: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise InputError(f"{where}: expected a whole number from 0 to {MAX_COUNT}")
    return value


def _check_loops(loops: object, where: str) -> None:
    """Refuse a state of Lightning's loops with anything missing: Lightning would start anew with it."""
    fit = _inner(loops, "fit_loop")
    for names in (
        ("epoch_progress", "current"),
        ("epoch_progress", "total"),
        ("epoch_loop.batch_progress", "current"),
        ("epoch_loop.automatic_optimization.optim_progress", "optimizer", "step", "total"),
    ):
        node = fit
        for name in names:
            node = _inner(node, name)
        for count in ("ready", "completed"):
            _whole(node.get(count), f"{where}.fit_loop.{'.'.join(names)}.{count}")
    loaders = _inner(fit, "state_dict").get("combined_loader")
    for each in loaders if isinstance(loaders, list) and loaders else [None]:
        for count in ("epoch", "batch"):
            _whole(_inner([each], 0).get(count), f"{where}.fit_loop.state_dict.combined_loader.{count}")


def _inner(node: Any, key: Any) -> dict[str, Any]:
    """A mapping in a mapping or list; an empty one where there is none."""
    inner = (
        node.get(key) if isinstance(node, dict) else node[key] if isinstance(node, list) and type(key) is int else None
    )
    return inner if isinstance(inner, dict) else {}


def _check_progress(progress: object, epoch: int, where: str) -> None:
    """The means of the epochs that are over, and the sums of the one that is not."""
    if not isinstance(progress, dict) or progress.keys() != {"history", "sums", "bags"}:
        raise InputError(f"{where}: expected history, sums and bags")
    history, sums = plain(progress["history"], f"{where}.history"), progress["sums"]
    if not isinstance(history, list) or len(history) not in (epoch, epoch + 1):
        raise InputError(f"{where}.history: expected an entry for each of {epoch} or {epoch + 1} epochs")
    for each in history:
        if not isinstance(each, dict) or not all(type(value) in (int, float) for value in each.values()):
            raise InputError(f"{where}.history: expected numbers by name")
        for key in ("epoch", "step"):
            _whole(each.get(key), f"{where}.history.{key}")
    if not isinstance(sums, dict) or not all(type(name) is str and _is_number(value) for name, value in sums.items()):
        raise InputError(f"{where}.sums: expected numbers by name")
    _whole(progress["bags"], f"{where}.bags")


def _is_number(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0 and value.is_floating_point() and bool(value.isfinite())


def _moments(optimizer: Optimizer) -> Mapping[int, Mapping[str, Any]]:
    """What an optimizer keeps of each parameter once it has stepped: it takes a step with zero gradients, and the weights are put back."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    before = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    with torch.no_grad():
        for parameter, value in zip(parameters, before, strict=True):
            parameter.copy_(value)
            parameter.grad = None
    state: Mapping[int, Mapping[str, Any]] = optimizer.state_dict()["state"]
    return state


def _check_moments(state: object, own: Mapping[int, Mapping[str, Any]], where: str) -> None:
    """Each parameter that has had a gradient has the numbers and tensors that this optimizer keeps."""
    if not isinstance(state, dict):
        raise InputError(f"{where}: expected a mapping")
    for number, moments in state.items():
        if type(number) is not int or number not in own:
            raise InputError(f"{where}: expected one mapping for each of {len(own)} parameters")
        _like(moments, own[number], f"{where}.{number}")


def _like(value: object, own: object, where: str, free: tuple[str, ...] = ()) -> None:
    """Refuse a value that is not of the form that this run writes: types, keys, and lengths of lists."""
    if isinstance(own, dict) and type(value) in (dict, type(own)):
        assert isinstance(value, dict)
        if type(own) is dict and value.keys() != own.keys():
            raise InputError(f"{where}: expected the keys {', '.join(map(str, own))}")
        for key in own if type(own) is dict else ():
            if key not in free:
                _like(value[key], own[key], f"{where}.{key}", free)
    elif isinstance(own, list | tuple) and type(value) is type(own):
        assert isinstance(value, list | tuple)
        if len(value) != len(own):
            raise InputError(f"{where}: {len(value)} values, expected {len(own)}")
        for each, own_part in zip(value, own, strict=True):
            _like(each, own_part, where, free)
    elif isinstance(own, Tensor) and isinstance(value, Tensor):
        if value.shape != own.shape or value.dtype != own.dtype or not value.isfinite().all():
            raise InputError(f"{where}: expected {tuple(own.shape)} finite numbers")
    elif type(own) in (int, float) and type(value) in (int, float):
        assert isinstance(value, int | float)
        if not math.isfinite(value) or abs(value) > MAX_COUNT:
            raise InputError(f"{where}: expected a finite number")
    elif type(value) is not type(own):
        raise InputError(f"{where}: expected {'null' if own is None else type(own).__name__}")
