"""The streamed store gives what the resident one gives, in bounded memory, and says which file is at fault."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from highlight_lit.data import statistics as statistics_module
from highlight_lit.data.batch import Bags
from highlight_lit.data.corpus import Corpus, write_corpus, write_manifest
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.data.loaders import BagLoader, VideoLoader
from highlight_lit.data.sampling import EpochPlan
from highlight_lit.data.statistics import statistics
from highlight_lit.data.stores import reading
from highlight_lit.data.stores.blocks import Block
from highlight_lit.data.stores.stream import AHEAD, StreamStore
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from tests.data.shards.forge import as_other_tools, as_version_1, forge_rows
from tests.real_processes import python, until

STREAMS = ("visual", "audio")


def epochs(
    corpus: Corpus, store: str, readers: int, streams: tuple[str, ...] = STREAMS, count: int = 3, **more: int
) -> list[Bags]:
    options = {"tau": 20, "pairs": 4, **more}
    data = HighlightData(corpus, "topic01", streams, store=store, readers=readers, **options)
    loader = data.train_dataloader()
    found = []
    for epoch in range(count):
        loader.set_epoch(epoch)
        found += list(loader)
    data.teardown("fit")
    return found


def same(one: Bags, other: Bags) -> bool:
    return all((a is None and b is None) or torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("streams", [STREAMS, ("visual",), ("audio",)])
@pytest.mark.parametrize("readers", [1, 3, 12])
def test_it_gives_the_resident_stores_bags_to_the_bit_for_any_number_of_threads(
    corpus: Corpus, streams: tuple[str, ...], readers: int
) -> None:
    expected = epochs(corpus, "resident", 1, streams)
    found = epochs(corpus, "stream", readers, streams)
    assert len(found) == len(expected) > 3
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def test_statistics_are_those_of_the_rows_and_leave_out_clips_without_audio(
    tmp_path: Path, make_video: Callable[..., Video], monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [5000, 3000, 7, 4100]
    masks = [np.arange(n) % 3 > 0 for n in clips]
    videos = [make_video(str(n), n, audio_mask=mask) for n, mask in zip(clips, masks, strict=True)]
    streams = {"visual": Stream(4, dtype="float32"), "audio": Stream(3, dtype="float32")}
    write_corpus(tmp_path / "c", videos, streams, name="c", clip_seconds=1.0)
    corpus = Corpus(tmp_path / "c")
    rows = np.concatenate([video.audio[mask] for video, mask in zip(videos, masks, strict=True)]).astype(np.float64)  # type: ignore[index]
    mean, std = statistics(corpus, np.arange(4), "audio")
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(std, rows.std(0), rtol=1e-5)
    monkeypatch.setattr(statistics_module, "STATISTICS_CLIPS", 7000)  # of 12,107: every second video
    mean, std = statistics(corpus, np.arange(4), "visual")
    assert videos[0].visual is not None
    assert videos[2].visual is not None
    half = np.concatenate([videos[0].visual, videos[2].visual]).astype(np.float64)
    np.testing.assert_allclose(mean, half.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(std, half.std(0), rtol=1e-5)


def test_a_loader_goes_on_where_its_state_says(corpus: Corpus) -> None:
    data = HighlightData(corpus, "topic01", STREAMS, tau=20, pairs=2, store="stream")
    loader = data.train_dataloader()
    loader.set_epoch(1)
    whole = list(loader)
    again = data.train_dataloader()
    again.load_state_dict({"epoch": 1, "batch": 2})
    again.set_epoch(1)
    rest = list(again)
    assert len(rest) == len(whole) - 2
    assert all(same(one, other) for one, other in zip(rest, whole[2:], strict=True))
    assert again.state_dict() == {"epoch": 1, "batch": len(whole)}
    assert len(list(again)) == len(whole)


@pytest.mark.parametrize("store", ["resident", "stream"])
def test_a_batch_that_could_not_be_read_is_the_next_one(
    corpus: Corpus, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = HighlightData(corpus, "topic01", STREAMS, tau=20, pairs=2, store=store)
    whole = list(data.train_dataloader())
    loader = data.train_dataloader()
    batches = iter(loader)
    found, position = [next(batches)], loader.state_dict()
    monkeypatch.setattr(torch, "arange", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(batches)
    monkeypatch.undo()
    assert loader.state_dict() == position == {"epoch": 0, "batch": 1}
    loader.load_state_dict(position)
    found += list(loader)
    assert len(found) == len(whole)
    assert all(same(one, other) for one, other in zip(found, whole, strict=True))


def test_auto_streams_what_would_not_fit(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 10**9
    monkeypatch.setattr("highlight_lit.data.datamodule.resident_budget", lambda device: room)
    assert not isinstance(HighlightData(corpus, "topic01", STREAMS).store, StreamStore)
    room = 10**3
    assert isinstance(HighlightData(corpus, "topic01", STREAMS).store, StreamStore)


def test_no_more_batches_are_read_ahead_than_stated(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    take = StreamStore.take
    monkeypatch.setattr(StreamStore, "take", lambda *words: taken.append(1) or take(*words))
    videos = np.arange(len(corpus))
    plan = EpochPlan(corpus.clips, videos[:10], videos[10:], tau=5, pairs=1, seed=0)
    loader = BagLoader(plan, StreamStore(corpus, STREAMS, readers=2))
    for number, _ in enumerate(loader, 1):
        assert len(taken) <= number + AHEAD
    loader.close()


@pytest.fixture
def copied(small_corpus: Path, tmp_path: Path) -> Path:
    """A corpus that may be damaged."""
    return Path(shutil.copytree(small_corpus, tmp_path / "copy"))


@pytest.mark.parametrize("change", [as_version_1, as_other_tools, partial(as_other_tools, compression="gzip")])
@pytest.mark.parametrize("store", ["resident", "stream"])
def test_a_shard_of_an_older_version_or_of_other_tools_gives_the_same_bags_and_says_so_once(
    copied: Path, corpus: Corpus, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], store: str
) -> None:
    change(copied / "shard-00000.h5")
    write_manifest(copied, "copy")
    found, expected = epochs(Corpus(copied), store, 2), epochs(corpus, "resident", 1)
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "shard-00000.h5: features in chunks" in said[0]


def replaced(path: Path) -> None:
    other = path.with_suffix(".other")
    shutil.copy(path, other)
    os.replace(other, path)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Path.unlink, "cannot be read any more .No such file"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "replaced or changed since it was opened"),
        (replaced, "replaced or changed since it was opened"),
    ],
)
@pytest.mark.parametrize("readers", [1, 2])
def test_a_shard_that_goes_or_changes_while_it_is_read_is_named(
    copied: Path, fault: Callable[[Path], object], says: str, readers: int
) -> None:
    data = HighlightData(Corpus(copied), "topic01", STREAMS, tau=20, pairs=2, store="stream", readers=readers)
    loader = data.train_dataloader()
    batches = iter(loader)
    next(batches)
    fault(copied / "shard-00000.h5")

    def go_on() -> None:
        rest = batches
        for epoch in range(1, 5):
            list(rest)
            loader.set_epoch(epoch)
            rest = iter(loader)

    with pytest.raises(InputError, match=rf"shard-00000\.h5: {says}"):
        go_on()


@pytest.mark.parametrize("store", ["resident", "stream"])
@pytest.mark.parametrize("change", [None, as_version_1])
def test_any_flipped_bit_of_a_row_is_an_error_with_either_store(
    copied: Path, store: str, change: Callable[[Path], None] | None
) -> None:
    path = copied / "shard-00000.h5"
    if change is not None:
        change(path)
        write_manifest(copied, "copy")
    positive = HighlightData(Corpus(copied), "topic01", STREAMS).positive
    with h5py.File(path) as file:
        offsets, rows = file["offsets"][:], file["visual"]
        begin = rows.id.get_offset() or rows.id.get_chunk_info(0).byte_offset
        most = rows.nbytes if rows.chunks is None else rows.id.get_chunk_info(0).size
        row_bytes = rows.dtype.itemsize * rows.shape[1]
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    places = [at for video in positive for at in range(*(offsets[[video, video + 1]] * row_bytes)) if at < most]
    for at in generator.choice(places, 8).tolist():
        data = bytearray(whole)
        data[begin + at] ^= 1 << int(generator.integers(8))
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"shard-00000\.h5: "):
            epochs(Corpus(copied), store, 2, count=1, tau=1000)


@pytest.mark.parametrize("store", ["resident", "stream"])
@pytest.mark.parametrize("change", [None, as_version_1])
def test_a_value_that_is_not_finite_is_named_with_its_video(
    copied: Path, store: str, change: Callable[[Path], None] | None
) -> None:
    path = copied / "shard-00000.h5"
    with h5py.File(path) as file:
        row = int(file["offsets"][2]) + 1
    forge_rows(path, "visual", {(row, 3): np.inf})
    if change is not None:
        change(path)
    write_manifest(copied, "copy")
    with pytest.raises(InputError, match=r"video 'synthetic-000002' \(row 2\): visual: NaN or infinite in clip 1"):
        epochs(Corpus(copied), store, 2, count=9)


class DeadMount:
    """Has reads of features hang from one on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.until, self.after, preadv = threading.Event(), after, os.preadv

        def hanging(*words: Any) -> int:
            self.after -= 1
            if self.after < 0:
                self.until.wait(60)
            return preadv(*words)

        monkeypatch.setattr("highlight_lit.data.shards.rows.os.preadv", hanging)
        monkeypatch.setattr(reading, "READ_TIMEOUT_S", 0.5)


@pytest.mark.parametrize("store", ["resident", "stream"])
@pytest.mark.parametrize("after", [0, 9])
def test_a_read_that_does_not_come_back_is_given_up_and_named(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, store: str, after: int
) -> None:
    mount = DeadMount(monkeypatch, after)
    with pytest.raises(InputError, match=r"shard-00000\.h5: a read has not come back within 0\.5 s; expected a disk"):
        epochs(corpus, store, 2)
    mount.until.set()


@pytest.mark.parametrize("after", [0, 5])
@pytest.mark.parametrize("what", ["statistics", "videos"])
def test_a_read_before_or_after_training_that_does_not_come_back_is_given_up_too(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, what: str, after: int
) -> None:
    mount, videos = DeadMount(monkeypatch, after), np.arange(len(corpus))
    monkeypatch.setattr(reading, "PART_ROWS", 8)
    reads = {
        "statistics": lambda: statistics(corpus, videos, "visual", 2),
        "videos": lambda: list(VideoLoader(corpus, videos, STREAMS)),
    }
    with pytest.raises(InputError, match=r"shard-00000\.h5: a read has not come back within 0\.5 s; expected a disk"):
        reads[what]()
    mount.until.set()


@pytest.mark.parametrize("change", [None, as_version_1])
@pytest.mark.parametrize("readers", [1, 3])
@pytest.mark.parametrize("piece", [1, 7, 1024])
def test_whole_videos_are_their_rows_whatever_they_are_read_in(
    copied: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None] | None, readers: int, piece: int
) -> None:
    if change is not None:
        change(copied / "shard-00000.h5")
        write_manifest(copied, "copy")
    monkeypatch.setattr(reading, "PIECE_ROWS", piece)
    corpus = Corpus(copied)
    videos = np.array([5, 0, 3])
    with reading.Readers(readers) as threads:
        rows = reading.whole_videos(corpus, videos, ("visual", "audio"), threads)
    for name, part in rows.items():
        expected = np.concatenate([corpus.rows(video, name) for video in videos])
        assert part.dtype == expected.dtype
        assert np.array_equal(part, expected)


def test_a_process_with_a_read_that_hangs_ends(corpus: Corpus) -> None:
    code = (
        "import os, sys, time; from highlight_lit.data.stores import reading; from highlight_lit.cli import main\n"
        "reading.READ_TIMEOUT_S, left, preadv = 1.0, [200], os.preadv\n"
        "def hanging(*words):\n    left[0] -= 1\n    time.sleep(600 if left[0] < 0 else 0)\n    return preadv(*words)\n"
        "os.preadv = hanging\n"
        "sys.exit(main(['train', 'data.root=' + sys.argv[1], 'topic=topic01', 'out=' + sys.argv[1] + '-runs', 'tau=8',\n"
        "               'data.pairs=4', 'model.d=8', 'data.store=stream', 'logger=none', 'trainer.max_epochs=100']))"
    )
    ended = subprocess.run(python("-c", code, corpus.root), capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "shard-00000.h5: a read has not come back within 1 s" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_slow_disk_is_not_a_dead_one(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, preadv, turn = epochs(corpus, "resident", 1, count=1), os.preadv, threading.Semaphore(0)
    waits = []

    def reads() -> int:
        return sum(rows.reads for shard in corpus.shards for rows in shard.packed.values())

    class Slow(Future):  # type: ignore[type-arg]
        """Each wait for it runs out, and one read has come back since the one before."""

        def result(self, timeout: float | None = None) -> None:
            if timeout is not None:
                waits.append(timeout)
                before = reads()
                turn.release()
                until(lambda: self.done() or reads() > before, every=0.001)
                if not self.done():
                    raise TimeoutError
            super().result()

    monkeypatch.setattr(reading, "Future", Slow)
    monkeypatch.setattr(
        "highlight_lit.data.shards.rows.os.preadv", lambda *words: turn.acquire(timeout=60) and preadv(*words)
    )
    assert all(same(*pair) for pair in zip(epochs(corpus, "resident", 1, count=1), expected, strict=True))
    assert len(waits) > 5


def test_no_reader_outlives_the_loader_it_was_started_for(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that reads when the interpreter ends aborts the process: its exit status would be 134."""
    preadv = os.preadv
    monkeypatch.setattr("highlight_lit.data.shards.rows.os.preadv", lambda *w: time.sleep(0.005) or preadv(*w))

    def threads() -> set[threading.Thread]:  # those of a loader that is not yet cleared away may end meanwhile
        return {thread for thread in threading.enumerate() if thread.name == "highlight-lit reader"}

    before = threads()
    data = HighlightData(corpus, "topic01", STREAMS, tau=20, pairs=2, store="stream", readers=3)
    batches = iter(data.train_dataloader())
    next(batches)
    assert len(threads() - before) == 3
    data.teardown("fit")
    assert threads() <= before
    for end in (data.train_dataloader, lambda: data.on_exception(ValueError())):  # as Lightning calls them
        loader = data.train_dataloader()
        next(iter(loader))
        assert len(threads() - before) == 3
        end()
        assert threads() <= before


def test_a_batch_that_was_given_up_is_not_read_into_memory_that_others_use(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loader is closed while threads read, and another begins on the same store, again and again."""
    preadv, generator = os.preadv, np.random.default_rng(0)
    slow = lambda *words: time.sleep(generator.choice([0, 0.003])) or preadv(*words)  # noqa: E731
    monkeypatch.setattr("highlight_lit.data.shards.rows.os.preadv", slow)
    data = HighlightData(corpus, "topic01", STREAMS, tau=20, pairs=3, store="stream", readers=2)
    expected = HighlightData(corpus, "topic01", STREAMS, tau=20, pairs=3, store="resident").train_dataloader()
    loader = data.train_dataloader()
    for epoch in range(12):
        for each in (loader, expected):
            each.set_epoch(epoch)
        kept = [bags for bags, _ in zip(loader, range(epoch % 3 + 1), strict=False)]
        loader.close()
        assert all(same(*pair) for pair in zip(kept, expected, strict=False))
    data.teardown("fit")


def test_memory_is_used_again_batch_after_batch(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    new = Block.__init__
    monkeypatch.setattr(Block, "__init__", lambda *words, **more: made.append(1) or new(*words, **more))
    for readers in (1, 2):
        made.clear()
        videos = np.arange(len(corpus))
        plan = EpochPlan(corpus.clips, videos[:11], videos[11:], tau=5, pairs=2, seed=0)
        loader = BagLoader(plan, StreamStore(corpus, STREAMS, readers=readers))
        for epoch in range(10):
            loader.set_epoch(epoch)
            for _ in loader:
                pass
        loader.close()
        assert len(made) <= AHEAD + 2


def test_bags_that_are_kept_stay_as_they_are(corpus: Corpus) -> None:
    kept = epochs(corpus, "stream", 2, count=6)
    assert all(same(*pair) for pair in zip(kept, epochs(corpus, "resident", 1, count=6), strict=True))


def test_a_corpus_in_many_shards_streams_too(tmp_path: Path) -> None:
    synthesize(tmp_path / "one", Plan(topics=2, videos=8, rank=2, Dv=6, Da=4))
    one = Corpus(tmp_path / "one")
    write_corpus(tmp_path / "many", one.shards[0], one.streams, name="many", clip_seconds=1.0, shard_bytes=3000)
    many = Corpus(tmp_path / "many")
    assert len(many.shards) > 3
    found, expected = epochs(many, "stream", 2), epochs(one, "resident", 1)
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))
