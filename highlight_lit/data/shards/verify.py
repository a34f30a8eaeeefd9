"""Check all of a shard: every byte, row and value. In a process of its own, since HDF5 dies of some files made to kill it.

`python -m highlight_lit.data.shards.verify` takes a JSON list of files from standard input and gives a line of JSON for each
file as it is begun, for each fault, and now and then while it reads, so that who started it can tell a long shard from one
that hangs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from highlight_lit.data.shards.reader import Shard
from highlight_lit.errors import InputError

MAX_DEATHS = 8  # of processes, each of a shard: after them no further shard is read
VERIFY_TIMEOUT_S = 60.0  # without a sign of life after which a shard counts as one that hangs the library
_VIDEOS = 64  # between two signs of life


def faults(path: Path) -> Iterator[str | None]:
    """Yield a line for each fault of a shard, and None now and then.

    Checks what opening checks, then every video: checksums, NaN and infinite values, spans, lengths, tags, labels.
    """
    try:
        shard = Shard(path)
        ids = shard.column("id")
        for name in ("duration", "split", "tag_name", "tag_index"):
            shard.column(name)
        shard.tag_offsets()
        if shard.streams and (empty := (shard.offsets[1:] == shard.offsets[:-1])).any():
            raise InputError(
                f"{path}: video {ids[int(empty.argmax())].decode()!r}: span: zero clips; expected at least one"
            )
    except InputError as error:
        yield str(error)
        return
    for row in range(shard.videos):
        try:
            fault = shard.video(row).fault(shard.streams)
        except (InputError, ValueError, IndexError) as error:
            fault = str(error).removeprefix(f"{path}: ")
        if fault is not None:
            named = f"video {ids[row].decode()!r} (row {row}): "
            yield f"{path}: {'' if fault.startswith(named) else named}{fault}"
        if row % _VIDEOS == 0:
            yield None


def guarded_faults(paths: Sequence[Path]) -> Iterator[str]:
    """Yield a line for each fault of some shards, found in processes that may die of them."""
    left, deaths = list(paths), 0
    while left:
        at = 0
        with _process(left) as process:
            for line in _lines(process):
                told = json.loads(line)
                if isinstance(told, int):
                    at = told
                elif told is not None:
                    yield told
            code = process.wait()
        if code == 0:
            return
        ended = f"signal {-code}" if code < 0 else f"status {code}"
        how = f"dies of it, or does not come back within {VERIFY_TIMEOUT_S:g} s"
        yield f"{left[at]}: damaged or forged: the HDF5 library {how} ({ended})"
        left, deaths = left[at + 1 :], deaths + 1
        if left and deaths == MAX_DEATHS:
            yield f"{left[0]}: not read, nor the {len(left) - 1} shards after it: {deaths} before it are damaged or forged"
            return


@contextmanager
def _process(paths: Sequence[Path]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that checks shards, one after the other."""
    command = [sys.executable, "-P", "-m", "highlight_lit.data.shards.verify"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as files:
        files.write(json.dumps([os.fspath(path) for path in paths]).encode())
        files.seek(0)
        process = subprocess.Popen(
            command, stdin=files, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _lines(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What it says, until it ends; it is killed if it says nothing for too long."""
    assert process.stdout is not None
    while True:
        watch = threading.Timer(VERIFY_TIMEOUT_S, process.kill)
        watch.start()
        try:
            line = process.stdout.readline()
        finally:
            watch.cancel()
        if not line:
            return
        yield line


def main() -> None:
    """Check the files that standard input lists."""
    for number, path in enumerate(json.load(sys.stdin)):
        _tell(number)
        for fault in faults(Path(path)):
            _tell(fault)


def _tell(value: int | str | None) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
