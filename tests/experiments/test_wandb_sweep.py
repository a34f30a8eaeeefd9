"""The sweep that W&B conducts: its file, and the command line that an agent makes of it, which logs what it watches."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from highlight_lit.runs.ledger import records
from tests.experiments.wandb_server import Server
from tests.real_processes import executables

SWEEP = Path(__file__).parents[2] / "experiments" / "wandb_sweep.yaml"
SMALL = ["model.d=4", "tau=8", "data.pairs=4", "trainer.max_epochs=2", "evaluate.draws=10"]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server
        server.shutdown()


def test_an_agent_runs_two_points_of_the_sweep_and_they_log_what_it_watches(
    small_corpus: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wandb.sdk.launch.sweeps import utils  # takes seconds, of every process that collects tests

    monkeypatch.setenv("CORPUS", str(small_corpus))
    monkeypatch.setenv("TOPIC", "topic01")
    sweep = utils.load_sweep_config(str(SWEEP))
    assert sweep is not None and sweep["method"] == "grid"
    metric, values = sweep["metric"]["name"], [each["values"] for each in sweep["parameters"].values()]
    points = [dict(zip(sweep["parameters"], point, strict=True)) for point in itertools.product(*values)]
    assert len(points) == 8
    for name, point in zip(("first", "second"), (points[0], points[-1]), strict=True):
        asked = tmp_path / f"{name}.yaml"
        asked.write_text("wandb_version: 1\n" + "".join(f"{k}:\n  value: {v}\n" for k, v in point.items()))
        # As `wandb.wandb_agent.Agent._command_run` does, but that the environment has our command's folder on its path, and
        # the command begins from a Python that has imported the libraries.
        given = utils.create_sweep_command_args({"args": {key: {"value": value} for key, value in point.items()}})
        given |= {"program": [sweep["program"]], "env": ["/usr/bin/env"]}
        words = [word for part in utils.create_sweep_command(sweep["command"])
                 for word in (given[part[2:-1]] if part.startswith("${") and part.endswith("}") else [part])]  # fmt: skip
        path = f"{executables()}{os.pathsep}{os.environ['PATH']}"
        further = {"PATH": path, "WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": name, "WANDB_SWEEP_PARAM_PATH": str(asked)}
        environment = {**os.environ, **server.environment, **further, "OMP_NUM_THREADS": "1"}
        environment.pop("WANDB_MODE", None)
        done = subprocess.run(
            [*words, *SMALL], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
    assert server.runs == {"first", "second"}  # the agent's names, by which the sweep knows them
    found = {record["config"]["rank"]: record for record in records(tmp_path / "runs")}
    for name, point in (("first", points[0]), ("second", points[-1])):
        logged = [row[metric] for row in server.history[name] if metric in row]
        assert len(logged) == 2  # epochs
        record = found[point["rank"]]
        assert record["config"]["optimizer"]["algorithm"]["lr"] == point["optimizer.algorithm.lr"]
        assert logged[-1] == pytest.approx(record["losses"][metric])
