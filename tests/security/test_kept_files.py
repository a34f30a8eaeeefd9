"""Files that a run, an extraction or a reproduction leaves for itself: another's hand in them is one line, and is not waited for."""

from __future__ import annotations

import copy
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.analyses import cost, planted
from experiments.reproduce import plan

pytest.importorskip("av")
from highlight_lit.data.corpus import write_corpus
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.files import remove_other, remove_tree
from highlight_lit.media.extraction import jobs, parts_folder
from highlight_lit.media.extraction.sources import read_sources
from highlight_lit.processes.locks import alive
from tests.security.made import places

ROW = {"d": 4, "operations": 1.0, "parameters": 1, "memory": 1, "seconds": 0.1}
VALID: dict[str, tuple[Any, Callable[[Path], object]]] = {
    "cost": ({"clips": 3, "full": [ROW, {**ROW, "d": 8}], "low_rank": [{**ROW, "R": 2}, {**ROW, "d": 8, "R": 2}],
              "ranks": [{**ROW, "R": 2}, {**ROW, "R": 4}], "device": "x"}, lambda path: cost.measured(path.parent)),
    "planted": ([{"R": R, "left": 0.5} for R in planted.RANKS], lambda path: planted.measured(path.parent)),
    "plan": ({"format": plan.FORMAT, "version": plan.VERSION, "overrides": ["a"],
              "profile": {"name": "p", "about": "x", "seeds": 1, "overrides": []},
              "corpora": {"abc": {"name": "c", "benchmark": "tvsum", "synthetic": True, "folds": None, "topics": ["t"], "overrides": [],
                                  "examples": [{"topic": "t", "video": "v", "highlights": [[0.0, 1.0]]}]}},
              "studies": {"table1": {"abc": [{"id": "0a", "system": {"model": "proposed", "modality": "av"}, "label": "l", "topic": "t",
                                              "seed": 0}]}}},
             lambda path: plan.read(path.parent)),
    "slice": ({"done": 1, "skipped": 0, "updated": 0, "failed": [["a", "b"]], "notes": [], "seconds": 1.5},
              lambda path: jobs._add(jobs.ExtractionReport(), jobs._read_note(path, "slice 0"))),
    "sources": ({"v": ["a.mp4", 3]}, read_sources),
}  # fmt: skip
OTHERS: list[Any] = [None, True, -1, 10**400, 1e308, "x", "../../a", [], [[]], [["a"]], {}, {"a": {}}]


def _file(kind: str, root: Path) -> Path:
    names = {"cost": cost.FILE, "planted": planted.FILE, "plan": plan.FILE}
    return root / names.get(kind, "a.json")


@pytest.mark.parametrize("kind", VALID)
def test_each_place_with_something_else_is_one_line_or_makes_no_difference(kind: str, tmp_path: Path) -> None:
    """In place of each value, a value of each type; the whole; and what no JSON is."""
    valid, read = VALID[kind]
    path, refused = _file(kind, tmp_path), list[str]()
    path.write_text(json.dumps(valid))
    read(path)
    texts = [json.dumps(other) for other in OTHERS] + ["[" * 100_000, '{"a": 1, "a": 2}', "NaN", "\ud800"]
    for number in range(len(list(places(valid)))):
        for other in OTHERS:
            made = copy.deepcopy(valid)
            holder, key = list(places(made))[number]
            holder[key] = other
            texts.append(json.dumps(made))
    for text in texts:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            read(path)
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > len(texts) / 3
    assert not [line for line in refused if "\n" in line]


@pytest.mark.parametrize("benchmark", ["../../a", "/etc/x", "tvsum/../../a"])
def test_a_plan_leads_to_no_other_folder(benchmark: str, tmp_path: Path) -> None:
    made = copy.deepcopy(VALID["plan"][0])
    made["corpora"]["abc"]["benchmark"] = benchmark
    (tmp_path / plan.FILE).write_text(json.dumps(made))
    with pytest.raises(InputError, match=r"corpora\.abc\.benchmark: expected one of"):
        plan.read(tmp_path)


@pytest.mark.parametrize("what", ["link", "dangling", "pipe", "folder"])
def test_something_else_in_the_place_of_the_lock_of_an_extraction_is_refused(what: str, tmp_path: Path) -> None:
    """A link to where no file can be made was tried again and again."""
    lock = tmp_path / "c" / parts_folder.PARTS / ".lock"
    lock.parent.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("kept")
    if what == "pipe":
        os.mkfifo(lock)
    elif what == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(victim if what == "link" else tmp_path / "nowhere" / "x")
    with pytest.raises(InputError, match="cannot be written"), parts_folder.held(tmp_path / "c"):
        pass
    parts_folder.remove_lock(tmp_path / "c")
    assert victim.read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("what", ["pipe", "link", "file", "nothing", "folder"])
def test_a_folder_alone_is_removed_with_all_in_it_and_no_pipe_is_waited_for(what: str, tmp_path: Path) -> None:
    left, kept = tmp_path / "left", tmp_path / "kept"
    kept.mkdir()
    (kept / "precious").write_text("kept")
    {"pipe": lambda: os.mkfifo(left), "link": lambda: left.symlink_to(kept), "file": lambda: left.write_text("x"),
     "nothing": lambda: None, "folder": lambda: (left / "a").mkdir(parents=True)}[what]()  # fmt: skip
    if what == "folder":
        os.mkfifo(left / "pipe")
        (left / "link").symlink_to(kept)
    remove_tree(left)
    assert os.path.lexists(left) == (what in ("pipe", "link", "file"))
    assert (kept / "precious").read_text() == "kept"


def test_a_pipe_in_the_place_of_a_corpus_that_is_being_written_is_not_waited_for(
    tmp_path: Path, make_video: Callable[..., Any]
) -> None:
    os.mkfifo(tmp_path / ".corpus.partial")
    streams = {"visual": Stream(4), "audio": Stream(3)}
    with pytest.raises(InputError, match="corpus: cannot be written"):
        write_corpus(tmp_path / "corpus", [make_video()], streams, name="c", clip_seconds=1.0)


@pytest.mark.parametrize("process", [2**22 + 1, 10**20])
def test_a_pipe_in_the_place_of_notes_of_a_sweep_that_was_killed_is_not_waited_for(
    process: int, quick_train: Callable[..., int], tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    left = tmp_path / "runs" / f".sweep-{socket.gethostname()}-{process}-a"
    os.mkfifo(left)
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "runs/multirun.yaml").symlink_to(tmp_path / "victim")
    assert quick_train("seed=0", "trainer.max_epochs=1", multirun=True) == 0
    assert left.is_fifo()
    assert (tmp_path / "victim").read_text() == "precious"  # Hydra would have written over it


@pytest.mark.parametrize("kind", ["link", "pipe", "file", "folder", "nothing"])
def test_what_a_library_would_follow_or_wait_for_is_removed_alone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    (tmp_path / "victim").write_text("precious")
    {"link": lambda: path.symlink_to(tmp_path / "victim"), "pipe": lambda: os.mkfifo(path), "file": path.touch,
     "folder": path.mkdir, "nothing": lambda: None}[kind]()  # fmt: skip
    remove_other(path)
    assert path.exists() == (kind in ("file", "folder"))
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_process_of_any_number_is_looked_for() -> None:
    assert alive(os.getpid())
    assert not alive(10**30)
