"""The progress bar on a terminal; it leaves no line behind, however a run ends."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from highlight_lit.training.epoch_means import EpochMeans


class ProgressBar(TQDMProgressBar):
    """Lightning's progress bar, which leaves nothing on the screen; disabled where standard error is no terminal."""

    def __init__(self) -> None:
        super().__init__(leave=False)
        if not sys.stderr.isatty():
            self.disable()

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """The loss beside what else is shown: of this epoch so far on a CPU, on a GPU of the one before."""
        shown = {name: value for name, value in super().get_metrics(trainer, pl_module).items() if name != "v_num"}
        progress = getattr(pl_module, "progress", None)
        loss = progress.loss() if isinstance(progress, EpochMeans) else None
        return shown if loss is None else {"loss": f"{loss:.4f}", **shown}

    def init_test_tqdm(self) -> Tqdm:
        """A bar of the videos that are scored."""
        bar = super().init_test_tqdm()
        bar.leave = False
        return bar

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Take the bars away, before a line says why."""
        for bar in (self._train_progress_bar, self._val_progress_bar, self._test_progress_bar):
            if bar is not None:
                with contextlib.suppress(Exception):
                    bar.close()
