"""Shards are opened first in a process that may die; whatever this process is doing, that one comes back."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from highlight_lit.data import probe as module
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.shard import Shard, library
from highlight_lit.errors import InputError


@pytest.fixture
def shard(small_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_sound", set())
    return small_corpus / "shard-00000.h5"


def in_the_probe(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Have the probe do something else than open a shard."""
    monkeypatch.setattr(module, "_touch", lambda path: do())


def test_a_shard_that_kills_is_named(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_probe(monkeypatch, os.abort)
    with pytest.raises(InputError, match=f"^{shard}: damaged or forged: .*signal 6"):
        module.probe([shard])


def test_a_shard_that_does_not_answer_is_named_in_time(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_probe(monkeypatch, lambda: time.sleep(60))
    monkeypatch.setattr(module, "PATIENCE", 0.5)
    with pytest.raises(InputError, match=f"^{shard}: has not been opened within"):
        module.probe([shard])


class Garbage:
    """Part of a cycle, which kills the process that collects it, unless that is the one that made it."""

    def __init__(self) -> None:
        self.itself, self.owner = self, os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self.owner:
            os.abort()


def test_what_waits_to_be_collected_here_is_not_collected_there(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_probe(monkeypatch, gc.collect)
    gc.disable()
    try:
        Garbage()
        module.probe([shard])
    finally:
        gc.enable()


def test_a_thread_that_holds_the_library_is_waited_for(small_corpus: Path) -> None:
    held, until = threading.Event(), threading.Event()

    def hold() -> None:
        with library:
            held.set()
            until.wait(1.0)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert len(Corpus(small_corpus)) == 40  # hangs if the probe is forked while another thread has the library
    thread.join()
    assert Shard(small_corpus / "shard-00000.h5").videos == 40


def test_a_shard_is_tried_once_as_long_as_it_is_the_same_file(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "shard-00000.h5"
    copy.write_bytes(shard.read_bytes())
    module.probe([shard, copy])
    in_the_probe(monkeypatch, os.abort)
    module.probe([shard, copy])
    copy.write_bytes(shard.read_bytes())
    with pytest.raises(InputError, match=f"^{copy}: damaged or forged"):
        module.probe([shard, copy])


def test_a_shard_that_is_missing_is_left_to_who_opens_it(shard: Path, tmp_path: Path) -> None:
    module.probe([tmp_path / "gone.h5", shard])


def test_of_many_shards_the_one_that_kills_is_named_and_no_process_is_left(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"shard-{number:05d}.h5" for number in range(3 * module.EACH)]
    for path in paths:
        path.write_bytes(shard.read_bytes())
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(module, "_touch", lambda path: os.abort() if path == paths[10] else time.sleep(0.1))
    before = children()
    with pytest.raises(InputError, match=f"^{paths[10]}: damaged or forged"):
        module.probe(paths)
    assert children() == before
    with pytest.raises(InputError, match=f"^{paths[10]}: damaged or forged"):
        module.probe(paths)
    monkeypatch.setattr(module, "_touch", lambda path: None)
    module.probe(paths)
    assert children() == before


def children() -> set[str]:
    """The processes that this one has started and not yet waited for."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
