"""A search tries its cells, and finds and names the best by what it was to optimise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from highlight_lit.errors import InputError
from highlight_lit.runs.ledger import records

Train = Callable[..., int]


@pytest.mark.parametrize("search", ["grid", "optuna"])
def test_a_search_of_eight_cells_says_which_is_best(
    quick_train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str], search: str
) -> None:
    if search == "optuna":
        pytest.importorskip("optuna", reason="needs the extra search")
    assert quick_train(f"hparams_search={search}", "trainer.max_epochs=3", "data.pairs=4") == 0
    found = list(records(tmp_path / "runs"))
    assert 1 < len(found) <= 8
    best = min(found, key=lambda record: record["losses"]["val/loss"])
    [said] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("best of")]
    assert said.startswith(f"best of 8 by val/loss: {best['losses']['val/loss']:.6g} with ")
    assert f"rank={best['config']['rank']}" in said
    if search == "optuna":
        results = yaml.safe_load((tmp_path / "runs" / "optimization_results.yaml").read_text())
        assert results["best_value"] == pytest.approx(best["losses"]["val/loss"])


def test_a_measure_that_a_run_does_not_have_is_refused(quick_train: Train) -> None:
    with pytest.raises(
        InputError, match="optimized_metric=val/loss: no measure of the run; expected one of train/loss"
    ):
        quick_train("optimized_metric=val/loss")
