"""The faults of a corpus, found byte by byte and row by row."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from highlight_lit.data.corpus.corpus import Corpus
from highlight_lit.data.corpus.manifest import read_manifest
from highlight_lit.data.shards.verify import guarded_faults
from highlight_lit.errors import InputError
from highlight_lit.text import a_few, say

MOST_FAULTS = 100  # that are printed


def refuse_faults(root: Path) -> None:
    """Check all of a corpus and print its faults, the first of many.

    Raises:
        InputError: It has some; the line says how many.
    """
    lines = list(faults(root))
    if len(lines) == 1:
        raise InputError(lines[0])
    if lines:
        listed = lines[:MOST_FAULTS]
        say(*listed, file=sys.stderr)
        listing = f", the first {len(listed)} listed above" if len(lines) > len(listed) else ", listed above"
        raise InputError(f"{root}: {len(lines)} faults{listing}")


def faults(root: Path) -> Iterator[str]:
    """Yield a line for each fault: the file, the video and its row, the field, what was expected.

    Checks that the manifest is well formed and lists what is there, every row of every video (checksums, NaN and infinite
    values, spans, lengths), labels, and that no id occurs twice. Shards are opened in a process that may die of a forged
    one first, and in this one only if all are valid.
    """
    root = Path(root)
    try:
        manifest = read_manifest(root)
        there = {path.name for path in root.iterdir()}
        labels = [manifest["labels"]] if manifest.get("labels") is not None else []
        listed = [entry["file"] for entry in [*manifest["shards"], *labels]]
        missing = [name for name in listed if name not in there]
        if faulty := bool(missing):
            yield f"{root}: {len(missing)} of {len(listed)} files that the manifest lists are not there: {a_few(missing)}"
        for fault in guarded_faults([root / name for name in listed if name in there]):
            faulty = True
            yield fault
        if not faulty:
            Corpus(root)
    except InputError as error:
        yield str(error)
