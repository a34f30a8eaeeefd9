"""Check all of a shard: every byte, row and value. In a process of its own, since HDF5 dies of some files made to kill it.

`python -m highlight_lit.data.shards.verify` takes a JSON list of files from standard input and gives lines of JSON, a file's
number and a fault or null: as it begins one, and now and then while it reads, so that a long shard is told from one that hangs.
"""

from __future__ import annotations

import itertools
import json
import os
import selectors
import subprocess
import sys
import tempfile
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
        for name in ("duration", "split", "tag_name", "tag_index", "tag_offsets", "title_offsets", "label_offsets"):
            shard.column(name)
    except InputError as error:
        yield str(error)
        return
    for row in range(shard.videos):
        try:
            fault = shard.video(row).fault(shard.streams)
        except (ValueError, IndexError) as error:
            fault = str(error.args[0]).removeprefix(f"{path}: ")  # as it is: `str` of it would be cut, and made plain
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
        with _process(left) as process, selectors.DefaultSelector() as selector:
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ)
            while (ready := selector.select(VERIFY_TIMEOUT_S)) and (line := process.stdout.readline()):
                at, fault = json.loads(line)
                if fault is not None:
                    yield fault
            if not ready:
                process.kill()
            code = process.wait()
        if code == 0:
            return
        ended = f"within {VERIFY_TIMEOUT_S:g} s ({'signal' if code < 0 else 'status'} {abs(code)})"
        yield f"{left[at]}: damaged or forged: the HDF5 library dies of it, or does not come back {ended}"
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
            command, bufsize=0, stdin=files, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    """Check the files that standard input lists."""
    for number, path in enumerate(json.load(sys.stdin)):
        for fault in itertools.chain([None], faults(Path(path))):
            sys.stdout.write(json.dumps([number, fault]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
