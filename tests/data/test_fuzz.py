"""Random and aimed edits of a shard end in one clean line or in correct rows, never in a crash of the interpreter.

Each case runs in a process of its own, so that a crash or a hang is seen. HIGHLIGHT_LIT_FUZZ sets how many there are.
"""

from __future__ import annotations

import os
import resource
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from highlight_lit.data.corpus import MANIFEST, Corpus
from highlight_lit.data.rows import CorpusRows, Part
from highlight_lit.data.shard_writer import ShardWriter
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.files import write_json
from tests.processes import exit_status, forked

CASES = int(os.environ.get("HIGHLIGHT_LIT_FUZZ", "60"))
SECONDS = 60  # of processor time after which a case counts as hung; the probe's patience is shorter
BYTES = 4 << 30  # of memory that a case may ask for
REFUSED, CORRECT, OTHER, WRONG, MANY_LINES = range(10, 15)  # exit statuses of a case
SIGNATURES = (b"OHDR", b"OCHK", b"FRHP", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"BTIN", b"FAHD", b"FADB", b"EAHD", b"EAIB",
              b"EADB", b"EASB", b"\x89HDF")  # fmt: skip
_MASK = 0xFFFFFFFF


def everything(path: Path) -> list[bytes]:
    """All that a shard holds, as one of a corpus, each row of features read in both ways."""
    entry = {"file": path.name, "videos": 3, "clips": 21, "bytes": path.stat().st_size, "sha256": "0" * 64}
    header = {"format": "highlight-lit corpus", "version": 1, "name": "fuzz", "topics": ["dog"]}
    write_json(path.parent / MANIFEST, {**header, "shards": [entry]})
    corpus = Corpus(path.parent)
    [shard] = corpus.shards
    rows, found = CorpusRows([shard], list(shard.streams)), [corpus.tagged("dog").tobytes(), corpus.duration.tobytes()]
    zero = np.zeros(1, int)
    for name, stream in shard.streams.items():
        ours = np.zeros((int(shard.offsets[-1]), stream.width), stream.dtype)
        rows.read(Part(zero, zero, zero, zero, shard.offsets[-1:]), {name: ours[None]})
        assert ours.tobytes() == shard.rows(name, 0, len(ours)).tobytes()
        found.append(ours.tobytes())
    return [*found, *(repr(video).encode() for video in shard)]


def outcome(path: Path, expected: list[bytes] | None) -> int:
    """How reading a file ends, in a process of its own."""

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        try:
            return CORRECT if everything(path) == expected else OTHER
        except InputError as error:
            return MANY_LINES if "\n" in str(error) or str(path.parent) not in str(error) else REFUSED
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            return WRONG

    return exit_status(forked(work))


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "s.h5"
    generator = np.random.default_rng(0)
    with ShardWriter(path, {"visual": Stream(4, dtype="float32"), "audio": Stream(3, dtype="float32")}, 1.0) as writer:
        for name in "abc":
            span = np.stack([np.arange(7), np.arange(1, 8)], 1).astype(np.float64)
            visual, audio = (generator.normal(size=(7, width)).astype(np.float32) for width in (4, 3))
            writer.add(Video(name, 7.0, ("dog",), span, visual, audio, title=f"Vidéo {name}"))
    return path


def lookup3(data: bytes) -> int:
    """The checksum that the HDF5 library keeps with its metadata (Jenkins' lookup3)."""

    def turn(value: int, by: int) -> int:
        return (value << by | value >> (32 - by)) & _MASK

    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    while len(data) > 12:
        words = np.frombuffer(data[:12], "<u4").tolist()
        a, b, c = (a + words[0]) & _MASK, (b + words[1]) & _MASK, (c + words[2]) & _MASK
        for by in (4, 6, 8, 16, 19, 4):
            a, c = (a - c) & _MASK ^ turn(c, by), (c + b) & _MASK
            a, b, c = b, c, a
        data = data[12:]
    if not data:
        return c
    words = np.frombuffer(data.ljust(12, b"\0"), "<u4").tolist()
    a, b, c = (a + words[0]) & _MASK, (b + words[1]) & _MASK, (c + words[2]) & _MASK
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - turn(b, by)) & _MASK
        a, b, c = b, c, a
    return b  # what was c before the last exchange


def blocks(whole: bytes) -> list[tuple[int, int]]:
    """Where the blocks of metadata start, and where the checksum of each stands."""
    found = []
    for signature in SIGNATURES:
        start = whole.find(signature)
        while start >= 0:
            sizes = [header_size(whole[start:])] if signature == b"OHDR" else range(8, 130)
            for at in (start + size for size in sizes):
                if int.from_bytes(whole[at : at + 4], "little") == lookup3(whole[start:at]):
                    found.append((start, at))
                    break
            start = whole.find(signature, start + 4)
    return found


def header_size(header: bytes) -> int:
    """Bytes of an object's header before its checksum."""
    flags = header[5]
    prefix = 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1)
    width = 1 << (flags & 3)
    return prefix + width + int.from_bytes(header[prefix : prefix + width], "little")


def edited(whole: bytes, generator: np.random.Generator) -> bytes:
    """A few bytes anywhere, or the file cut."""
    if generator.random() < 0.1:
        return whole[: generator.integers(len(whole))]
    data = bytearray(whole)
    for at in generator.integers(0, len(whole), generator.integers(1, 4)):
        data[at] = generator.integers(256)
    return bytes(data)


def aimed(whole: bytes, generator: np.random.Generator, places: list[tuple[int, int]]) -> bytes:
    """A few bytes of one block of metadata, whose checksum is made to hold again."""
    data = bytearray(whole)
    start, end = places[generator.integers(len(places))]
    for _ in range(generator.integers(1, 4)):
        at = int(generator.integers(start + 4, end))
        data[at] = int(
            generator.choice([0, 1, 255, 128, data[at] ^ 1 << int(generator.integers(8)), generator.integers(256)])
        )
    data[end : end + 4] = lookup3(bytes(data[start:end])).to_bytes(4, "little")
    return bytes(data)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("highlight_lit.data.probe.SECONDS", 2)


def run(shard: Path, tmp_path: Path, change: Callable[[bytes, np.random.Generator], bytes]) -> Counter[int]:
    whole, expected, path = shard.read_bytes(), everything(shard), tmp_path / "s.h5"
    found: Counter[int] = Counter()
    for case in range(CASES):
        data = change(whole, np.random.default_rng([case, CASES]))
        path.write_bytes(data)
        result = outcome(path, expected)
        if result in (WRONG, MANY_LINES) or result > 128:
            kept = Path(os.environ.get("HIGHLIGHT_LIT_FUZZ_KEEP", str(tmp_path))) / f"case-{case}-{result}.h5"
            kept.write_bytes(data)
            print(kept, signal.Signals(result - 128).name if result > 128 else result)
        found[result] += 1
    return found


def test_random_edits_end_in_a_clean_error_or_in_correct_rows(shard: Path, tmp_path: Path) -> None:
    found = run(shard, tmp_path, edited)
    print(found)
    assert set(found) <= {REFUSED, CORRECT}
    assert found[REFUSED] > 0


def test_edits_of_metadata_whose_checksums_hold_end_in_a_clean_error_or_in_rows(shard: Path, tmp_path: Path) -> None:
    places = blocks(shard.read_bytes())
    assert len(places) > 20
    found = run(shard, tmp_path, lambda whole, generator: aimed(whole, generator, places))
    print(found)
    assert set(found) <= {REFUSED, CORRECT, OTHER}
    assert found[REFUSED] > 0
