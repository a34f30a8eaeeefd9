"""The LightningModule: network, loss, optimizer, and what is logged of an epoch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC

from highlight_lit.config.build import build
from highlight_lit.config.defaults import default_nodes
from highlight_lit.data.batch import Bags
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.errors import InputError
from highlight_lit.inference.whole_video import whole_video_logits
from highlight_lit.models.highlight_net import Embedding
from highlight_lit.training.distributed.clip_logits import ClipLogits
from highlight_lit.training.distributed.whole_batch import whole_batch
from highlight_lit.training.epoch_means import EpochMeans
from highlight_lit.training.optimizer import make_optimizer
from highlight_lit.training.step.large_batch import detect
from highlight_lit.training.step.objective import Objective, objective, seed_step, step_values

_EPOCH: dict[str, Any] = {"on_step": False, "on_epoch": True, "logger": False}  # logged with the epoch's entry
CHECK_EVERY = 50  # steps between two looks at whether the loss is still finite


class HighlightModule(pl.LightningModule):
    """Trains a network on pairs of positive and negative bags and scores whole videos with it.

    Args:
        model: Plain node of the network; called with `Dv` and `Da`. None: that of conf/, as for loss and optimizer.
        loss: Plain node of the loss.
        optimizer: Plain node with `algorithm` and `schedule` (or null).
        streams: By name, `width`, `extractor` and `version` of the features it is trained on
            (`HighlightDataModule.features`).
        topic: What it detects the highlights of.
        seed: Of the steps.
        fold: The fold that it is trained without, K/n; None: the corpus' own lists.
        corpus: Fingerprint of the corpus that the fold is of; None without one.

    Raises:
        InputError: A node whose class does not exist or does not take an argument; no streams.
    """

    def __init__(
        self,
        model: Mapping[str, Any] | None = None,
        loss: Mapping[str, Any] | None = None,
        optimizer: Mapping[str, Any] | None = None,
        streams: Mapping[str, Mapping[str, Any]] | None = None,
        topic: str = "",
        seed: int = 0,
        fold: str | None = None,
        corpus: str | None = None,
    ) -> None:
        super().__init__()
        if not streams:
            raise InputError(
                "streams: missing; expected those of the data: HighlightModule(streams=data.features, ...)"
            )
        if model is None or loss is None or optimizer is None:
            nodes = default_nodes(streams)
            model, loss, optimizer = model or nodes["model"], loss or nodes["loss"], optimizer or nodes["optimizer"]
        self.save_hyperparameters(ignore="seed")
        self.seed = seed
        self.network: nn.Module = self.configure_network()
        self.loss: nn.Module = build(loss, "loss")
        self.clip_logits = ClipLogits()
        self.objective: Objective = objective  # of this rank's bags alone; may be replaced by a compiled one
        self.progress = EpochMeans()
        self.validation = nn.ModuleDict({"bag_accuracy": BinaryAccuracy(), "bag_auroc": BinaryAUROC()})
        self._held_out: dict[str, float] = {}
        self._logged = 0  # epochs
        self._standardised = False
        self._rate = 0.0  # learning rate of the last step

    def configure_network(self) -> nn.Module:
        """The network, for the widths of the streams."""
        widths = {name: stream["width"] for name, stream in self.hparams["streams"].items()}
        network: nn.Module = build(self.hparams["model"], "model", Dv=widths.get("visual"), Da=widths.get("audio"))
        return network

    def fit_statistics(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Set the input standardisation from mean and standard deviation of each stream, (D,) each."""
        self._standardised = True
        embeddings = getattr(self.network, "embeddings", {})
        for name, (mean, std) in statistics.items():
            if name in embeddings and isinstance(embeddings[name], Embedding):
                embeddings[name].fit_statistics(mean, std)

    def setup(self, stage: str) -> None:
        """Set the input standardisation from the data, where neither the caller nor a checkpoint does; keep its fold in mind."""
        data = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and isinstance(data, HighlightData) and data.fold is not None:
            self.hparams.update({"fold": data.fold, "corpus": data.corpus.fingerprint})
        fresh = stage == "fit" and self.trainer.ckpt_path is None and self.trainer.is_global_zero
        if fresh and not self._standardised and isinstance(data, HighlightData):
            self.fit_statistics(data.statistics())

    def configure_optimizers(self) -> Any:
        """The optimizer over all parameters, and its schedule in epochs."""
        optimizer, schedule = make_optimizer(self.hparams["optimizer"], self.network.parameters())
        return optimizer if schedule is None else {"optimizer": optimizer, "lr_scheduler": schedule}

    def forward(self, bags: Bags) -> Any:
        """What the network says of a batch of bags."""
        return self.network(bags.visual, bags.audio, bags.mask, bags.audio_mask)

    def on_train_batch_start(self, batch: Bags, index: int) -> None:
        """Seed what this step draws (dropout) by its number and rank, so that a resumed step equals the unbroken one."""
        self._rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        seed_step([self.seed, self._batch, *([self.global_rank] if self.global_rank else [])], self.device)

    @property
    def _batch(self) -> int:
        """Number of the batch since training began, over all the processes the run has had."""
        return self.trainer.fit_loop.total_batch_idx

    def training_step(self, bags: Bags, batch: int) -> Tensor:
        """Loss of a batch of pairs: with several ranks that of the whole batch, on each of them."""
        size = len(bags.label)
        if self.trainer.world_size > 1:
            pairs = self.trainer.datamodule.plan.pairs_of(batch)  # type: ignore[attr-defined]
            size = 2 * pairs
            detection = detect(self, bags)
            values = step_values(self.loss, *whole_batch(self.all_gather, pairs, detection, bags.label, bags.mask))
        elif self.objective is not objective:
            values = self.objective(self.network, self.loss, bags)
        else:
            values = step_values(self.loss, detect(self, bags), bags.label, bags.mask, bags.target)
        self.progress.add(self._batch, values, size)
        if (self._batch + 1) % CHECK_EVERY == 0:
            self.progress.look()
            self._stop_if_bad()
        return values["loss"]

    def validation_step(self, bags: Bags, batch: int) -> None:
        """Measures of bags of videos that were held out of training, told apart by tags and durations alone."""
        detection = self(bags)
        self.log("val/loss", self.loss(detection, bags.label, bags.mask)["loss"], batch_size=len(bags.label), **_EPOCH)
        for name, metric in self.validation.items():
            assert isinstance(metric, Metric)
            metric(detection.z_hat, bags.label.int())
            self.log(f"val/{name}", metric, **_EPOCH)

    def on_validation_end(self) -> None:
        """Keep the measures of the videos held out for the epoch's log entry."""
        if self.trainer.sanity_checking:
            return
        measures = self.trainer.callback_metrics
        self._held_out = {name: float(value) for name, value in measures.items() if name.startswith("val/")}
        if not math.isfinite(self._held_out.get("val/loss", 0.0)):
            raise InputError(
                f"topic={self.hparams['topic']}: the loss on the videos held out (data.validation) is NaN or infinite at "
                f"epoch {self.current_epoch}; expected a smaller optimizer.algorithm.lr"
            )

    def on_train_epoch_end(self) -> None:
        """Log the means of the epochs that are over; on a GPU each an epoch late, so that no step waits for them."""
        self.progress.end_epoch(self.current_epoch, self.global_step - 1, self._rate, self._held_out)
        self._held_out = {}
        if any((getattr(each, "monitor", None) or "").startswith("train/") for each in self.trainer.callbacks):  # type: ignore[attr-defined]
            self.progress.settle()
            self.log_dict(
                {name: value for name, value in self.progress.history[-1].items() if "/" in name}, logger=False
            )
        self._log()

    def on_train_end(self) -> None:
        """Log the epochs that are not logged yet."""
        self.progress.settle()
        self._log()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the measures in progress; weights that are not finite are not kept."""
        checkpoint["progress"] = self.progress.state_dict()
        self._log()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the measures in progress."""
        self.progress.load_state_dict(checkpoint["progress"])
        self._logged = len(self.progress.history)

    def _log(self) -> None:
        self._stop_if_bad()
        for epoch in self.progress.history[self._logged :]:
            log_epoch(self.trainer.loggers, epoch)
        self._logged = len(self.progress.history)

    def _stop_if_bad(self) -> None:
        if self.progress.bad_step is not None:
            batches = int(self.trainer.num_training_batches)
            epoch, batch = divmod(self.progress.bad_step, batches)
            raise InputError(
                f"topic={self.hparams['topic']}: the loss is NaN or infinite at epoch {epoch}, batch {batch} of {batches}; "
                "expected finite features and a smaller optimizer.algorithm.lr"
            )

    def test_step(self, batch: tuple[int, Bags], index: int) -> None:
        """Keep the clip logits of a whole video."""
        video, bags = batch
        self.clip_logits.update(video, whole_video_logits(self.network, bags))


def log_epoch(loggers: Iterable[Logger], epoch: Mapping[str, float]) -> None:
    """Log an entry of a module's `history`."""
    for logger in loggers:
        logger.log_metrics({name: value for name, value in epoch.items() if name != "step"}, step=int(epoch["step"]))
