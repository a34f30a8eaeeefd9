"""The LightningModule: network, loss, optimizer, then the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics.classification import BinaryAccuracy

from highlight_lit.config import build
from highlight_lit.data.batches import Bags
from highlight_lit.errors import InputError
from highlight_lit.models.highlight_net import Embedding
from highlight_lit.training.measures import ClipLogits

CHECK_EVERY = 50  # steps between two looks at whether the loss is still finite: a look waits for the device


class HighlightModule(pl.LightningModule):
    """Trains a network on pairs of positive and negative bags and scores whole videos with it.

    Args:
        model: Plain node of the network; called with `Dv` and `Da`.
        loss: Plain node of the loss.
        optimizer: Plain node with `algorithm` and `schedule` (or null).
        streams: By name, `width`, `extractor` and `version` of the features it is trained on.
        topic: What it detects the highlights of.
    """

    def __init__(
        self,
        model: Mapping[str, Any],
        loss: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        streams: Mapping[str, Mapping[str, Any]],
        topic: str,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network: nn.Module = self.configure_network()
        self.loss: nn.Module = build(loss, "loss")
        self.accuracy = BinaryAccuracy()
        self.clip_logits = ClipLogits()
        self._first_bad = torch.tensor(torch.inf)

    def configure_network(self) -> nn.Module:
        """The network, for the widths of the streams."""
        widths = {name: stream["width"] for name, stream in self.hparams["streams"].items()}
        network: nn.Module = build(self.hparams["model"], "model", Dv=widths.get("visual"), Da=widths.get("audio"))
        return network

    def fit_statistics(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Set the input standardisation from mean and standard deviation of each stream, (D,) each."""
        embeddings = getattr(self.network, "embeddings", {})
        for name, (mean, std) in statistics.items():
            if name in embeddings and isinstance(embeddings[name], Embedding):
                embeddings[name].fit_statistics(mean, std)

    def configure_optimizers(self) -> Any:
        """The optimizer over all parameters, and its schedule in epochs."""
        nodes = self.hparams["optimizer"]
        make = build({**nodes["algorithm"], "_partial_": True}, "optimizer.algorithm")
        try:
            optimizer = make(self.network.parameters())
        except (TypeError, ValueError) as error:
            raise InputError(f"optimizer.algorithm: {nodes['algorithm']['_target_']}: {error}") from error
        if nodes["schedule"] is None:
            return optimizer
        schedule = build({**nodes["schedule"], "_partial_": True}, "optimizer.schedule")(optimizer)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def forward(self, bags: Bags) -> Any:
        """What the network says of a batch of bags."""
        return self.network(bags.visual, bags.audio, bags.mask, bags.heard)

    def training_step(self, bags: Bags, batch: int) -> Tensor:
        """Loss of a batch of pairs."""
        detection = self(bags)
        parts: dict[str, Tensor] = self.loss(detection, bags.label, bags.mask)
        self.accuracy(detection.z_hat.detach(), bags.label.int())
        logged = {f"train/{name}": value.detach() for name, value in parts.items()}
        self.log_dict(logged, on_step=False, on_epoch=True, batch_size=len(bags.label))
        self.log("train/bag_accuracy", self.accuracy, on_step=False, on_epoch=True, batch_size=len(bags.label))
        self._watch(parts["loss"].detach())
        return parts["loss"]

    def _watch(self, loss: Tensor) -> None:
        """Remember the first batch whose loss is not finite; look at it seldom."""
        step = torch.where(loss.isfinite(), torch.inf, float(self.global_step))
        self._first_bad = torch.minimum(self._first_bad.to(step), step)
        if self.trainer.is_last_batch or (self.global_step + 1) % CHECK_EVERY == 0:
            self._stop_if_bad()

    def _stop_if_bad(self) -> None:
        if (first := float(self._first_bad)) != torch.inf:
            batches = int(self.trainer.num_training_batches)
            epoch, batch = divmod(int(first), batches)
            raise InputError(
                f"topic={self.hparams['topic']}: the loss is NaN or infinite at epoch {epoch}, batch {batch} of {batches}; "
                "expected finite features and a smaller optimizer.algorithm.lr"
            )

    def test_step(self, batch: tuple[int, Bags], index: int) -> None:
        """Keep the clip logits of a whole video."""
        video, bags = batch
        self.clip_logits.update(video, self(bags).z[0])
