"""A member's `last.ckpt`: what a cell alone would have written after as many steps, and the way back.

Checkpoints are Lightning's. Its loops are asked for their state, and their counts are set as its own training sets them
(a test compares the two at every step): so a cell can go on, or end, alone or in a stack, whichever it was before.
"""

from __future__ import annotations

import copy
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytorch_lightning as pl

from highlight_lit.training.checkpoint.atomic_io import AtomicCheckpointIO
from highlight_lit.training.checkpoint.contents import LastContents, read_time_spent, time_spent
from highlight_lit.training.stacked.stack import State

if TYPE_CHECKING:
    from highlight_lit.training.stacked.cells import Trainee


def restore(trainee: Trainee, checkpoint: State) -> None:
    """Take up a training where a checkpoint, which is known to fit, has left it."""
    module = trainee.module
    module.load_state_dict(checkpoint["state_dict"])
    module.on_load_checkpoint(checkpoint)
    trainee.done = checkpoint["global_step"]
    trainee.optimizer = checkpoint["optimizer_states"][0]
    trainee.schedule = next(iter(checkpoint["lr_schedulers"]), None)
    spent = checkpoint.get("callbacks", {}).get("LastCheckpoint")
    trainee.seconds = read_time_spent(spent)[0] if spent else 0.0


def save(trainee: Trainee, members: int) -> None:
    """Write a member's checkpoint; its weights and states are its own again (`Stack.apart`).

    Args:
        trainee: The member.
        members: How many were trained at once, for the record.
    """
    module, done, batches = trainee.module, trainee.done, trainee.batches
    over = done == trainee.total
    contents: LastContents = {
        "epoch": (done - (0 if over else 1)) // batches,
        "global_step": done,
        "pytorch-lightning_version": version("pytorch-lightning"),
        "state_dict": module.state_dict(),
        "loops": loops(done, batches, over, trainee.schedule is not None),
        "callbacks": {"LastCheckpoint": time_spent(trainee.seconds, members)},
        "optimizer_states": [trainee.optimizer],
        "lr_schedulers": [] if trainee.schedule is None else [trainee.schedule],
        "hparams_name": "kwargs",
        "hyper_parameters": dict(module.hparams),
        "progress": module.progress.state_dict(),
        "run": trainee.path.parent.name,
    }
    AtomicCheckpointIO().save_checkpoint(dict(contents), Path(trainee.path))


def loops(done: int, batches: int, over: bool, schedule: bool) -> State:
    """The state of Lightning's loops after some steps.

    Args:
        done: Steps, at least 1.
        batches: Of an epoch.
        over: Whether that is the end of training.
        schedule: Whether the learning rate follows epochs.
    """
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, barebones=True)
    fit = copy.deepcopy(trainer.fit_loop.state_dict())
    epochs, batch = divmod(done, batches)
    ended = batch == 0  # written at the end of an epoch; else at the end of a batch, before Lightning has counted it
    began, current = epochs + (not ended), batch or batches
    late = 0 if ended else 1
    fit["state_dict"] = {"combined_loader": [{"epoch": began - 1, "batch": current}]}
    fit["epoch_loop.state_dict"] = {"_batches_that_stepped": done - late}
    fit["epoch_loop.batch_progress"] |= {
        "total": {"ready": done, "completed": done - late, "started": done, "processed": done},
        "current": {"ready": current, "completed": current - late, "started": current, "processed": current},
        "is_last_batch": ended,
    }
    steps = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    for name in ("step", "zero_grad"):
        for count in steps[name]["total"]:
            steps[name]["total"][count], steps[name]["current"][count] = done, current
    if schedule:
        rates = fit["epoch_loop.scheduler_progress"]
        rates["total"] = dict.fromkeys(rates["total"], epochs)
        rates["current"] = dict.fromkeys(rates["current"], int(ended))
    count = {"ready": began, "completed": epochs - int(ended and not over), "started": began, "processed": epochs}
    fit["epoch_progress"] = {"total": dict(count), "current": dict(count)}
    others = ("validate_loop", "test_loop", "predict_loop")
    return {"fit_loop": fit, **{name: getattr(trainer, name).state_dict() for name in others}}
