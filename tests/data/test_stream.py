"""The streamed store gives what the resident one gives, in bounded memory, and says which file is at fault."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from highlight_lit.data import readers as readers_module
from highlight_lit.data import stream as stream_module
from highlight_lit.data.batches import BagLoader, Bags, EpochPlan
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.data.rows import CorpusRows, Part
from highlight_lit.data.shard import Shard
from highlight_lit.data.stream import AHEAD, StreamStore
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.data.video import Video
from highlight_lit.errors import InputError
from tests.processes import readers_of, running

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
@pytest.mark.parametrize("readers", [0, 1, 3])
def test_it_gives_the_resident_stores_bags_to_the_bit_for_any_number_of_readers(
    corpus: Corpus, streams: tuple[str, ...], readers: int
) -> None:
    expected = epochs(corpus, "resident", 0, streams)
    found = epochs(corpus, "stream", readers, streams)
    assert len(found) == len(expected) > 3
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def test_there_may_be_more_readers_than_bags(corpus: Corpus) -> None:
    found, expected = (
        epochs(corpus, store, readers, pairs=1, count=1) for store, readers in (("stream", 5), ("resident", 0))
    )
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def test_it_takes_the_same_statistics(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    for most in (1 << 20, 500):
        monkeypatch.setattr("highlight_lit.data.moments.STATISTICS_CLIPS", most)
        resident, stream = (
            HighlightData(corpus, "topic01", STREAMS, store=store).statistics() for store in ("resident", "stream")
        )
        assert all(torch.equal(a, b) for name in STREAMS for a, b in zip(resident[name], stream[name], strict=True))


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


def test_auto_streams_what_would_not_fit(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 10**9
    monkeypatch.setattr("highlight_lit.data.datamodule._room", lambda device: room)
    assert not isinstance(HighlightData(corpus, "topic01", STREAMS).store, StreamStore)
    room = 10**3
    assert isinstance(HighlightData(corpus, "topic01", STREAMS).store, StreamStore)


def test_no_more_batches_are_read_ahead_than_stated(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    take = StreamStore.take
    monkeypatch.setattr(StreamStore, "take", lambda *words: taken.append(1) or take(*words))
    videos = np.arange(len(corpus))
    plan = EpochPlan(corpus.clips, videos[:10], videos[10:], tau=5, pairs=1, seed=0)
    loader = BagLoader(plan, StreamStore(corpus, videos, STREAMS, readers=2))
    for number, _ in enumerate(loader, 1):
        assert len(taken) <= number + AHEAD
    loader.close()


@pytest.fixture
def copied(small_corpus: Path, tmp_path: Path) -> Path:
    """A corpus that may be damaged."""
    return Path(shutil.copytree(small_corpus, tmp_path / "copy"))


def without_block_sums(path: Path) -> None:
    """Make a shard one as they were before there were any; its manifest too."""
    size = path.stat().st_size
    with h5py.File(path, "r+") as file:
        for name in STREAMS:
            del file[f"{name}_check"]
    manifest = path.with_name("manifest.json")
    manifest.write_text(manifest.read_text().replace(f": {size},", f": {path.stat().st_size},"))


def test_a_shard_that_keeps_only_the_librarys_checksums_is_read_alike(copied: Path, corpus: Corpus) -> None:
    without_block_sums(copied / "shard-00000.h5")
    found, expected = epochs(Corpus(copied), "stream", 2), epochs(corpus, "resident", 0)
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))


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
@pytest.mark.parametrize("readers", [0, 2])
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


@pytest.mark.parametrize("kept", ["block sums", "the library's alone"])
def test_any_flipped_bit_of_a_row_is_an_error_with_either_store(copied: Path, kept: str) -> None:
    path = copied / "shard-00000.h5"
    if kept != "block sums":
        without_block_sums(path)
    shard, positive = Shard(path), HighlightData(Corpus(copied), "topic01", STREAMS).positive
    layout = shard.layout("visual")
    assert layout is not None
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    for video in generator.choice(positive, 10).tolist():
        row = int(generator.integers(*shard.offsets[[video, video + 1]]))
        chunk, within = divmod(row, layout.rows)
        at = int(layout.offsets[chunk]) + within * layout.row_bytes + int(generator.integers(layout.row_bytes))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << int(generator.integers(8)))]) + whole[at + 1 :])
        for store in ("resident", "stream"):
            with pytest.raises(InputError, match=r"shard-00000\.h5: "):
                epochs(Corpus(copied), store, 2, count=1, tau=1000)


def test_a_value_that_is_not_finite_is_named_with_its_video(copied: Path) -> None:
    without_block_sums(copied / "shard-00000.h5")
    with h5py.File(copied / "shard-00000.h5", "r+") as file:
        file["visual"][int(file["offsets"][2]) + 1, 3] = np.nan
    with pytest.raises(InputError, match=r"video 'synthetic-000002' \(row 2\): visual: NaN or infinite in clip"):
        epochs(Corpus(copied), "stream", 2, count=9)


def test_a_compressed_shard_is_read_through_the_library(copied: Path, corpus: Corpus) -> None:
    with h5py.File(copied / "shard-00000.h5", "r+") as file:
        rows, attributes = file["visual"][:], dict(file["visual"].attrs)
        del file["visual"]
        file.create_dataset("visual", data=rows, chunks=(64, rows.shape[1]), compression="gzip").attrs.update(
            attributes
        )
    manifest = (copied / "manifest.json").read_text()
    size = (corpus.root / "shard-00000.h5").stat().st_size
    (copied / "manifest.json").write_text(manifest.replace(str(size), str((copied / "shard-00000.h5").stat().st_size)))
    found, expected = epochs(Corpus(copied), "stream", 2), epochs(corpus, "resident", 0)
    assert all(same(one, other) for one, other in zip(found, expected, strict=True))


def stopped(corpus: Corpus, number: signal.Signals) -> list[Bags]:
    """An epoch during which each reader gets a signal after the first batch."""
    data = HighlightData(corpus, "topic01", STREAMS, tau=20, pairs=1, store="stream", readers=2)
    batches = iter(data.train_dataloader())
    found = [next(batches)]
    for process in readers_of(os.getpid()):
        os.kill(process, number)
    try:
        return [*found, *batches]
    finally:
        data.teardown("fit")


def test_a_reader_that_dies_is_an_error_and_not_a_wait(corpus: Corpus) -> None:
    with pytest.raises(InputError, match=r"shard-00000\.h5: the process that read it died .signal 9"):
        stopped(corpus, signal.SIGKILL)
    assert not readers_of(os.getpid())


def test_a_read_that_does_not_come_back_is_given_up_and_named(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "PATIENCE", 0.5)
    with pytest.raises(InputError, match=r"shard-00000\.h5: a read has not come back"):
        stopped(corpus, signal.SIGSTOP)
    assert not readers_of(os.getpid())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_reader_leaves_it_to_the_run_what_a_signal_means(corpus: Corpus, number: signal.Signals) -> None:
    expected = epochs(corpus, "resident", 0, pairs=1, count=1)
    assert all(same(*pair) for pair in zip(stopped(corpus, number), expected, strict=True))


def test_no_reader_stays_when_the_process_that_started_it_is_killed(corpus: Corpus) -> None:
    code = (
        "import sys, time; from pathlib import Path; from highlight_lit.data.corpus import Corpus\n"
        "from highlight_lit.data.datamodule import HighlightData\n"
        "data = HighlightData(Corpus(Path(sys.argv[1])), 'topic01', ('visual',), tau=20, pairs=1, store='stream')\n"
        "batches = iter(data.train_dataloader()); next(batches); print('read', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, corpus.root], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"read\n"
        started = readers_of(process.pid)
        process.kill()
    assert len(started) == 2
    until = time.monotonic() + 20
    while any(running(reader) for reader in started):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_memory_is_used_again_batch_after_batch(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    new = stream_module.Block.__init__
    monkeypatch.setattr(stream_module.Block, "__init__", lambda *words, **more: made.append(1) or new(*words, **more))
    for readers in (0, 2):
        made.clear()
        videos = np.arange(len(corpus))
        plan = EpochPlan(corpus.clips, videos[:11], videos[11:], tau=5, pairs=2, seed=0)
        loader = BagLoader(plan, StreamStore(corpus, videos, STREAMS, readers=readers))
        for epoch in range(10):
            loader.set_epoch(epoch)
            for _ in loader:
                pass
        loader.close()
        assert len(made) <= AHEAD + 2


def test_bags_that_are_kept_stay_as_they_are(corpus: Corpus) -> None:
    kept = epochs(corpus, "stream", 2, count=6)
    assert all(same(*pair) for pair in zip(kept, epochs(corpus, "resident", 0, count=6), strict=True))


def whole_shard(shard: Shard) -> Part:
    return Part(np.zeros(1, int), np.zeros(1, int), np.zeros(1, int), np.zeros(1, int), shard.offsets[-1:])


def test_random_edits_of_a_shard_end_in_a_clean_error_or_in_correct_rows(
    tmp_path: Path, make_video: Callable[..., Video]
) -> None:
    from highlight_lit.data.shard_writer import ShardWriter
    from highlight_lit.data.video import Stream

    path = tmp_path / "s.h5"
    with ShardWriter(path, {"visual": Stream(4, dtype="float32"), "audio": Stream(3, dtype="float32")}, 1.0) as writer:
        for name in "abc":
            writer.add(make_video(name, clips=7))
    whole, generator = path.read_bytes(), np.random.default_rng(0)
    expected = {name: Shard(path).rows(name, 0, 21) for name in STREAMS}
    refused: list[str] = []
    for _ in range(int(os.environ.get("HIGHLIGHT_LIT_FUZZ", "200"))):
        edited = bytearray(whole)
        for at in generator.integers(0, len(whole), generator.integers(1, 4)):
            edited[at] = generator.integers(256)
        path.write_bytes(edited if generator.random() < 0.8 else edited[: generator.integers(len(edited))])
        try:
            shard = Shard(path)
            rows = CorpusRows([shard], STREAMS)
            for name in STREAMS:
                ours = np.zeros((shard.offsets[-1], shard.streams[name].width), shard.streams[name].dtype)
                rows.read(whole_shard(shard), {name: ours[None]})
                theirs = shard.rows(name, 0, len(ours))
                assert ours.tobytes() == theirs.tobytes()
                if shard.offsets[-1] == 21 and ours.shape == expected[name].shape:
                    assert ours.tobytes() == expected[name].tobytes()
            list(shard)
            shard.close()
        except InputError as error:
            refused.append(str(error))
    assert refused
    assert not any("\n" in line for line in refused)


def test_a_corpus_in_many_shards_streams_too(tmp_path: Path) -> None:
    synthesize(tmp_path / "one", Plan(topics=2, videos=8, rank=2, Dv=6, Da=4))
    one = Corpus(tmp_path / "one")
    from highlight_lit.data.corpus import write_corpus

    write_corpus(tmp_path / "many", one.shards[0], one.streams, name="many", clip_seconds=1.0, shard_bytes=3000)
    many = Corpus(tmp_path / "many")
    assert len(many.shards) > 3
    found, expected = epochs(many, "stream", 2), epochs(one, "resident", 0)
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))


def test_no_more_shards_are_open_at_a_time_than_stated(
    tmp_path: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from highlight_lit.data import shard
    from highlight_lit.data.corpus import write_corpus

    write_corpus(tmp_path / "many", corpus.shards[0], corpus.streams, name="many", clip_seconds=1.0, shard_bytes=15000)
    monkeypatch.setattr(shard, "MOST_OPEN", 3)
    many = Corpus(tmp_path / "many")
    assert len(many.shards) > 6
    for store in ("resident", "stream"):
        assert all(same(*pair) for pair in zip(epochs(many, store, 2), epochs(corpus, store, 2), strict=True))
    assert sum(one._handle is not None for one in many.shards) <= 3
    opened = [
        os.readlink(f"/proc/self/fd/{file}")
        for file in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{file}")
    ]
    assert sum(str(many.root) in path for path in opened) <= 3
