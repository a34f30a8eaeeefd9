"""A corpus is there whole or not at all: where a video is refused, and where its writer is killed, which can be run again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from highlight_lit.data.corpus import write_corpus
from highlight_lit.data.corpus.faults import faults
from highlight_lit.data.shards import Shard, ShardWriter
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from tests.real_processes import exit_status, forked

PLAN = Plan(topics=2, videos=6, rank=2, Dv=6, Da=4)
VIDEOS = 12


def write(root: Path, videos: list[Video], **options: int) -> None:
    streams = {"visual": Stream(4), "audio": Stream(3)}
    write_corpus(root, videos, streams, name="test", clip_seconds=1.0, **options)  # type: ignore[arg-type]


def test_the_same_id_in_two_shards_is_refused_and_nothing_is_written(
    tmp_path: Path, make_video: Callable[..., Video]
) -> None:
    with pytest.raises(InputError, match="video 'one': id: occurs twice"):
        write(tmp_path / "c", [make_video(), make_video()], shard_bytes=1)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_in_the_last_video_leaves_nothing_half_written(
    tmp_path: Path, make_video: Callable[..., Video]
) -> None:
    with pytest.raises(InputError):
        write(tmp_path / "c", [make_video("a"), make_video("b", visual=None)], shard_bytes=1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_written_over(tmp_path: Path, several: list[Video]) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        write(tmp_path, several)
    assert (tmp_path / "mine.txt").read_text() == "precious"


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
        assert len(list(Shard(shard))) == VIDEOS


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
