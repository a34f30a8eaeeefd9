"""Edits of a shard end in one clean line or in correct rows, never in a crash, a hang or a wrong number.

Damage, random edits, is read as training reads, each case in a process of its own, so that a crash is seen. Forgery, edits
of metadata whose checksums are made to hold, goes through `verify`, whose process may die of it but which itself must say
so. HIGHLIGHT_LIT_FUZZ sets how many cases there are.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.faults import faults
from highlight_lit.data.corpus.manifest import MANIFEST, write_manifest
from highlight_lit.data.shards import Shard, ShardWriter, verify
from highlight_lit.data.shards.format import PACKED
from highlight_lit.data.shards.verify import guarded_faults
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from tests.real_processes import exit_status, forked

CASES = int(os.environ.get("HIGHLIGHT_LIT_FUZZ", "60"))
SECONDS = 60  # of processor time after which a case counts as hung
BYTES = 4 << 30  # of memory that a case may ask for
REFUSED, CORRECT, OTHER, WRONG, MANY_LINES = range(10, 15)  # exit statuses of a case
SIGNATURES = (b"OHDR", b"OCHK", b"FRHP", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"BTIN", b"FAHD", b"FADB", b"EAHD", b"EAIB",
              b"EADB", b"EASB", b"\x89HDF")  # fmt: skip
_MASK = 0xFFFFFFFF


def everything(path: Path) -> list[bytes]:
    """All that a shard holds, as one of a corpus, its packed rows in windows and at once."""
    corpus = Corpus(path.parent)
    [shard] = corpus.shards
    found = [corpus.tagged("dog").tobytes(), corpus.duration.tobytes(), *map(repr, shard.streams.values())]
    for name in PACKED:
        windows = [shard.rows(name, start, min(start + 5, 147)).tobytes() for start in range(0, 147, 5)]
        assert b"".join(windows) == shard.rows(name, 0, 147).tobytes()
        found += windows
    return [*map(_bytes, found), *(repr(video).encode() for video in shard)]


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


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
            span = np.stack([np.arange(49), np.arange(1, 50)], 1).astype(np.float64)
            visual, audio = (generator.normal(size=(49, width)).astype(np.float32) for width in (4, 3))
            writer.add(Video(name, 49.0, ("dog",), span, visual, audio, title=f"Vidéo {name}"))
    write_manifest(path.parent, "fuzz")
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


@pytest.mark.parametrize("listed", [True, False])
def test_random_edits_end_in_a_clean_error_or_in_correct_rows(shard: Path, tmp_path: Path, listed: bool) -> None:
    """With the digest that the manifest lists, and without, as a part of an extraction is read."""
    whole, expected, path = shard.read_bytes(), everything(shard), tmp_path / "s.h5"
    manifest = json.loads((shard.parent / MANIFEST).read_text())
    if not listed:
        del manifest["shards"][0]["digest"]
    found: Counter[int] = Counter()
    for case in range(CASES):
        data = edited(whole, np.random.default_rng([case, CASES]))
        path.write_bytes(data)
        manifest["shards"][0]["bytes"] = len(data)
        (tmp_path / MANIFEST).write_text(json.dumps(manifest))
        result = outcome(path, expected)
        if result in (WRONG, MANY_LINES, OTHER) or result > 128:
            kept = Path(os.environ.get("HIGHLIGHT_LIT_FUZZ_KEEP", str(tmp_path))) / f"case-{case}-{result}.h5"
            kept.write_bytes(data)
            print(kept, signal.Signals(result - 128).name if result > 128 else result)
        found[result] += 1
    print(found)
    assert set(found) <= {REFUSED, CORRECT}
    assert found[REFUSED] > 0


def test_verify_says_in_one_line_each_what_is_wrong_with_forged_shards(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "VERIFY_TIMEOUT_S", 5.0)
    whole = shard.read_bytes()
    places = blocks(whole)
    assert len(places) > 20
    paths = [tmp_path / f"{case:05d}.h5" for case in range(CASES)]
    for case, path in enumerate(paths):
        path.write_bytes(aimed(whole, np.random.default_rng([case, CASES]), places))
    found = list(guarded_faults(paths))
    assert all(line.startswith(str(tmp_path)) and "\n" not in line for line in found)
    assert found
    refused = {line.split(":")[0] for line in found}
    valid = [path for path in paths if str(path) not in refused]
    for path in valid:  # what verify lets pass can be read
        assert (
            exit_status(forked(lambda path=path: [Shard(path).rows(name, 0, 3) for name in Shard(path).streams])) == 0
        )


def test_verify_of_a_corpus_of_valid_shards_finds_nothing(shard: Path) -> None:
    assert list(faults(shard.parent)) == []
