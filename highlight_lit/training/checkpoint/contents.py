"""What `last.ckpt` holds: the one list of its entries, of a run alone and of a cell that was trained in a stack.

Lightning gathers those of a run alone, `stacked.member_checkpoint` those of a cell in a stack. Ours are `progress`, which
`HighlightModule` keeps, `run` and `time_spent`, which `LastCheckpoint` keeps; `resume` checks them all before a run goes on.
A new entry is given and taken up by the module or a callback (`on_save_checkpoint`, `state_dict`) and by
`member_checkpoint`; it is NotRequired, as checkpoints that were written before lack it.
No state of a random generator is kept: each step is seeded by the run's seed and its own number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

LastContents = TypedDict(
    "LastContents",
    {
        # Number of the epoch under way, from 0, and of the steps taken.
        "epoch": int,
        "global_step": int,
        "pytorch-lightning_version": NotRequired[str],
        # Weights and buffers by name; the means and deviations of the features are among them.
        "state_dict": dict[str, Any],
        # Lightning's counts of epochs, batches and steps: where it goes on.
        "loops": dict[str, Any],
        # What each callback keeps, by its class; ours is `time_spent`, under LastCheckpoint.
        "callbacks": NotRequired[dict[str, Any]],
        # One each: an optimizer's settings and moments; a schedule, none where the learning rate is constant.
        "optimizer_states": list[Any],
        "lr_schedulers": list[Any],
        # What `HighlightModule` was made of, from which a `Detector` is built.
        "hparams_name": NotRequired[str],
        "hyper_parameters": NotRequired[dict[str, Any]],
        # Means of the epochs that are over and sums of the one under way: `EpochMeans.state_dict`.
        "progress": dict[str, Any],
        # Identity of the run, which is the name of its folder: another run's checkpoint fits too, with other numbers.
        "run": NotRequired[str],
    },
)
NEEDED = LastContents.__required_keys__  # without which no run goes on


def time_spent(seconds: float, stacked: int) -> dict[str, Any]:
    """The entry `callbacks.LastCheckpoint`: seconds of training, and how many cells were trained at once if several."""
    return {"seconds": seconds, **({"stacked": stacked} if stacked > 1 else {})}


def read_time_spent(entry: Mapping[str, Any]) -> tuple[float, int]:
    """Seconds and cells of `time_spent`."""
    return float(entry["seconds"]), int(entry.get("stacked", 1))
