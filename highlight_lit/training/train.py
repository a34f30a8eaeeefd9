"""One run: skip it if it is done, else build, fit, test, and write its record."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import TQDMProgressBar

from highlight_lit import config as run_config
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.errors import InputError
from highlight_lit.evaluation.judge import Judgement, judge, write_judgement
from highlight_lit.evaluation.scores import ClipScores, write_scores
from highlight_lit.training import ledger
from highlight_lit.training.checkpoints import (
    NAME,
    AtomicCheckpointIO,
    LastCheckpoint,
    Signals,
    read_checkpoint,
    restoring,
    resumable,
)
from highlight_lit.training.module import HighlightModule, log_epoch
from highlight_lit.training.objective import compiled
from highlight_lit.training.ranks import Place, Ranks
from highlight_lit.training.tracking import summarize, tracked


def train(config: DictConfig | dict[str, Any]) -> dict[str, Any]:
    """Train one topic with one seed and judge it; the record tells how it went.

    Args:
        config: The composed configuration, or a plain one, in which nothing is resolved.

    Returns:
        The run's record, read back if the same run was done before.

    Raises:
        InputError: The configuration or the corpus cannot be used; nothing has been written then.
    """
    run_config.check(config)
    plain = run_config.plain(config)
    corpus = Corpus(Path(plain["data"]["root"]))
    data = make_data(plain, corpus)
    module = make_module(plain, corpus)
    run_id = run_config.identity(plain, corpus.fingerprint)
    with ledger.claimed(Path(plain["out"]), run_id) as folder:
        done = ledger.read_record(folder)
        if done is not None and done["status"] == "done":
            return {**done, "skipped": True}
        return _recorded(plain, data, module, folder, run_id)


def _recorded(
    plain: dict[str, Any], data: HighlightData, module: HighlightModule, folder: Path, run_id: str
) -> dict[str, Any]:
    """Run, and write how it went: done with its outcome, or failed with its error; nothing if it was interrupted."""
    corpus = data.corpus
    header = {
        "id": run_id,
        **{key: plain[key] for key in ("study", "topic", "modality", "seed")},
        "config": plain,
        "corpus": {"name": corpus.manifest["name"], "fingerprint": corpus.fingerprint},
        "training": {"positive": len(data.positive), "negative": len(data.negative)},
        "environment": ledger.environment(),
    }
    try:
        options = plain["trainer"]
        others = Ranks(options["devices"], options["accelerator"], _other_rank, plain, folder, run_id)
        with Signals() as signals, others:
            outcome = _run(plain, data, module, folder, run_id, signals, others.place)
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        with contextlib.suppress(InputError):  # on a full disk the first error is the one to tell
            ledger.write_record(folder, {**header, "status": "failed", "error": first})
        raise
    record = {**header, "status": "done", **outcome}
    ledger.write_record(folder, record)
    return record


def _other_rank(plain: dict[str, Any], folder: Path, run_id: str, place: Place) -> None:
    """The part in a run of a rank that is not rank 0."""
    corpus = Corpus(Path(plain["data"]["root"]))
    silent = {**plain, "logger": {"mode": "disabled"}, "trainer": {**plain["trainer"], "progress": False}}
    with Signals() as signals:
        _run(silent, make_data(plain, corpus), make_module(plain, corpus), folder, run_id, signals, place)


def make_data(plain: dict[str, Any], corpus: Corpus) -> HighlightData:
    """The data module of a resolved configuration."""
    options = {key: plain["data"][key] for key in ("rule", "training", "pairs", "store", "readers")}
    return HighlightData(corpus, plain["topic"], plain["streams"], tau=plain["tau"], seed=plain["seed"], **options)


def make_module(plain: dict[str, Any], corpus: Corpus) -> HighlightModule:
    """The module of a resolved configuration, its first weights drawn from the run's seed."""
    pl.seed_everything(plain["seed"], verbose=False)
    streams = {name: asdict(corpus.streams[name]) for name in plain["streams"]}
    module = HighlightModule(plain["model"], plain["loss"], plain["optimizer"], streams, plain["topic"], plain["seed"])
    reads = set(getattr(module.network, "embeddings", plain["streams"]))
    if reads != set(plain["streams"]):
        raise InputError(
            f"modality={plain['modality']}: the model reads {', '.join(sorted(reads))}; choose another fusion"
        )
    module.configure_optimizers()
    return module


def _has_labels(corpus: Corpus, topic: str) -> bool:
    return any(corpus.labels(int(video)) is not None for video in corpus.evaluation_videos(topic))


def _run(
    plain: dict[str, Any],
    data: HighlightData,
    module: HighlightModule,
    folder: Path,
    run_id: str,
    signals: Signals,
    place: Place | None,
) -> dict[str, Any]:
    """Fit, from the last checkpoint if there is one, save, score; the outcome for the record, which rank 0 keeps."""
    found = resumable(folder, module)
    with tracked(plain["logger"], folder, run_id, plain) as logger:
        last = LastCheckpoint(folder / NAME, plain["checkpoint"]["steps"], plain["checkpoint"]["minutes"], signals)
        trainer = _trainer(plain, folder, logger, last, place)
        data.trainer = trainer  # whose device the store is chosen for
        if found is None:
            if trainer.is_global_zero:  # the others get them from rank 0, as they get its weights
                module.fit_statistics(data.statistics())
        elif plain["logger"]["mode"] == "offline":
            for epoch in read_checkpoint(found)["progress"]["history"]:
                log_epoch(logger, epoch)
        if plain["trainer"]["compile"]:
            if trainer.world_size > 1:
                module.network.compile()  # what comes after it needs all ranks' bags
            else:
                module.objective = compiled()
        with restoring(found, last):
            trainer.fit(module, data, ckpt_path=found)
        outcome: dict[str, Any] = {"seconds": last.seconds, "epochs": trainer.current_epoch}
        outcome["steps"] = trainer.global_step
        outcome["losses"] = {
            name: value for name, value in module.progress.history[-1].items() if name.startswith("train/")
        }
        scores = _scores(trainer, module, data)
        if not trainer.is_global_zero:
            return outcome
        write_scores(folder / "scores.csv", scores)
        if _has_labels(data.corpus, plain["topic"]):
            judgement = _judge(plain, data.corpus, scores)
            write_judgement(folder, judgement)
            outcome["evaluation"] = judgement.to_dict()
            summarize(logger, {name: measure.value for name, measure in judgement.report.measures.items()})
        return outcome


def _trainer(plain: dict[str, Any], folder: Path, logger: Any, last: LastCheckpoint, place: Place | None) -> pl.Trainer:
    quiet()
    options = plain["trainer"]
    progress = options["progress"] and sys.stderr.isatty()
    callbacks: list[pl.Callback] = [last]
    if progress:
        callbacks.append(TQDMProgressBar(leave=False))
    return pl.Trainer(
        max_epochs=options["max_epochs"],
        precision=options["precision"],
        accelerator=options["accelerator"],
        devices=options["devices"],
        strategy=place.strategy() if place else "auto",
        logger=logger or False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # everything is logged once an epoch
    )


def _scores(trainer: pl.Trainer, module: HighlightModule, data: HighlightData) -> dict[str, ClipScores]:
    """Logits of the clips of the videos to evaluate on, by id, with the last epoch's weights."""
    with torch.compiler.set_stance("force_eager"):  # each video has a length of its own, to be compiled for
        trainer.test(module, data, verbose=False)
    found = module.clip_logits.compute()
    corpus = data.corpus
    return {corpus.ids[video].decode(): ClipScores(corpus.rows(video, "span"), z) for video, z in found.items()}


def _judge(plain: dict[str, Any], corpus: Corpus, scores: dict[str, ClipScores]) -> Judgement:
    options = plain["evaluate"]
    return judge(corpus, [plain["topic"]], scores, empty=options["empty"], draws=options["draws"])


def quiet() -> None:
    """Silence what Lightning says that does not concern the user of this package."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*`training_step` returned.*",
        ".*LeafSpec.*",
        ".*no `val_dataloader`.*",
    ):
        warnings.filterwarnings("ignore", message)
