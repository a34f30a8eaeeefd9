"""On a CUDA device: the same bags, the same weights after any stop, whatever arrives when. Skipped where there is none."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from highlight_lit.data.batch import Bags
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.data.stores.stream import StreamStore
from highlight_lit.runs.ledger import records
from highlight_lit.training.epoch_means import EpochMeans
from highlight_lit.untrusted.checkpoint_file import read_checkpoint

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="NO GPU: nothing was tested on a CUDA device")
STREAMS = ("visual", "audio")
Train = Callable[..., int]


def bags(corpus: Corpus, store: str, readers: int, device: str, slow: bool = False) -> list[Bags]:
    """The bags of four epochs, brought to the CPU once all were given out."""
    data = HighlightData(corpus, "topic01", STREAMS, tau=20, pairs=4, store=store, readers=readers)
    loader = data.train_dataloader()
    loader.store = data.store.to(torch.device(device))
    found = []
    for epoch in range(4):
        loader.set_epoch(epoch)
        for batch in loader:
            if slow and isinstance(loader.store, StreamStore):
                with torch.cuda.stream(loader.store._side):
                    torch.cuda._sleep(20_000_000)  # some 10 ms, before the next copies are made
            found.append(batch)
    data.teardown("fit")
    return [Bags._make(None if part is None else part.cpu() for part in batch) for batch in found]


@pytest.mark.parametrize(("store", "readers"), [("resident", 1), ("stream", 1), ("stream", 3)])
@pytest.mark.parametrize("slow", [False, True])
def test_the_bags_are_those_of_the_cpu_however_late_copies_are(
    corpus: Corpus, store: str, readers: int, slow: bool
) -> None:
    expected = bags(corpus, "resident", 1, "cpu")
    found = bags(corpus, store, readers, "cuda", slow)
    assert len(found) == len(expected) > 4
    for one, other in zip(found, expected, strict=True):
        for field, a, b in zip(Bags._fields, one, other, strict=True):
            assert (a is None) == (b is None) == (field == "target"), field  # no teacher here
            assert a is None or b is None or torch.equal(a, b), field


def weights(out: Path) -> dict[str, torch.Tensor]:
    [record] = records(out)
    assert record["status"] == "done"
    state: dict[str, torch.Tensor] = read_checkpoint(out / record["id"] / "last.ckpt")["state_dict"]
    return state


def assert_same(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


WAYS: list[list[str]] = [[], ["trainer.precision=bf16-mixed"], ["trainer.precision=bf16-mixed", "compile=true"]]


@pytest.mark.parametrize("words", WAYS, ids=" ".join)
def test_either_store_trains_to_the_same_bit(quick_train: Train, tmp_path: Path, words: list[str]) -> None:
    for store in ("resident", "stream"):
        quick_train(*words, f"data.store={store}", f"out={tmp_path / store}")
    assert_same(tmp_path / "stream", tmp_path / "resident")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(
    small_corpus: Path, tmp_path: Path, number: signal.Signals
) -> None:
    def start(out: str, store: str) -> subprocess.Popen[bytes]:
        words = [f"data.root={small_corpus}", f"out={tmp_path / out}", "topic=topic01", "data.pairs=4", "tau=8",
                 "model.d=8", "trainer.max_epochs=300", "logger=none", "evaluate.draws=10", "trainer.accelerator=gpu",
                 "checkpoint.steps=20", f"data.store={store}"]  # fmt: skip
        return subprocess.Popen([sys.executable, "-m", "highlight_lit", "train", *words], stdout=subprocess.DEVNULL)

    began = time.monotonic()
    assert start("unbroken", "resident").wait() == 0
    lasts, generator = time.monotonic() - began, random.Random(number)
    for _ in range(int(os.environ.get("HIGHLIGHT_LIT_KILLS", "2"))):
        process = start("runs", "stream")
        time.sleep(generator.uniform(0.4, 1.0) * lasts)
        process.send_signal(number)
        assert process.wait() != 0 or list(records(tmp_path / "runs"))
    assert start("runs", "stream").wait() == 0
    assert_same(tmp_path / "runs", tmp_path / "unbroken")


def test_it_learns_what_it_learns_on_a_cpu(quick_train: Train, tmp_path: Path) -> None:
    for accelerator in ("cpu", "gpu"):
        quick_train("model.dropout=0", f"trainer.accelerator={accelerator}", f"out={tmp_path / accelerator}")
    ours, theirs = weights(tmp_path / "gpu"), weights(tmp_path / "cpu")
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def test_progress_is_read_a_look_late_and_whole() -> None:
    progress = EpochMeans()
    for epoch in range(3):
        for step in (2 * epoch, 2 * epoch + 1):
            loss = torch.tensor(math.nan if step == 4 else float(step), device="cuda")
            progress.add(step, {"loss": loss}, 3)
        progress.end_epoch(epoch, 2 * epoch + 1, 0.1)
        assert len(progress.history) == epoch
        assert progress.bad_step is None
    progress.settle()
    assert [entry["train/loss"] for entry in progress.history[:2]] == [0.5, 2.5]
    assert progress.bad_step == 4
