"""Which cells of a sweep can be trained together, and why another cannot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ProgressBar
from torch import nn

from highlight_lit.config.build import build
from highlight_lit.config.run_identity import as_plain, identity
from highlight_lit.config.schema import DATA, check
from highlight_lit.config.settle import settle
from highlight_lit.data.corpus import Corpus
from highlight_lit.models.highlight_net import Embedding
from highlight_lit.processes.signals import Signals
from highlight_lit.runs import ledger
from highlight_lit.runs.names import cell_name
from highlight_lit.training.callbacks.last_checkpoint import LastCheckpoint
from highlight_lit.training.callbacks.run_callbacks import make_callbacks
from highlight_lit.training.checkpoint.resume import resumable
from highlight_lit.training.done_before import done_before
from highlight_lit.training.stacked.member_checkpoint import restore
from highlight_lit.training.stacked.stack import ELEMENTWISE, Member, numbers
from highlight_lit.training.train import make_data, make_module
from highlight_lit.training.trainer import make_trainer
from highlight_lit.untrusted.checkpoint_file import LAST_CHECKPOINT, read_checkpoint

Config = dict[str, Any]
# Arguments of the trainer that do not change what a step of training is.
_FREE = (
    "_target_", "max_epochs", "precision", "accelerator", "devices", "num_nodes", "strategy", "gradient_clip_algorithm",
    "limit_val_batches", "limit_test_batches", "val_check_interval", "check_val_every_n_epoch", "log_every_n_steps",
    "benchmark", "num_sanity_val_steps", "enable_progress_bar", "enable_model_summary",
)  # fmt: skip
_NEUTRAL = {"max_steps": -1, "accumulate_grad_batches": 1, "overfit_batches": 0.0, "detect_anomaly": False}
AUTOCAST = {"32-true": None, "64-true": None, "bf16-mixed": torch.bfloat16}  # by `trainer.precision`


@dataclass
class Cell:
    """A run that is to be trained with others.

    Attributes:
        name: What people call it.
        config: Its resolved configuration.
        corpus: Its corpus.
        run_id: Its identity.
    """

    name: str
    config: Config
    corpus: Corpus
    run_id: str

    @property
    def folder(self) -> Path:
        """Folder of the cell's checkpoint and record."""
        return ledger.run_dir(Path(self.config["out"]), self.run_id)

    @property
    def kind(self) -> str:
        """What cells that can be trained together have in common."""
        config, loss = self.config, build(self.config["loss"], "loss")
        # What a loss has beside its numbers must be equal: a switch that one of them sets, say.
        rest = repr({k: v for k, v in vars(loss).items() if k not in numbers(loss)})
        of_loss = [config["loss"]["_target_"], sorted(numbers(loss)), rest]
        widths = {name: self.corpus.streams[name].width for name in config["streams"]}
        trainer = [config["trainer"][key] for key in ("precision", "accelerator")]
        return json.dumps(
            [config["model"], of_loss, widths, config["tau"], config["data"]["pairs"], trainer], sort_keys=True
        )


def cell_of(composed: DictConfig | Mapping[str, Any], words: Sequence[str], corpora: dict[str, Corpus]) -> Cell | None:
    """A cell that is not done yet, None where it is.

    Args:
        composed: As Hydra gives it to a job, or plain.
        words: The job's overrides.
        corpora: Those that are open, by their path.

    Raises:
        Exception: Whatever is wrong with it; its own run will say it in a line.
    """
    if isinstance(composed, DictConfig):
        settle(composed, words)
    if done_before(composed) is not None:
        return None
    check(composed)
    config = as_plain(composed)
    root = config["data"]["root"]
    corpus = corpora[root] = corpora.get(root) or Corpus(Path(root))
    return Cell(cell_name(composed, words), config, corpus, identity(config, corpus.fingerprint))


def why_alone(config: Mapping[str, Any]) -> str | None:
    """What keeps a cell from being trained with others; None where nothing is known to."""
    trainer, optimizer = config["trainer"], config["optimizer"]
    schedule = (optimizer["schedule"] or {}).get("_target_", "torch.optim.lr_scheduler.StepLR")
    if config["teacher"]["method"] is not None:
        return f"teacher.method={config['teacher']['method']}"
    for key, value in trainer.items():
        if key not in _FREE and value is not None and value != _NEUTRAL.get(key):
            return f"trainer.{key}={value}"
    if trainer["devices"] != 1 or trainer.get("num_nodes") not in (1, None):
        return "trainer.devices is not 1"
    if trainer["precision"] not in AUTOCAST:
        return f"trainer.precision={trainer['precision']}"
    if trainer["max_epochs"] in (None, -1):
        return "trainer.max_epochs is not set"
    if config["data"]["_target_"] != DATA:
        return f"data._target_={config['data']['_target_']}"
    if config["data"]["validation"]:
        return "data.validation"
    if config["data"]["store"] == "stream":
        return "data.store=stream"
    if config["compile"]:
        return "compile=true"
    if optimizer["algorithm"]["_target_"] not in [f"torch.optim.{name}" for name in ELEMENTWISE]:
        return f"optimizer.algorithm._target_={optimizer['algorithm']['_target_']}"
    if not schedule.startswith("torch.optim.lr_scheduler.") or schedule.endswith("ReduceLROnPlateau"):
        return f"optimizer.schedule._target_={schedule}"
    loss = build(config["loss"], "loss")
    if getattr(loss, "reads_target", False) or loss.state_dict():
        return f"loss._target_={config['loss']['_target_']}"
    for each in make_callbacks(config, Path(config["out"]), Signals()):
        if not isinstance(each, LastCheckpoint | ProgressBar):
            return f"callbacks: {type(each).__name__}"
    return None


class Trainee(Member):
    """A cell in training: its network, data and progress.

    Args:
        cell: The cell, whose lock is held.

    Attributes:
        done: Steps that it has taken, over all the processes it has had.
        total: Steps that it is to take.
        seconds: Of its training.

    Raises:
        InputError: Its data or network cannot be used; its own run will say the same.
    """

    def __init__(self, cell: Cell) -> None:
        config = cell.config
        self.cell, self.data = cell, make_data(config, cell.corpus)
        module = make_module(config, self.data.corpus)
        super().__init__(module, len(self.data.plan))
        self.total = config["trainer"]["max_epochs"] * self.batches
        self.done, self.seconds = 0, 0.0
        checkpoint = resumable(cell.folder, module, config["trainer"]["precision"])
        if checkpoint is not None:
            if config["trainer"]["precision"] == "64-true":
                module.double()  # before, or the checkpoint's last digits would go
            restore(self, read_checkpoint(checkpoint))

    @property
    def path(self) -> Path:
        """Path of the cell's `last.ckpt`."""
        return self.cell.folder / LAST_CHECKPOINT


def device_of(cell: Cell) -> torch.device:
    """Device that a cell is trained on."""
    from highlight_lit.training.distributed import cluster

    device: torch.device = make_trainer(cell.config, cluster.single_process(), cell.folder, []).strategy.root_device
    return device


def store_key(trainee: Trainee) -> tuple[Any, ...]:
    """What cells whose rows can lie in one store have in common."""
    given, data = trainee.cell.config["data"], trainee.data
    return (given["root"], data.streams, given["audio"], data.plan.seed if given["audio"] == "shuffled" else None)


def changes_buffers(network: nn.Module) -> bool:
    """Whether a network may have buffers that training changes, as BatchNorm's: all but the input standardisation."""
    fixed = sum(2 for module in network.modules() if isinstance(module, Embedding))
    return len(list(network.buffers())) > fixed
