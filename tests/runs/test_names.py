"""What people call a run, and the order of such names."""

from __future__ import annotations

from highlight_lit.runs.names import cell_name, natural


def test_a_cells_name_says_what_differs() -> None:
    run = {"topic": "dog", "modality": "av", "seed": 3}
    told = ["data.root=/a", "topic=dog", "rank=2", "seed=3", "trainer.accelerator=cpu", "+model.k=1", "logger=none"]
    assert cell_name(run, told) == "dog av seed 3 rank=2 +model.k=1"
    assert cell_name(run) == "dog av seed 3"


def test_numbers_in_names_sort_as_numbers() -> None:
    assert sorted(["b10", "b9", "1e", "b", "²", "10", "9"], key=natural) == ["1e", "9", "10", "b", "b9", "b10", "²"]
