"""What an epoch comes to, and the first step whose loss is no number."""

from __future__ import annotations

import math

import pytest
import torch

from highlight_lit.training.epoch_means import EpochMeans


def step(progress: EpochMeans, number: int, loss: float, bags: int) -> None:
    progress.add(number, {"loss": torch.tensor(loss, requires_grad=True), "right": torch.tensor(0.5)}, bags)


def test_an_epoch_is_the_mean_over_its_bags() -> None:
    progress = EpochMeans()
    step(progress, 0, 1.0, 6)
    step(progress, 1, 4.0, 3)
    progress.end_epoch(0, 1, 0.2)
    step(progress, 2, 7.0, 6)
    progress.end_epoch(1, 2, 0.1)
    assert progress.history == [
        {"epoch": 0, "step": 1, "lr": 0.2, "train/loss": 2.0, "train/right": 0.5},
        {"epoch": 1, "step": 2, "lr": 0.1, "train/loss": 7.0, "train/right": 0.5},
    ]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_no_number_is_remembered(bad: float) -> None:
    progress = EpochMeans()
    for number, loss in enumerate([1.0, bad, 2.0, bad]):
        step(progress, number, loss, 2)
        progress.look()
        assert progress.bad_step == (1 if number else None)


def test_an_epoch_in_progress_goes_on_from_its_state() -> None:
    unbroken, first, second = EpochMeans(), EpochMeans(), EpochMeans()
    for number in range(4):
        step(unbroken, number, 0.1 * number, 1 + number)
        step(first if number < 2 else second, number, 0.1 * number, 1 + number)
        if number == 1:
            second.load_state_dict(first.state_dict())
    for progress in (unbroken, second):
        progress.end_epoch(0, 3, 0.1)
    assert second.history == unbroken.history
