"""One run from its configuration to its record: data, module and trainer are made; then fit, evaluate, record."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from omegaconf import DictConfig
from torch import nn

from highlight_lit.config.build import build
from highlight_lit.config.run_identity import as_plain, folded
from highlight_lit.config.schema import check
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.errors import InputError
from highlight_lit.installation import environment
from highlight_lit.processes.signals import Signals
from highlight_lit.runs import ledger
from highlight_lit.runs.logging.loggers import check_loggers, conclude, opened, start_anew
from highlight_lit.runs.names import cell_name, known_overrides
from highlight_lit.training.callbacks.last_checkpoint import LastCheckpoint
from highlight_lit.training.callbacks.run_callbacks import make_callbacks
from highlight_lit.training.checkpoint.resume import restoring, resumable
from highlight_lit.training.distributed import cluster
from highlight_lit.training.distributed.ranks import Place, Ranks
from highlight_lit.training.guided import check_teacher, first_stage, identity_with_teacher, targets
from highlight_lit.training.machine import check_machine
from highlight_lit.training.memory import check_batch, check_network
from highlight_lit.training.module import HighlightModule, log_epoch
from highlight_lit.training.outcome import evaluated, outcome_of
from highlight_lit.training.step.compiled import compiled
from highlight_lit.training.trainer import make_trainer
from highlight_lit.untrusted.checkpoint_file import read_checkpoint

Config = dict[str, Any]


class _Run(NamedTuple):
    """A run before it begins: its resolved configuration, what is made of that, and where a signal to stop is noted."""

    config: Config
    data: HighlightData
    module: HighlightModule
    signals: Signals


def train(composed: DictConfig | Config) -> dict[str, Any]:
    """Train one topic with one seed and judge it; the record tells how it went.

    Args:
        composed: The composed configuration, or a plain one, in which nothing is resolved.

    Returns:
        The run's record, read back if the same run was done before; on ranks other than 0 its status is `rank`.

    Raises:
        InputError: The configuration or the corpus cannot be used; nothing has been written then.
    """
    with Signals() as signals:
        check(composed)
        config = as_plain(composed)
        check_machine(config["trainer"])
        check_loggers(config)
        check_teacher(config)
        place = cluster.detected(config["trainer"])
        if place is not None:
            config["trainer"] |= cluster.devices_and_nodes(place)
        out = Path(config["out"])
        devices, nodes = _devices_and_nodes(config, place, out, signals)
        corpus = Corpus(Path(config["data"]["root"]))
        data = make_data(config, corpus)
        module = make_module(config, data.corpus)
        run_id = identity_with_teacher(config, corpus.fingerprint, ranks=devices * nodes if _has_dropout(module) else 1)
        run = _Run(config, data, module, signals)
        with cluster.process_group(place):
            if place is not None and place.global_rank() > 0:
                return _followed(run, out, run_id, place)
            return _claimed(run, out, run_id, place, devices)


def make_data(config: Config, corpus: Corpus) -> HighlightData:
    """The data module of a resolved configuration."""
    node = {key: value for key, value in config["data"].items() if key != "root"}
    data: HighlightData = build(
        node, "data", everything=True, corpus=corpus, topic=config["topic"], streams=config["streams"], tau=config["tau"],
        seed=folded(config["seed"]), split=config["evaluate"]["split"],
    )  # fmt: skip
    check_batch(config, corpus)
    return data


def make_module(config: Config, corpus: Corpus) -> HighlightModule:
    """The module of a resolved configuration, its first weights drawn from the run's seed."""
    streams = {name: asdict(corpus.streams[name]) for name in config["streams"]}
    check_network(config["model"], streams, config["data"]["pairs"], config["tau"])
    seed = folded(config["seed"])
    pl.seed_everything(seed, verbose=False)
    fold = config["data"].get("fold")
    trained_on = None if fold is None else corpus.fingerprint
    module = HighlightModule(
        config["model"], config["loss"], config["optimizer"], streams, config["topic"], seed, fold, trained_on
    )
    embeddings: Any = getattr(module.network, "embeddings", config["streams"])
    reads = set(embeddings)
    if reads != set(config["streams"]):
        raise InputError(
            f"modality={config['modality']}: the model reads {', '.join(sorted(reads))}; choose another fusion"
        )
    module.configure_optimizers()
    return module


def _trained(run: _Run, folder: Path, header: dict[str, Any], place: ClusterEnvironment) -> dict[str, Any]:
    """Train from the last checkpoint, if there is one, and evaluate; returns the record, which rank 0 writes."""
    config, data, module, signals = run
    checkpoint = resumable(folder, module, str(config["trainer"]["precision"]))
    callbacks = make_callbacks(config, folder, signals)
    last = next(each for each in callbacks if isinstance(each, LastCheckpoint))
    writes = place.global_rank() == 0
    with contextlib.ExitStack() as stack:
        facts: Config = {key: header[key] for key in ("corpus", "environment") if key in header}
        loggers = stack.enter_context(opened({**config, **facts}, folder, header["id"])) if writes else []
        trainer = make_trainer(config, place, folder, callbacks, loggers)
        data.trainer = trainer  # whose device the store is chosen for
        if checkpoint is not None:
            for epoch in read_checkpoint(checkpoint)["progress"]["history"]:
                log_epoch([each for each in loggers if start_anew(each)], epoch)
        elif writes:  # the others get them from rank 0, as they get its weights
            module.fit_statistics(data.statistics())
        if config["compile"] and trainer.world_size > 1:
            module.network.compile()  # what comes after it needs all ranks' bags
        elif config["compile"]:
            module.objective = compiled()
        with restoring(checkpoint, last):
            trainer.fit(module, data, ckpt_path=checkpoint)
        outcome = outcome_of(trainer, module, last)
        measures = evaluated(trainer, module, data, config, folder, outcome)
        record = {**header, "status": "done", **outcome}
        if writes:  # before a logger is told: a training that is finished is recorded whatever a logger does
            ledger.write_record(folder, record)
            conclude(loggers, measures, trainer.global_step, record, folder)
        return record


def _claimed(run: _Run, out: Path, run_id: str, place: ClusterEnvironment | None, devices: int) -> dict[str, Any]:
    """Hold the run and do it, as rank 0; returns the record that is there if the run is done."""
    config, data, word = run.config, run.data, "failed"
    try:
        with ledger.claimed(out, run_id, cell_name(config, ())) as folder:
            done = ledger.read_record(folder, run_id)
            word = "done" if done is not None and done["status"] == "done" else "go"
            cluster.announce(place, word)
            if done is not None and word == "done":
                return {**done, "skipped": True}
            header = _header(config, data, run_id)
            with ledger.failure_recorded(folder, header):
                if config["teacher"]["method"] is not None:
                    with known_overrides(()):  # those are not what this run was told
                        first = [train(stage) for stage in first_stage(config)]
                    data.guide(targets(config, data.corpus, first))
                    header["teacher"] = {**config["teacher"], "runs": [record["id"] for record in first]}
                    header["training"] = {"tagged": len(data.positive)}
                if place is not None:
                    return _trained(run, folder, header, place)
                with Ranks(devices, _other_rank, config, folder, run_id) as others:
                    return _trained(run, folder, header, others.place or cluster.single_process())
    finally:
        if word == "failed":
            cluster.announce(place, word)


def _followed(run: _Run, out: Path, run_id: str, place: ClusterEnvironment) -> dict[str, Any]:
    """Do the part of a rank other than 0 that torchrun or a cluster has started."""
    if (word := cluster.announced()) == "go":
        _trained(run, ledger.run_dir(out, run_id), {"id": run_id}, place)
    elif word != "done":
        raise InputError(f"rank {place.global_rank()}: rank 0 could not begin; it says why")
    return {"status": "rank"}


def _other_rank(config: Config, folder: Path, run_id: str, place: Place) -> None:
    """Do the part of a rank other than 0 that rank 0 has started."""
    corpus = Corpus(Path(config["data"]["root"]))
    data = make_data(config, corpus)
    with Signals() as signals:
        _trained(_Run(config, data, make_module(config, data.corpus), signals), folder, {"id": run_id}, place)


def _header(config: Config, data: HighlightData, run_id: str) -> dict[str, Any]:
    """What a record says of a run before it has begun."""
    corpus = data.corpus
    counts = {"positive": len(data.positive), "negative": len(data.negative)}
    if (held := data.held_out) is not None:
        counts["held_out"] = sum(len(kind) for kind in (held.positive, held.negative) if kind is not None)
    return {
        "id": run_id,
        **{key: config[key] for key in ("study", "topic", "modality", "seed")},
        "config": config,
        "corpus": {"name": corpus.manifest["name"], "fingerprint": corpus.fingerprint},
        "training": counts,
        "environment": environment(),
    }


def _devices_and_nodes(
    config: Config, place: ClusterEnvironment | None, out: Path, signals: Signals
) -> tuple[int, int]:
    """How many devices and nodes Lightning takes; what it refuses is refused here, before any data is opened."""
    trainer = make_trainer(config, place or cluster.single_process(), out, make_callbacks(config, out, signals))
    if config["teacher"]["method"] is not None and trainer.num_devices * trainer.num_nodes > 1:
        raise InputError("teacher: trains on one device; expected trainer.devices=1")
    if place is None and trainer.num_nodes > 1:
        raise InputError(
            f"trainer.num_nodes={trainer.num_nodes}: expected torchrun or srun, which start processes there"
        )
    return trainer.num_devices, trainer.num_nodes


def _has_dropout(module: HighlightModule) -> bool:
    """Whether a network has active dropout, which each rank draws for itself."""
    return any(part.p > 0 for part in module.modules() if isinstance(part, nn.modules.dropout._DropoutNd))
