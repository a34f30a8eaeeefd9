"""Fixtures for all tests."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.data.video import Labels, Video
from highlight_lit.training import guided
from highlight_lit.training.command import main as train
from tests.real_processes import SERVER, need_launcher, quick_workers, serve

# How long an example takes says how busy the machine is, and nothing about the product.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# What is imported stays: Python need not go through a million objects again and again to find that out.
gc.set_threshold(20_000)
# Under nohup, and in the background of a shell, signals are ignored, by every process that a test starts too.
for _number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """Before the processes that run the tests are started, start the Python that they share."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        os.environ[SERVER] = str(serve())


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail where a test file cannot be imported: the search for doctests would skip it, and pytest then finds no test in it."""
    report = yield
    if report.skipped and "unable to import module" in str(report.longrepr) and collector.path.name.startswith("test_"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real features, labels and videos, which lie beside the checkout where there are any."""
    if not SHARED_DATA.is_dir():
        pytest.skip("NO REAL DATA: ../shared/data is absent, so nothing was tested on real features and labels")
    return SHARED_DATA


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic corpus of two topics, quick to train on."""
    root = tmp_path_factory.mktemp("corpus") / "small"
    synthesize(root, Plan(topics=2, videos=20, rank=2, Dv=12, Da=8))
    return root


@pytest.fixture(scope="session")
def short_run(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is done, of the small corpus' first topic; to be read alone."""
    out = tmp_path_factory.mktemp("short") / "runs"
    words = ["topic=topic01", "data.pairs=4", "tau=8", "model.d=8", "trainer.max_epochs=2", "logger=none"]
    assert train([f"data.root={small_corpus}", f"out={out}", "evaluate.draws=10", *words]) == 0
    return next(out.glob("*/last.ckpt")).parent


@pytest.fixture
def make_video() -> Callable[..., Video]:
    """Make a valid video; any of its fields can be given."""

    def make(name: str = "one", clips: int = 5, **fields: Any) -> Video:
        rng = np.random.default_rng(clips)
        span = np.stack([np.arange(clips), np.arange(1, clips + 1)], 1).astype(np.float64)
        made: dict[str, Any] = {
            "id": name,
            "duration": float(clips),
            "tags": ("dog",),
            "span": span,
            "visual": rng.normal(size=(clips, 4)).astype(np.float32),
            "audio": rng.normal(size=(clips, 3)).astype(np.float32),
            "title": f"Vidéo {name}",
            "labels": Labels(span, rng.normal(size=(clips, 2)).astype(np.float32)),
        }
        return Video(**{**made, **fields})

    return make


@pytest.fixture
def quick_train(small_corpus: Path, tmp_path: Path) -> Callable[..., int]:
    """Run `highlight-lit train` on the small corpus with a small network; returns the exit status."""

    def run(*overrides: str, multirun: bool = False) -> int:
        need_launcher(overrides)
        words = [f"data.root={small_corpus}", f"out={tmp_path / 'runs'}", "data.pairs=4", "tau=8", "model.d=8"]
        if not any(word.startswith("topic=") for word in overrides):
            words.append("topic=topic01")
        defaults = ["trainer.max_epochs=2", "logger=none", "evaluate.draws=10"]
        given = {word.split("=")[0] for word in overrides}
        words += [word for word in defaults if word.split("=")[0] not in given]
        with quick_workers() if any("hydra/launcher=" in word for word in overrides) else nullcontext():
            return train([*(["-m"] if multirun else []), *words, *overrides])

    return run


@pytest.fixture
def quick_first_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guided training's first stage in small, of which a run says the number of networks alone."""
    whole, small = guided.composed, ["trainer.max_epochs=1", "model.d=8", "tau=8", "data.pairs=4"]
    monkeypatch.setattr(guided, "composed", lambda name, words: whole(name, [*words, *small]))


@pytest.fixture
def corpus(small_corpus: Path) -> Corpus:
    return Corpus(small_corpus)


@pytest.fixture
def preloaded_workers() -> Iterator[None]:
    """Processes that a test starts for its work begin from the Python that has imported the libraries."""
    with quick_workers():
        yield
