"""Labels of one's own into a corpus that is there: `labels.csv`, whose rules `common.label_table` tells.

The shards are made anew under other names, features as they are, and become the corpus' when its manifest is replaced:
at any moment the corpus is whole, with its labels of before or with these.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from highlight_lit.data.corpus import SHARD_BYTES, Corpus, write_shards
from highlight_lit.data.importers.common.label_table import lay, read_labels
from highlight_lit.data.importers.common.source import Report
from highlight_lit.data.manifest import MANIFEST, write_manifest
from highlight_lit.data.video import Labels, Video
from highlight_lit.errors import InputError
from highlight_lit.text import a_few, say

PURPOSE = "labels.csv (video,start,end,label) into a corpus that is there"
OUT = ("--into", "the corpus that gets the labels")
_MADE = re.compile(r"labelled-(\d+)-\d{5}\.h5")
_KEPT = ("format", "version", "name", "topics", "shards", "benchmark")  # of the manifest: written anew


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `import labels`."""
    parser.add_argument("--replace", action="store_true", help="drop the labels that the corpus has")
    parser.add_argument("--allow-unmatched", action="store_true", help="leave out labels of videos that are not in it")


def import_corpus(
    source: Path, out: Path, *, replace: bool = False, allow_unmatched: bool = False, report: Report = say
) -> None:
    """Give a corpus labels.

    Args:
        source: The csv.
        out: The corpus.
        replace: Whether labels that it has are dropped, all of them; else they are an error.
        allow_unmatched: Whether labels of other videos are reported and left out, not refused.
        report: Called with a line for each oddity and a closing line.

    Raises:
        InputError: Anything that cannot be used, a corpus that has labels, or one that cannot be written.
    """
    table, corpus = read_labels(source), Corpus(out)
    _check_clock(corpus)
    there = int(corpus.labelled().sum())
    if there and not replace:
        raise InputError(f"{out}: {there} videos have labels already; --replace drops them all")
    labels = lay(table, _durations(corpus), allow_unmatched, report)
    if there:
        report(f"{out}: the labels of {there} videos are replaced")
    tell_unjudged(corpus, labels, str(source), report)
    try:
        _rewrite(corpus, labels, table.kind)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error
    segments = sum(len(found.span) for found in labels.values())
    report(f"{out}: {segments} labelled segments of {len(labels)} of {len(corpus)} videos")


def relabelled(corpus: Corpus, path: Path | None, report: Report) -> Corpus:
    """The corpus, open, with the labels of a csv in place of its own, if one is given; nothing is written.

    Raises:
        InputError: The csv cannot be used, or holds none of the videos.
    """
    if path is not None:
        _check_clock(corpus)
        table = read_labels(path)
        labels = lay(table, _durations(corpus), True, report)
        tell_unjudged(corpus, labels, str(path), report)
        corpus.label_by(labels, table.kind)
    return corpus


def _durations(corpus: Corpus) -> dict[str, float]:
    return dict(zip((name.decode() for name in corpus.ids), corpus.duration.tolist(), strict=True))


def _check_clock(corpus: Corpus) -> None:
    if corpus.manifest.get("clock") == "nominal":
        raise InputError(
            f"{corpus.root}: clock: its spans are frames, not seconds; expected one imported with frame rates"
        )


def tell_unjudged(corpus: Corpus, labels: dict[str, Labels], where: str, report: Report) -> None:
    """Report the labelled videos that no evaluation takes: without a tag, or on the training list."""
    tagged = np.concatenate([np.diff(shard.tag_offsets()) > 0 for shard in corpus.shards])
    listed = np.isin(corpus.split, ("val", "test"))
    taken = tagged & (listed if listed.any() else True)
    ids = {name.decode() for name in corpus.ids[~taken]}
    if left := [name for name in labels if name in ids]:
        report(
            f"{where}: {len(left)} labelled videos have no tag, or are not on the validation and test lists: they are not "
            f"judged: {a_few(left)}"
        )


def _rewrite(corpus: Corpus, labels: dict[str, Labels], kind: str) -> None:
    """Write the shards with these labels, and make them the corpus'."""
    root, before = corpus.root.resolve(), {entry["file"] for entry in corpus.manifest["shards"]}
    made = [found for path in root.iterdir() if (found := _MADE.fullmatch(path.name))]
    for path in [root / found[0] for found in made if found[0] not in before]:  # of a run that was killed
        path.unlink()
    generation = 1 + max((int(found[1]) for found in made), default=0)
    partial = root / ".labelled"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        clip_seconds = corpus.shards[0].clip_seconds
        name = f"labelled-{generation}-{{:05d}}.h5"
        write_shards(partial, _videos(corpus, labels), corpus.streams, clip_seconds, SHARD_BYTES, name)
        facts = {key: value for key, value in corpus.manifest.items() if key not in _KEPT}
        write_manifest(
            partial,
            corpus.manifest["name"],
            corpus.manifest["topics"],
            **{"clock": "exact", **facts, "benchmark": kind},
        )
        Corpus(partial)
        for path in partial.glob("*.h5"):
            os.replace(path, root / path.name)
        os.replace(partial / MANIFEST, root / MANIFEST)
        for old in before:
            (root / old).unlink(missing_ok=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _videos(corpus: Corpus, labels: dict[str, Labels]) -> Iterator[Video]:
    for shard in corpus.shards:
        for video in shard:
            yield replace(video, labels=labels.get(video.id))
        shard.close()
