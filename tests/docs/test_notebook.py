"""The notebook's cells, in order, in small.

They are run as they lie in the file, in this process, which has imported PyTorch already: a Jupyter kernel would add seconds
and a dozen packages, and show nothing that a cell without magic needs.
"""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from tests.docs.pages import SITE
from tests.docs.test_commands import masked

NOTEBOOK = SITE / "first_result.ipynb"
SMALL = {"videos=80": "videos=10", "max_epochs=60": "max_epochs=1", "pairs=32": "pairs=4"}


def test_each_cell_runs_in_order_and_prints_lines_of_the_kind_that_the_notebook_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    scope: dict[str, Any] = {"__name__": "notebook"}
    used, outputs = set(), 0
    for cell in (cell for cell in notebook["cells"] if cell["cell_type"] == "code"):
        source = "".join(cell["source"])
        for large, small in SMALL.items():
            used |= {large} if large in source else set()
            source = source.replace(large, small)
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile(source, NOTEBOOK.name, "exec"), scope)
        shown = [line for output in cell["outputs"] for line in output.get("text", ())]
        assert list(map(masked, printed.getvalue().splitlines())) == list(map(masked, shown))
        outputs += len(cell["outputs"])
    assert used == set(SMALL)
    assert outputs >= 3  # it was run before it was kept
