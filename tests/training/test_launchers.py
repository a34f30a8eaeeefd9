"""A sweep's cells run under Hydra's launchers for engines that people already have."""

from __future__ import annotations

from pathlib import Path

import pytest

from highlight_lit.runs.ledger import records
from tests.processes import Command


def test_two_cells_run_on_a_ray_cluster(small_corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="NO RAY: the extra ray is not installed")
    words = [f"data.root={small_corpus}", f"out={tmp_path / 'runs'}", "topic=topic01", "data.pairs=4", "tau=8", "model.d=8",
             "trainer.max_epochs=2", "logger=none", "evaluate.draws=10"]  # fmt: skip
    ray = [
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init.include_dashboard=false",
    ]
    command = Command("train", "-m", *words, "seed=0,1", *ray)
    try:
        status, said = command.ends()
        assert status == 0, said
        assert any("topic01" in line and "100.0" in line for line in said)  # the table
        assert {record["seed"]: record["status"] for record in records(tmp_path / "runs")} == {0: "done", 1: "done"}
        assert not command.left(within=10)
    finally:
        command.kill()
