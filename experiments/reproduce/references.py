"""Methods as cells of a study: judged and recorded as a training is, in the same ledger."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from highlight_lit import methods
from highlight_lit.config.run_identity import identity
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.topics.folds import cross_fitted
from highlight_lit.evaluation.judge import judge, write_judgement
from highlight_lit.evaluation.scores_csv import write_scores
from highlight_lit.installation import environment
from highlight_lit.runs import ledger

Config = dict[str, Any]


def method_config(name: str, config: Config) -> Config:
    """What a method depends on, of a training's configuration.

    Raises:
        InputError: There is no such method.
    """
    data = {key: config["data"][key] for key in ("root", "rule", "training", "fold")}
    settings = {key: config[key] for key in ("study", "modality", "evaluate", "out")}
    model = {"_target_": methods.find(name).module}
    return {**settings, "method": name, "model": model, "data": data, "trainer": {}, "callbacks": {}}


def score(config: Config) -> Config:
    """Run a method as `highlight_lit.training.train.train` does a training; what is done is not done again.

    Raises:
        InputError: The method cannot work on the topic's videos.
    """
    corpus, out = Corpus(Path(config["data"]["root"])), Path(config["out"])
    topic, seed = config["topic"], config["seed"]
    run_id = identity(config, corpus.fingerprint)
    with ledger.claimed(out, run_id, f"{topic} {config['method']} seed {seed}") as folder:
        if (done := ledger.read_record(folder, run_id)) is not None and done["status"] == "done":
            return {**done, "skipped": True}
        started, fold = time.perf_counter(), config["data"]["fold"]
        view = corpus if fold is None else cross_fitted(corpus, topic, fold)
        options = {"modality": config["modality"], **{key: config["data"][key] for key in ("rule", "training")}}
        scores = methods.score(config["method"], view, topic, seed=seed, **options)
        judgement = judge(view, [topic], scores, **config["evaluate"])
        write_scores(folder / "scores.csv", scores)
        write_judgement(folder, judgement)
        record = {
            "id": run_id,
            **{key: config[key] for key in ("study", "topic", "modality", "seed")},
            "config": config,
            "corpus": {"name": corpus.manifest["name"], "fingerprint": corpus.fingerprint},
            "environment": environment(),
            "status": "done", "seconds": time.perf_counter() - started, "epochs": 0, "steps": 0, "losses": {},
            "evaluation": judgement.to_dict(),
        }  # fmt: skip
        ledger.write_record(folder, record)
        return record
