"""The training of cells that lie in one stack: bags, steps, checkpoints."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from highlight_lit.data.batch import Bags
from highlight_lit.data.sampling import Draw
from highlight_lit.data.stores.resident import ResidentStore
from highlight_lit.errors import Interrupted
from highlight_lit.processes.signals import Signals
from highlight_lit.training.module import CHECK_EVERY
from highlight_lit.training.stacked.cells import AUTOCAST, Trainee, store_key
from highlight_lit.training.stacked.member_checkpoint import save
from highlight_lit.training.stacked.stack import Stack
from highlight_lit.training.step.objective import seed_step


class Group:
    """Trains members that have taken as many steps as each other, each to its own end.

    Args:
        trainees: The members.
        device: Where they are trained.
        signals: Where a signal to stop is noted.

    Attributes:
        diverged: Members whose loss is NaN or infinite; they have no checkpoint of it.

    Raises:
        InputError: A shard is damaged, or a value is NaN or infinite.
    """

    def __init__(self, trainees: Sequence[Trainee], device: torch.device, signals: Signals) -> None:
        self.device, self.signals, self.size = device, signals, len(trainees)
        self.diverged: list[Trainee] = []
        config = trainees[0].cell.config
        self._autocast, self._tau = AUTOCAST[config["trainer"]["precision"]], config["tau"]
        self._steps, self._minutes = config["checkpoint"]["steps"], config["checkpoint"]["minutes"]
        self._done = trainees[0].done
        self._draws = {id(each): each.data.plan.draws_from(*divmod(each.done, each.batches)) for each in trainees}
        self._stores: dict[Any, ResidentStore] = {}
        by_store: dict[Any, list[Trainee]] = {}
        for each in trainees:
            by_store.setdefault(store_key(each), []).append(each)
        for key, sharing in by_store.items():
            data = sharing[0].data
            videos = np.unique(
                np.concatenate([kind for each in sharing for kind in (each.data.positive, each.data.negative)])
            )
            readers = sharing[0].cell.config["data"]["readers"]
            self._stores[key] = ResidentStore(data.corpus, videos, data.streams, readers).to(device)
        _fit_statistics(trainees)
        if config["trainer"]["precision"] == "64-true":
            for each in trainees:
                each.module.double()
        self._stack: Stack | None = Stack(trainees, device, self._autocast)

    def train(self) -> None:
        """Take all steps of all members, and leave each member's checkpoint.

        Raises:
            Interrupted: By a signal; every member's checkpoint is written.
        """
        looked = saved = time.monotonic()
        values: list[dict[str, Tensor]] = []
        rates: list[list[float]] = []
        while self._stack is not None:
            seed_step([self._done, *(each.module.seed for each in self._members)], self.device)
            rates.append(self._stack.rates())
            values.append(self._stack.step(self._batches()))
            self._done += 1
            at_end = [place for place, each in enumerate(self._members) if self._done % each.batches == 0]
            self._stack.end_epoch(at_end)
            now = time.monotonic()
            stop = self.signals.received is not None
            by_time = self._minutes is not None and now - saved >= 60 * self._minutes
            due = stop or by_time or (self._steps is not None and self._done % self._steps == 0)
            ended = any(each.total == self._done for each in self._members)
            if due or ended or self._done % CHECK_EVERY == 0:
                self._count(values, rates, (now - looked) / len(self._members))
                looked, values, rates = now, [], []
                self._leave(everyone=due)
                saved = time.monotonic() if due else saved
            if stop:
                raise Interrupted(self.signals.received or signal.SIGTERM)

    @property
    def _members(self) -> list[Trainee]:
        return self._stack.members if self._stack is not None else []  # type: ignore[return-value]

    def _batches(self) -> list[tuple[list[int], Bags]]:
        """The bags of the next step, by how many they are; those of members with as many lie side by side."""
        draws = [next(self._draws[id(each)]) for each in self._members]
        kinds: dict[tuple[int, Any], list[int]] = {}
        for place, (draw, each) in enumerate(zip(draws, self._members, strict=True)):
            kinds.setdefault((len(draw.video), store_key(each)), []).append(place)
        by_size: dict[int, tuple[list[int], list[Bags]]] = {}
        for (bags, key), places in kinds.items():
            own = [draws[place] for place in places]
            joined = Draw(np.concatenate([each.video for each in own]), np.concatenate([each.start for each in own]), 0)
            gathered = self._stores[key].bags(joined, self._tau)
            at, parts = by_size.setdefault(bags, ([], []))
            at += places
            parts.append(Bags._make(None if x is None else x.view(len(places), bags, *x.shape[1:]) for x in gathered))
        return [(at, _side_by_side(parts, bags)) for bags, (at, parts) in by_size.items()]

    def _count(self, values: Sequence[dict[str, Tensor]], rates: Sequence[Sequence[float]], seconds: float) -> None:
        """Count what the steps since the last look have come to."""
        names = list(values[0])
        numbers = torch.stack([torch.stack([step[name].to(step["loss"]) for name in names]) for step in values]).cpu()
        first = self._done - len(values)
        for place, each in enumerate(self._members):
            for at, row in enumerate(numbers[:, :, place]):
                step = first + at
                progress = each.module.progress
                progress.add(step, dict(zip(names, row, strict=True)), 2 * each.data.plan.pairs_of(step % each.batches))
                if (step + 1) % each.batches == 0:
                    progress.end_epoch(step // each.batches, step, rates[at][place])
            each.module.progress.settle()
            each.done = self._done
            each.seconds += seconds

    def _leave(self, everyone: bool) -> None:
        """Write the checkpoints that are due, and take out of the stack who is at the end or has diverged."""
        diverged = [each for each in self._members if each.module.progress.bad_step is not None]
        ended = [each for each in self._members if each.done == each.total and each not in diverged]
        if not (everyone or diverged or ended):
            return
        assert self._stack is not None
        self._stack.apart()
        for each in self._members:
            if each not in diverged and (everyone or each in ended):
                save(each, self.size)
        self.diverged += diverged
        left = [each for each in self._members if each not in diverged and each not in ended]
        if len(left) < len(self._members):
            self._stack = Stack(left, self.device, self._autocast) if left else None


def _side_by_side(parts: Sequence[Bags], bags: int) -> Bags:
    """Bags of some members and those of others, each (members, bags, ...), and the label of all."""
    joined = [
        None if fields[0] is None else torch.cat(fields) if len(fields) > 1 else fields[0]
        for fields in zip(*parts, strict=True)
    ]
    label = (torch.arange(bags, device=parts[0].mask.device) < bags // 2).float()
    return Bags._make(joined)._replace(label=label)


def _fit_statistics(trainees: Sequence[Trainee]) -> None:
    """Set the input standardisation of members that begin; those of one training set share theirs."""
    known: dict[Any, Any] = {}
    for each in trainees:
        if each.done:
            continue
        data = each.data
        which = (store_key(each), data.scale, data.positive.tobytes(), data.negative.tobytes())
        if which not in known:
            known[which] = data.statistics()
        each.module.fit_statistics(known[which])
