"""`highlight-lit export`: from a run to files that stand alone, and one line where there is none."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.export import graph
from highlight_lit.inference.detector import Detector
from highlight_lit.training.command import main as train
from tests.real_processes import exit_status, forked

ort = pytest.importorskip("onnxruntime", reason="NO EXPORT TESTED: the extra export is not installed")


@pytest.fixture(scope="module")
def run(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run."""
    out = tmp_path_factory.mktemp("runs")
    words = ["tau=8", "data.pairs=4", "model.d=8", "trainer.max_epochs=1", "logger=none", "evaluate.draws=10", "seed=7"]
    assert train([f"data.root={small_corpus}", "topic=topic01", f"out={out}", *words]) == 0
    return next(out.glob("*/last.ckpt")).parent


def test_graphs_carry_what_is_needed_to_use_them_and_nothing_of_this_machine(
    run: Path, small_corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for form, name in (("torch-export", "a.pt2"), ("onnx", "a.onnx")):
        assert main(["export", str(run), "--to", form, "--out", str(tmp_path / name)]) == 0
        assert capfd.readouterr().out.startswith(f"{tmp_path / name}: z and p as the checkpoint's within ")
        assert str(Path(__file__).parents[2]).encode() not in (tmp_path / name).read_bytes()
    session = ort.InferenceSession(tmp_path / "a.onnx")
    of_onnx = session.get_modelmeta().custom_metadata_map
    extra = {"highlight_lit.json": ""}
    program = torch.export.load(tmp_path / "a.pt2", extra_files=extra).module()
    of_torch = json.loads(extra["highlight_lit.json"])
    corpus = Corpus(small_corpus)
    record = json.loads((run / "record.json").read_text())
    for facts in (
        of_torch,
        {key: json.loads(of_onnx[key]) for key in ("streams", "run")} | {"topic": of_onnx["topic"]},
    ):
        assert facts["topic"] == "topic01"
        for name, stream in corpus.streams.items():
            kept = facts["streams"][name]
            assert (kept["width"], kept["extractor"], kept["version"]) == (
                stream.width,
                stream.extractor,
                stream.version,
            )
        assert facts["run"]["seed"] == 7
        assert facts["run"]["fingerprint"] == corpus.fingerprint
        assert facts["run"]["commit"] == record["environment"]["commit"]
    assert list(of_torch["inputs"]) == [each.name for each in session.get_inputs()]
    # As the documentation has it: features of a video as they are, in the order of the inputs.
    visual, audio = corpus.rows(0, "visual"), corpus.rows(0, "audio")
    expected = Detector.load(run).score(visual, audio)
    there = np.ones((1, len(visual)), bool)
    given = [each[None].astype(np.float32) for each in (visual, audio)] + [there, there]
    found = session.run(["p"], dict(zip(of_torch["inputs"], given, strict=True)))[0]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    _, p = program(*map(torch.from_numpy, given))
    np.testing.assert_allclose(p[0].numpy(), expected, atol=1e-5)


def test_a_run_a_checkpoint_and_a_folder_are_named_alike(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for source, out in ((run, "a"), (run / "last.ckpt", "b"), (tmp_path / "a", "c")):
        assert main(["export", str(source), "--to", "safetensors", "--out", str(tmp_path / out)]) == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] == weights[2]
    assert main(["export", str(run), "--to", "safetensors"]) == 0  # beside the checkpoint by default
    assert (run / "last.detector" / "config.json").is_file()
    assert main(["export", str(run), "--to", "safetensors"]) == 0  # and again


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["RUN", "--to", "onnx", "--push-to-hub", "a/b"], "--push-to-hub: of --to safetensors alone"),
        (["RUN", "--to", "safetensors", "--push-to-hub", "a/b/c"], "--push-to-hub a/b/c: expected OWNER/NAME"),
        (["RUN", "--to", "safetensors", "--out", "RUN"], "holds "),
        (["RUN", "--to", "safetensors", "--out", "RUN/record.json"], "not a folder"),
        (["RUN", "--to", "onnx", "--out", "RUN/last.ckpt"], "which this command reads"),
        (["RUN/record.json", "--to", "onnx"], "record.json: damaged, or not a checkpoint"),
        (["RUN/nothing.ckpt", "--to", "onnx"], "nothing.ckpt: no such file"),
        (["RUN/..", "--to", "onnx"], "a folder without config.json and last.ckpt"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(
    run: Path, words: list[str], line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["export", *(word.replace("RUN", str(run)) for word in words)]) == 2
    error = capfd.readouterr().err
    assert line in error
    assert len(error.splitlines()) == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("form", "module"), [("onnx", "onnxscript"), ("safetensors", "safetensors")])
def test_a_missing_extra_is_one_line_that_names_it(
    run: Path,
    tmp_path: Path,
    form: str,
    module: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr("highlight_lit.installation.find_spec", lambda name: None if name == module else there(name))
    assert main(["export", str(run), "--to", form, "--out", str(tmp_path / "out")]) == 2
    assert f"needs {module}: pip install 'highlight-lit[export]'" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "apart"), [(lambda z, p: (z + 0.01, p), "0.01"), (lambda z, p: (z, p + 0.02), "0.02"), (lambda z, p: (z * np.nan, p), "inf")]
)  # fmt: skip
def test_a_graph_that_scores_otherwise_is_not_left(
    change: Callable[..., Any], apart: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    runner = graph.runner_of

    def wrong(path: Path, form: str) -> Any:
        right = runner(path, form)
        return lambda values: change(*right(values))

    monkeypatch.setattr(graph, "runner_of", wrong)
    assert main(["export", str(run), "--to", "torch-export", "--out", str(tmp_path / "a.pt2")]) == 2
    assert f"as torch-export its scores differ by {apart}" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_card_tells_measures_of_its_own_weights_alone(run: Path, tmp_path: Path) -> None:
    record = json.loads((run / "record.json").read_text())
    record["kept"] = {"checkpoint": "best.ckpt", "epoch": 0, "monitor": "train/loss", "value": 0.5}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text(json.dumps(record))
    for name in ("last.ckpt", "best.ckpt"):
        shutil.copy(run / "last.ckpt", tmp_path / "run" / name)
        words = ["export", str(tmp_path / "run" / name), "--to", "safetensors", "--out", str(tmp_path / name[:4])]
        assert main(words) == 0
    primary = record["evaluation"]["primary"]
    assert primary in (tmp_path / "best" / "README.md").read_text()
    card = (tmp_path / "last" / "README.md").read_text()
    assert primary not in card
    assert "Not judged: the run kept best.ckpt" in card


@pytest.mark.parametrize("form", ["torch-export", "onnx"])
def test_a_disk_without_room_is_named_and_no_network(form: str, run: Path, tmp_path: Path) -> None:
    def work() -> int:
        reading, writing = os.pipe()
        sys.stderr = os.fdopen(writing, "w")
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        tempfile.tempdir = None
        status = main(["export", str(run), "--to", form, "--out", str(tmp_path / "a")])
        line = os.read(reading, 4096).decode()
        return 0 if (status, line) == (2, f"highlight-lit: {tmp_path}/a: cannot be written (File too large)\n") else 1

    assert exit_status(forked(work)) == 0
