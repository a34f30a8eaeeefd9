"""A run goes on from a checkpoint of its own form alone; anything else is one line, which says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from highlight_lit.errors import InputError


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["state_dict"]["network.head.bias"].fill_(torch.nan), "network.head.bias: NaN or infinite"),
        (lambda c: c.update(loops={"fit_loop": {}}), "fit_loop.epoch_progress.current.ready: expected a whole number"),
        (lambda c: c.update(loops=3), "fit_loop"),
        (lambda c: c.update(loops=[{}]), "fit_loop"),
        (lambda c: c["lr_schedulers"][0].update(step_size=0), "lr_schedulers: its next step fails"),
        (lambda c: c["lr_schedulers"][0].update(step_size=0.0), "lr_schedulers: its next step fails"),
        (lambda c: c.update({"pytorch-lightning_version": "${oc.env:HOME}"}), "cannot be restored"),
        (lambda c: c.pop("lr_schedulers"), "written by another version"),
        (lambda c: c.update(global_step=-1), "global_step: expected a whole number"),
        (lambda c: c["lr_schedulers"][0].update(step=3), "lr_schedulers: expected the keys"),
        (lambda c: c["optimizer_states"][0]["param_groups"][0].update(lr="x"), "param_groups.lr: expected"),
        (lambda c: c["optimizer_states"][0]["state"][1].update(momentum_buffer=3), "momentum_buffer: expected"),
        (lambda c: c.update(callbacks=3), "callbacks: expected the state of each callback"),
        (lambda c: c["callbacks"].update(LastCheckpoint=None), "LastCheckpoint: expected a mapping"),
        (lambda c: c["callbacks"]["LastCheckpoint"].update(seconds="x"), "seconds: expected a whole number or a number"),
        (lambda c: c["callbacks"]["LastCheckpoint"].update(seconds=float("inf")), r"LastCheckpoint\.seconds: inf"),
        (lambda c: c["callbacks"]["LastCheckpoint"].update(seconds=-1.0), "seconds: expected at least 0"),
        (lambda c: c["callbacks"]["LastCheckpoint"].update(stacked=10**30), "stacked: expected a whole number"),
        (lambda c: c["progress"].update(history=[]), "history: expected an entry for each"),
        (lambda c: c["progress"]["history"][0].update(step="now"), "history: expected numbers by name"),
    ],
)  # fmt: skip
def test_a_run_does_not_go_on_from_something_else(
    quick_train: Callable[..., int], tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    assert quick_train("optimizer=paper") == 0
    [path] = (tmp_path / "runs").glob("*/last.ckpt")
    path.with_name("record.json").unlink()
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)
    with pytest.raises(InputError, match=f"last.ckpt: .*{says}.*; remove it to train from the start") as refused:
        quick_train("optimizer=paper")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("words", [("seed=7",), ("tau=5",), ("data.pairs=3",)])
def test_a_run_does_not_go_on_from_another_runs_checkpoint(
    quick_train: Callable[..., int], tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert quick_train("optimizer=paper", *words) == 0
    [other] = (tmp_path / "runs").glob("*/last.ckpt")
    assert quick_train("optimizer=paper") == 0
    [own] = set((tmp_path / "runs").glob("*/last.ckpt")) - {other}
    own.with_name("record.json").unlink()
    own.write_bytes(other.read_bytes())
    says = (
        f"last.ckpt: of the run {other.parent.name}, expected of {own.parent.name}; remove it to train from the start"
    )
    with pytest.raises(InputError, match=says):
        quick_train("optimizer=paper")
