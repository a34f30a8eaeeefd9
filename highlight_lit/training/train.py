"""One run: config, corpus and data, module, callbacks, loggers, trainer; then fit, evaluate, record."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from omegaconf import DictConfig
from torch import nn

from highlight_lit.config.build import build
from highlight_lit.config.identity import as_plain, folded, identity
from highlight_lit.config.schema import check
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.errors import InputError
from highlight_lit.runs import ledger
from highlight_lit.runs.logging.loggers import check_loggers, conclude, opened, start_anew
from highlight_lit.runs.names import told
from highlight_lit.signals import Signals
from highlight_lit.training.callbacks.checkpoints import LastCheckpoint, restoring, resumable
from highlight_lit.training.compiled import compiled
from highlight_lit.training.distributed import places
from highlight_lit.training.distributed.ranks import Place, Ranks
from highlight_lit.training.guided import check_teacher, first_stage, targets
from highlight_lit.training.machine import check_batch, check_machine, check_network
from highlight_lit.training.module import HighlightModule, log_epoch
from highlight_lit.training.outcome import evaluated, outcome_of
from highlight_lit.training.trainer import make_callbacks, make_trainer
from highlight_lit.untrusted.checkpoint_file import read_checkpoint

Plain = dict[str, Any]


def train(config: DictConfig | Plain) -> dict[str, Any]:
    """Train one topic with one seed and judge it; the record tells how it went.

    Args:
        config: The composed configuration, or a plain one, in which nothing is resolved.

    Returns:
        The run's record, read back if the same run was done before; on ranks other than 0 its status is `rank`.

    Raises:
        InputError: The configuration or the corpus cannot be used; nothing has been written then.
    """
    with Signals() as signals:
        check(config)
        plain = as_plain(config)
        check_machine(plain["trainer"])
        check_loggers(plain)
        check_teacher(plain)
        place = places.cluster(plain["trainer"])
        if place is not None:
            plain["trainer"] |= places.shape(place)
        # What Lightning refuses is refused before any data is opened.
        out = Path(plain["out"])
        tried = make_trainer(plain, place or places.alone(), out, make_callbacks(plain, out, signals))
        devices = tried.num_devices
        if plain["teacher"]["method"] is not None and devices * tried.num_nodes > 1:
            raise InputError("teacher: trains on one device; expected trainer.devices=1")
        if place is None and tried.num_nodes > 1:
            raise InputError(
                f"trainer.num_nodes={tried.num_nodes}: expected torchrun or srun, which start processes there"
            )
        corpus = Corpus(Path(plain["data"]["root"]))
        data = make_data(plain, corpus)
        module = make_module(plain, data.corpus)
        ranks = devices * tried.num_nodes if _draws(module) else 1
        first = [identity(run, corpus.fingerprint) for run in first_stage(plain)]
        run_id = identity({**plain, "first_stage": first} if first else plain, corpus.fingerprint, ranks)
        with places.joined(place):
            if place is not None and place.global_rank() > 0:
                return _followed(plain, data, module, out, run_id, signals, place)
            return _claimed(plain, data, module, out, run_id, signals, place, devices)


def _draws(module: HighlightModule) -> bool:
    """Whether a network draws what it drops out, which it does anew on each rank."""
    return any(part.p > 0 for part in module.modules() if isinstance(part, nn.modules.dropout._DropoutNd))


def _claimed(
    plain: Plain, data: HighlightData, module: HighlightModule, out: Path, run_id: str, signals: Signals,
    place: ClusterEnvironment | None, devices: int,
) -> dict[str, Any]:  # fmt: skip
    """The run as one process at a time does it, unless it is done."""
    name = f"{plain['topic']} {plain['modality']} seed {plain['seed']}"
    word = "failed"
    try:
        with ledger.claimed(out, run_id, name) as folder:
            done = ledger.read_record(folder)
            word = "done" if done is not None and done["status"] == "done" else "go"
            places.tell(place, word)
            if done is not None and word == "done":
                return {**done, "skipped": True}
            header = _header(plain, data, run_id)
            with _failure_recorded(folder, header):
                if plain["teacher"]["method"] is not None:
                    with told(()):  # those are not what this run was told
                        first = [train(run) for run in first_stage(plain)]
                    data.guide(targets(plain, data.corpus, first))
                    header["teacher"] = {**plain["teacher"], "runs": [record["id"] for record in first]}
                    header["training"] = {"tagged": len(data.positive)}
                if place is not None:
                    return _run(plain, data, module, folder, header, signals, place)
                with Ranks(devices, _other_rank, plain, folder, run_id) as others:
                    return _run(plain, data, module, folder, header, signals, others.place or places.alone())
    finally:
        if word == "failed":
            places.tell(place, word)


def _followed(
    plain: Plain, data: HighlightData, module: HighlightModule, out: Path, run_id: str, signals: Signals,
    place: ClusterEnvironment,
) -> dict[str, Any]:  # fmt: skip
    """The part in a run of another rank that torchrun or a cluster has started."""
    if (word := places.told()) == "go":
        _run(plain, data, module, ledger.run_dir(out, run_id), {"id": run_id}, signals, place)
    elif word != "done":
        raise InputError(f"rank {place.global_rank()}: rank 0 could not begin; it says why")
    return {"status": "rank"}


def _other_rank(plain: Plain, folder: Path, run_id: str, place: Place) -> None:
    """The part in a run of another rank that rank 0 has started."""
    corpus = Corpus(Path(plain["data"]["root"]))
    data = make_data(plain, corpus)
    with Signals() as signals:
        _run(plain, data, make_module(plain, data.corpus), folder, {"id": run_id}, signals, place)


def _header(plain: Plain, data: HighlightData, run_id: str) -> dict[str, Any]:
    """What a record says of a run before it has begun."""
    corpus = data.corpus
    counts = {"positive": len(data.positive), "negative": len(data.negative)}
    if data.held_out is not None:
        counts |= {
            "held_out": sum(len(kind) for kind in (data.held_out.positive, data.held_out.negative) if kind is not None)
        }
    return {
        "id": run_id,
        **{key: plain[key] for key in ("study", "topic", "modality", "seed")},
        "config": plain,
        "corpus": {"name": corpus.manifest["name"], "fingerprint": corpus.fingerprint},
        "training": counts,
        "environment": ledger.environment(),
    }


@contextlib.contextmanager
def _failure_recorded(folder: Path, header: dict[str, Any]) -> Iterator[None]:
    """Write a record of what fails; none of what is interrupted."""
    try:
        yield
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        with contextlib.suppress(InputError):  # on a full disk the first error is the one to tell
            ledger.write_record(folder, {**header, "status": "failed", "error": first})
        raise


def make_data(plain: Plain, corpus: Corpus) -> HighlightData:
    """The data module of a resolved configuration."""
    node = {key: value for key, value in plain["data"].items() if key != "root"}
    data: HighlightData = build(
        node, "data", everything=True, corpus=corpus, topic=plain["topic"], streams=plain["streams"], tau=plain["tau"],
        seed=folded(plain["seed"]), split=plain["evaluate"]["split"],
    )  # fmt: skip
    check_batch(plain, corpus)
    return data


def make_module(plain: Plain, corpus: Corpus) -> HighlightModule:
    """The module of a resolved configuration, its first weights drawn from the run's seed."""
    streams = {name: asdict(corpus.streams[name]) for name in plain["streams"]}
    check_network(plain["model"], streams, plain["data"]["pairs"], plain["tau"])
    seed = folded(plain["seed"])
    pl.seed_everything(seed, verbose=False)
    fold = plain["data"].get("fold")
    of = None if fold is None else corpus.fingerprint
    module = HighlightModule(plain["model"], plain["loss"], plain["optimizer"], streams, plain["topic"], seed, fold, of)
    embeddings: Any = getattr(module.network, "embeddings", plain["streams"])
    reads = set(embeddings)
    if reads != set(plain["streams"]):
        raise InputError(
            f"modality={plain['modality']}: the model reads {', '.join(sorted(reads))}; choose another fusion"
        )
    module.configure_optimizers()
    return module


def _run(
    plain: Plain, data: HighlightData, module: HighlightModule, folder: Path, header: dict[str, Any], signals: Signals,
    place: ClusterEnvironment,
) -> dict[str, Any]:  # fmt: skip
    """Fit, from the last checkpoint if there is one, and evaluate; the record, which rank 0 writes."""
    found = resumable(folder, module, str(plain["trainer"]["precision"]))
    callbacks = make_callbacks(plain, folder, signals)
    last = next(each for each in callbacks if isinstance(each, LastCheckpoint))
    first = place.global_rank() == 0
    with contextlib.ExitStack() as stack:
        facts: Plain = {key: header[key] for key in ("corpus", "environment") if key in header}
        loggers = stack.enter_context(opened({**plain, **facts}, folder, header["id"])) if first else []
        trainer = make_trainer(plain, place, folder, callbacks, loggers)
        data.trainer = trainer  # whose device the store is chosen for
        if found is not None:
            history = read_checkpoint(found)["progress"]["history"]
            for epoch in history:
                log_epoch([each for each in loggers if start_anew(each)], epoch)
        elif first:  # the others get them from rank 0, as they get its weights
            module.fit_statistics(data.statistics())
        if plain["compile"]:
            if trainer.world_size > 1:
                module.network.compile()  # what comes after it needs all ranks' bags
            else:
                module.objective = compiled()
        with restoring(found, last):
            trainer.fit(module, data, ckpt_path=found)
        outcome = outcome_of(trainer, module, last)
        measures = evaluated(trainer, module, data, plain, folder, outcome)
        record = {**header, "status": "done", **outcome}
        if first:  # before a logger is told: a training that is finished is recorded whatever a logger does
            ledger.write_record(folder, record)
            conclude(loggers, measures, trainer.global_step, record, folder)
        return record


def value_of(record: dict[str, Any], measure: str) -> float:
    """A measure of a run that is done, for a sweeper: of the epoch that was kept, or of its evaluation.

    Raises:
        InputError: The run has no such measure.
    """
    evaluation = record.get("evaluation", {"measures": {}})["measures"]
    found = {**record["losses"], **{name: of["mean"] for name, of in evaluation.items()}}
    if (kept := record.get("kept")) is not None:
        found[kept["monitor"]] = kept["value"]
    if measure not in found:
        raise InputError(f"optimized_metric={measure}: no measure of the run; expected one of {', '.join(found)}")
    return float(found[measure]) if found[measure] is not None else math.nan
