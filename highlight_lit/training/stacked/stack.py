"""Networks of one shape whose weights lie one upon another, (M, ...) for M members, and a step of all of them."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from highlight_lit.data.batch import Bags
from highlight_lit.training.module import HighlightModule
from highlight_lit.training.optimizer import make_optimizer
from highlight_lit.training.step.objective import objective

# Optimizers that treat each number by itself: a step of stacked weights is a step of each member's.
ELEMENTWISE = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
_SHARED = ("step", "mu_product")  # of what they keep, what is a number of steps alone
State = dict[str, Any]


@dataclass
class Member:
    """One network of a stack, and what belongs to it while it is not in one.

    Attributes:
        module: Holds the network with its weights, and the nodes of its optimizer.
        batches: Of its epoch; members whose learning rate follows epochs share theirs.
        optimizer: Of its optimizer's `state_dict`; None before the first step.
        schedule: Of its schedule's `state_dict`; None before the first step, or without one.
    """

    module: HighlightModule
    batches: int
    optimizer: State | None = None
    schedule: State | None = None

    @property
    def rule(self) -> str:
        """What members with the same learning rate at each step have in common."""
        nodes = self.module.hparams["optimizer"]
        return json.dumps([nodes, self.batches if nodes["schedule"] is not None else None], sort_keys=True)


@dataclass
class _Part:
    """Members under one optimizer, side by side in the stack."""

    members: list[Member]
    weights: dict[str, Tensor]  # (members, ...) each
    optimizer: Any = None
    schedule: Any = None


class Stack:
    """The weights, buffers and optimizers of some members.

    Args:
        members: At least one; all with networks of the same structure and losses of the same class.
        device: Where they are trained.
        autocast: The type that products are computed in; None: that of the weights.

    Attributes:
        members: The members in the order in which they lie in the stack.
    """

    def __init__(self, members: Sequence[Member], device: torch.device, autocast: torch.dtype | None = None) -> None:
        by_rule: dict[str, list[Member]] = {}
        for member in members:
            by_rule.setdefault(member.rule, []).append(member)
        self.members = [member for alike in by_rule.values() for member in alike]
        self.device, self.autocast = device, autocast
        self._network = copy.deepcopy(self.members[0].module.network).to(device).train()  # its structure alone is used
        self._loss = self.members[0].module.loss
        self._parts = [self._part(alike) for alike in by_rule.values()]
        buffers = [dict(member.module.network.named_buffers()) for member in self.members]
        self._buffers = {
            name: torch.stack([member_buffers[name] for member_buffers in buffers]).to(device) for name in buffers[0]
        }
        self._numbers = {
            name: torch.tensor(values, device=device, dtype=torch.float64 if self._double else torch.float32)
            for name, values in differing([member.module.loss for member in self.members]).items()
        }

    def _part(self, members: list[Member]) -> _Part:
        parameters = [dict(member.module.network.named_parameters()) for member in members]
        weights = {
            name: torch.stack([member_parameters[name].detach() for member_parameters in parameters])
            .to(self.device)
            .requires_grad_(parameters[0][name].requires_grad)
            for name in parameters[0]
        }
        part = _Part(members, weights)
        part.optimizer, part.schedule = make_optimizer(members[0].module.hparams["optimizer"], list(weights.values()))
        if (first := members[0].optimizer) is not None:
            states = [member.optimizer["state"] for member in members if member.optimizer is not None]
            state = {
                at: {key: value if key in _SHARED else torch.stack([member_state[at][key] for member_state in states])
                     for key, value in of_first.items()}
                for at, of_first in first["state"].items()
            }  # fmt: skip
            part.optimizer.load_state_dict({"state": state, "param_groups": first["param_groups"]})
        if part.schedule is not None and members[0].schedule is not None:
            part.schedule.load_state_dict(members[0].schedule)
        return part

    @property
    def _double(self) -> bool:
        return any(weight.dtype == torch.float64 for weight in self._parts[0].weights.values())

    def step(self, batches: Sequence[tuple[Sequence[int], Bags]]) -> dict[str, Tensor]:
        """One step of every member.

        Args:
            batches: Members by their place in `members`, and their bags, (members, B, ...) each but for `label`, (B,);
                each member comes once.

        Returns:
            The loss and what it names, (M,) each, in the order of `members`; on the device.
        """
        weights = {
            name: torch.cat([part.weights[name] for part in self._parts]) if len(self._parts) > 1 else weight
            for name, weight in self._parts[0].weights.items()
        }
        places: list[int] = []
        values = []
        for at, bags in batches:
            places += at
            values.append(self._judged(weights, at, bags))
        total = torch.stack([batch_values["loss"].sum() for batch_values in values]).sum()
        for part in self._parts:
            part.optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        for part in self._parts:
            part.optimizer.step()
        order = torch.tensor(sorted(range(len(places)), key=places.__getitem__), device=self.device)
        return {name: torch.cat([batch_values[name].detach() for batch_values in values])[order] for name in values[0]}

    def _judged(self, weights: Mapping[str, Tensor], at: Sequence[int], bags: Bags) -> dict[str, Tensor]:
        """The losses of some members on their bags."""
        states: tuple[Mapping[str, Tensor], ...] = (weights, self._buffers, self._numbers)
        if list(at) != list(range(len(self.members))):
            index = torch.tensor(at, device=self.device)
            states = tuple({name: tensor.index_select(0, index) for name, tensor in state.items()} for state in states)

        def judged(weights: State, buffers: State, numbers: State, bags: Bags) -> dict[str, Tensor]:
            loss = copy.copy(self._loss)
            for name, value in numbers.items():
                setattr(loss, name, value)
            return objective(lambda *x: functional_call(self._network, (weights, buffers), x), loss, bags)  # type: ignore[arg-type]

        dims = Bags(*(None if x is None else 0 for x in bags))._replace(label=None)  # type: ignore[arg-type]
        context = (
            torch.autocast(self.device.type, self.autocast) if self.autocast is not None else contextlib.nullcontext()
        )
        with context:
            stacked: Any = vmap(judged, (0, 0, 0, dims), randomness="different")
            values: dict[str, Tensor] = stacked(*states, bags)
        return values

    def end_epoch(self, members: Sequence[int]) -> None:
        """Let the learning rates of some members, by their place, follow the end of their epoch."""
        place = 0
        for part in self._parts:
            if part.schedule is not None and place in members:  # the others of its part are too
                part.schedule.step()
            place += len(part.members)

    def rates(self) -> list[float]:
        """The learning rate of each member."""
        return [float(part.optimizer.param_groups[0]["lr"]) for part in self._parts for _ in part.members]

    def apart(self) -> None:
        """Give each member its own weights, buffers and states back."""
        place = 0
        for part in self._parts:
            state = part.optimizer.state_dict()
            for at, member in enumerate(part.members):
                network = member.module.network
                with torch.no_grad():
                    for name, parameter in network.named_parameters():
                        parameter.copy_(part.weights[name][at])
                    for name, buffer in network.named_buffers():
                        buffer.copy_(self._buffers[name][place])
                member.optimizer = {
                    "state": {index: _own(states, at) for index, states in state["state"].items()},
                    "param_groups": copy.deepcopy(state["param_groups"]),
                }
                member.schedule = None if part.schedule is None else copy.deepcopy(part.schedule.state_dict())
                place += 1


def differing(losses: Sequence[nn.Module]) -> dict[str, list[float]]:
    """The numbers in which losses of one class differ, by their attribute: they may differ within a stack."""
    values_of = {name: [vars(each)[name] for each in losses] for name in numbers(losses[0])}
    return {name: values for name, values in values_of.items() if any(value != values[0] for value in values)}


def numbers(loss: nn.Module) -> dict[str, float]:
    """The attributes of a loss that are numbers, by name."""
    return {name: value for name, value in vars(loss).items() if type(value) in (int, float)}


def _own(states: Mapping[str, Any], at: int) -> State:
    """One member's part of what the optimizer keeps of a weight."""
    return {key: value.cpu().clone() if key in _SHARED else value[at].cpu().clone() for key, value in states.items()}
