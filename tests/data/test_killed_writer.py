"""A writer that is killed leaves no corpus and no shard under a final name, or one that verifies; it can be run again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from highlight_lit.data import corpus as corpus_module
from highlight_lit.data.corpus_faults import faults
from highlight_lit.data.shards import ShardWriter
from highlight_lit.data.synthetic import Plan, synthesize
from tests.real_processes import exit_status, forked

PLAN = Plan(topics=2, videos=6, rank=2, Dv=6, Da=4)
VIDEOS = 12


def killed_at(call: int, owner: object, name: str) -> Callable[[], None]:
    """Synthesizing, until a function has been called so many times."""

    def work() -> None:
        original, calls = getattr(owner, name), []

        def counted(*words: object, **options: object) -> object:
            result = original(*words, **options)
            calls.append(1)
            if len(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, counted)

        synthesize(Path(os.environ["OUT"]), PLAN)

    return work


def assert_whole_or_absent(root: Path) -> None:
    if root.exists():
        assert list(faults(root)) == []
    else:
        assert all(path.name.startswith(".") for path in root.parent.iterdir())
    shards = [path for path in root.parent.glob(".*.partial/*.h5") if not path.name.startswith(".")]
    for shard in shards:  # whole shards of a corpus that is not
        assert len(list(corpus_module.Shard(shard))) == VIDEOS


@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [(ShardWriter, "add", VIDEOS), (os, "fsync", 2), (os, "replace", 2), (Path, "replace", 1)],
)
def test_killed_after_each_video_and_at_each_step_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, calls: int
) -> None:
    root = tmp_path / "corpus"
    monkeypatch.setenv("OUT", str(root))
    for call in range(1, calls + 1):
        process = forked(killed_at(call, owner, name))
        assert exit_status(process) == 128 + signal.SIGKILL
        assert_whole_or_absent(root)
    if not root.exists():
        synthesize(root, PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    assert list(faults(root)) == []


def test_killed_at_random_moments(tmp_path: Path) -> None:
    root, generator = tmp_path / "corpus", random.Random(0)
    for _ in range(int(os.environ.get("HIGHLIGHT_LIT_KILLS", "5"))):
        process = forked(lambda: synthesize(root, Plan(topics=2, videos=60, rank=2, Dv=64, Da=32)))
        time.sleep(generator.uniform(0, 0.3))
        os.kill(process, signal.SIGKILL)
        assert exit_status(process) in (0, 128 + signal.SIGKILL)
        assert root.exists() or all(path.name.startswith(".") for path in tmp_path.iterdir())
        if root.exists():
            assert list(faults(root)) == []
            break
