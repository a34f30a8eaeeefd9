"""The means over each epoch's bags, and the first step whose loss is not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor


class _Epoch(NamedTuple):
    """The epoch that sums on their way from the device belong to."""

    header: dict[str, float]
    names: list[str]
    bags: int


class EpochMeans:
    """Counts on the device, and looks at the counts a little later.

    Whoever reads a number from a GPU waits until all it was given before is done, and the GPU then waits for the next
    step to be given. So what an epoch came to is sent for when it ends, and read at the next look, when it has long
    arrived. On a CPU, where nothing is under way, each look is read at once.

    Kept here, not in Lightning's metrics, whose checkpoints leave out an epoch in progress.

    Attributes:
        history: Of each epoch that is over and was read: its number, last step and means.
        bad_step: The first step whose loss was NaN or infinite, None as far as has been read.
    """

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.bad_step: int | None = None
        self._names: list[str] = []
        self._sums: Tensor | None = None  # (names,) over the epoch's bags so far
        self._bags = 0
        self._first_bad: Tensor | None = None
        self._sent: _Sent | None = None

    def add(self, step: int, values: Mapping[str, Tensor], bags: int) -> None:
        """Count a step's means, `loss` among them, into the epoch's."""
        total = bags * torch.stack([value.detach().float() for value in values.values()])
        self._names, self._bags = list(values), self._bags + bags
        self._sums = total if self._sums is None else self._sums.to(total) + total
        bad = torch.where(values["loss"].detach().isfinite(), torch.inf, float(step))
        self._first_bad = bad if self._first_bad is None else torch.minimum(self._first_bad, bad)

    def end_epoch(self, epoch: int, step: int, rate: float, held_out: Mapping[str, float] | None = None) -> None:
        """End an epoch, whose entry of `history`, which is logged, is this and the means of what `add` was given.

        Args:
            epoch, step: Its number, and that of its last step.
            rate: Learning rate of that step.
            held_out: Measures of the videos held out.
        """
        names = [f"train/{name}" for name in self._names]
        self._send(
            self._sums, _Epoch({"epoch": epoch, "step": step, **(held_out or {}), "lr": float(rate)}, names, self._bags)
        )
        self._sums, self._bags = None, 0

    def loss(self) -> float | None:
        """Mean loss of the epoch so far, or of the last one that was read where the device would have to be waited for."""
        if self._sums is not None and not self._sums.is_cuda and "loss" in self._names:
            return float(self._sums[self._names.index("loss")]) / self._bags
        return self.history[-1].get("train/loss") if self.history else None

    def look(self) -> None:
        """Read what was sent for before, and send for whether the loss is still finite."""
        self._send(None, None)

    def settle(self) -> None:
        """Read everything up to now; this waits for the device."""
        self._send(None, None)
        self._read()

    def _send(self, sums: Tensor | None, epoch: _Epoch | None) -> None:
        self._read()
        if self._first_bad is not None:
            numbers = self._first_bad.reshape(1)
            self._sent = _Sent(numbers if sums is None else torch.cat([numbers, sums]), epoch)
            if not numbers.is_cuda:
                self._read()

    def _read(self) -> None:
        sent, self._sent = self._sent, None
        if sent is None:
            return
        first, *totals = sent.numbers()
        self.bad_step = None if first == float("inf") else int(first)
        if (epoch := sent.epoch) is not None:
            means = {name: total / epoch.bags for name, total in zip(epoch.names, totals, strict=True)}
            self.history.append({**epoch.header, **means})

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps; this waits for the device."""
        self.settle()
        sums = {} if self._sums is None else dict(zip(self._names, self._sums.cpu().unbind(), strict=True))
        return {"history": self.history, "sums": sums, "bags": self._bags}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up an epoch in progress."""
        self.history, self._bags = list(state["history"]), state["bags"]
        self._names, sums = list(state["sums"]), list(state["sums"].values())
        self._sums = torch.stack(sums) if sums else None


class _Sent:
    """Numbers on their way from a device."""

    def __init__(self, numbers: Tensor, epoch: _Epoch | None) -> None:
        self.epoch = epoch
        self._here = numbers.to("cpu", non_blocking=numbers.is_cuda)  # into pinned memory
        self._copied = torch.cuda.current_stream(numbers.device).record_event() if numbers.is_cuda else None

    def numbers(self) -> list[float]:
        """The numbers; waits until they have arrived."""
        if self._copied is not None:
            self._copied.synchronize()
        values: list[float] = self._here.tolist()
        return values
