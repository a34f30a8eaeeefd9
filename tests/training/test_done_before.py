"""What was done before is said at once, without PyTorch; what begins is said before PyTorch is loaded."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

WITHOUT_TORCH = (
    "import sys\nfor name in ('torch', 'pytorch_lightning'): sys.modules[name] = None\n"
    "from highlight_lit.cli import main\nsys.exit(main(sys.argv[1:]))"
)


def words(small_corpus: Path, out: Path, *further: str) -> list[str]:
    return [f"data.root={small_corpus}", f"out={out}", "data.pairs=4", "tau=8", "model.d=8", "topic=topic01",
            "trainer.max_epochs=2", "logger=none", "evaluate.draws=10", *further]  # fmt: skip


@pytest.mark.parametrize("swept", [[], ["rank=2,3", "data.fold=1/2,2/2"]])
def test_what_is_done_is_told_without_pytorch_and_what_is_not_is_begun(
    quick_train: Callable[..., int], small_corpus: Path, tmp_path: Path, swept: list[str]
) -> None:
    assert quick_train(*swept, multirun=bool(swept)) == 0
    given = ["train", *(["-m"] if swept else []), *words(small_corpus, tmp_path / "runs", *swept)]
    again = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *given], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before") == (4 if swept else 1)
    other = [*given, "beta=0.5"]
    new = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *other], capture_output=True, text=True)
    assert new.returncode != 0  # it needs PyTorch, which is not there
    assert "done before" not in new.stdout


def test_a_guided_run_that_is_done_is_told_without_pytorch(
    quick_train: Callable[..., int], small_corpus: Path, tmp_path: Path
) -> None:
    guided = ["experiment=guided", "teacher.seeds=0"]
    assert quick_train(*guided) == 0
    given = ["train", *words(small_corpus, tmp_path / "runs", *guided)]
    again = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *given], capture_output=True, text=True)
    assert "done before" in again.stdout, again.stderr


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_terminal_is_told_what_begins_before_pytorch_is_loaded(small_corpus: Path, tmp_path: Path, verb: str) -> None:
    given = {"train": words(small_corpus, tmp_path, "rank=2"),
             "evaluate": ["--method", "recurrence", "--corpus", str(small_corpus)]}  # fmt: skip
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", WITHOUT_TORCH, verb, *given[verb]], stderr=slave, stdout=slave)
    process.wait(300)
    os.close(slave)
    said = os.read(master, 4096).decode()
    os.close(master)
    assert "PyTorch is being loaded" in said.splitlines()[0]
    assert verb == "evaluate" or ("topic01 av seed 0" in said and "rank=2" in said.splitlines()[0])
