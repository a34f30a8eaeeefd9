"""The results of a training: its losses and times, and the scores of the videos to evaluate on, judged by their labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.evaluation.judge import judge, write_judgement
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.evaluation.scores_csv import write_scores
from highlight_lit.training.callbacks.last_checkpoint import LastCheckpoint
from highlight_lit.training.callbacks.run_callbacks import best_checkpoint
from highlight_lit.training.module import HighlightModule
from highlight_lit.untrusted.checkpoint_file import read_checkpoint


def outcome_of(trainer: pl.Trainer, module: HighlightModule, last: LastCheckpoint) -> dict[str, Any]:
    """Seconds, epochs, steps and losses of a training. Loads the weights of the best epoch, if one was kept, into the module."""
    history = module.progress.history
    outcome = {
        "seconds": last.seconds,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
        "losses": {name: value for name, value in history[-1].items() if "/" in name} if history else {},
    }
    if last.stacked > 1:
        outcome["stacked"] = last.stacked  # with others at once: the last bits differ from those of a cell alone
    if (kept := best_checkpoint(trainer)) is not None:
        checkpoint = read_checkpoint(Path(kept.best_model_path))
        module.load_state_dict(checkpoint["state_dict"])
        score = None if kept.best_model_score is None else float(kept.best_model_score)
        outcome["kept"] = {"checkpoint": Path(kept.best_model_path).name, "epoch": int(checkpoint["epoch"]),
                           "monitor": kept.monitor, "value": score}  # fmt: skip
    return outcome


def evaluated(
    trainer: pl.Trainer,
    module: HighlightModule,
    data: HighlightData,
    config: Mapping[str, Any],
    folder: Path,
    outcome: dict[str, Any],
) -> dict[str, float]:
    """Score the videos to evaluate on; rank 0 writes what it finds, and puts the judgement into the outcome.

    Returns:
        The measures by name; none where nothing is labelled.
    """
    scores = _scores(trainer, module, data)
    if not trainer.is_global_zero:
        return {}
    write_scores(folder / "scores.csv", scores)
    topic, options = config["topic"], config["evaluate"]
    labelled = (data.corpus.labels(int(video)) for video in data.corpus.evaluation_videos(topic, options["split"]))
    if all(labels is None for labels in labelled):
        return {}
    judgement = judge(data.corpus, [topic], scores, **options)
    write_judgement(folder, judgement)
    outcome["evaluation"] = judgement.to_dict()
    return {name: measure.value for name, measure in judgement.report.measures.items()}


def _scores(trainer: pl.Trainer, module: HighlightModule, data: HighlightData) -> dict[str, ClipScores]:
    """Logits of the clips of the videos to evaluate on, by id."""
    with torch.compiler.set_stance("force_eager"):  # each video has a length of its own, to be compiled for
        trainer.test(module, data, verbose=False)
    logits = module.clip_logits.compute()
    corpus: Corpus = data.corpus
    return {
        corpus.ids[video].decode(): ClipScores.of_logits(corpus.rows(video, "span"), z) for video, z in logits.items()
    }
