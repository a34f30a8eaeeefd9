"""Changed manifests, sidecars, tables, score files and arrays, for `fuzz`: each is read as the product reads it."""

from __future__ import annotations

import copy
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.importers import npy, npz
from highlight_lit.data.importers.common.label_table import labels_of, read_labels
from highlight_lit.data.importers.common.video_table import video_rows
from highlight_lit.data.importers.labels import import_corpus as import_labels
from highlight_lit.data.topics.counts import topics_of
from highlight_lit.data.video import Stream
from highlight_lit.evaluation.scores import matched
from highlight_lit.evaluation.scores_csv import read_scores
from highlight_lit.inference.feature_files import videos_of
from highlight_lit.media.extraction.sidecar import read_csv, read_info_json

Case = Callable[[random.Random], None]
CELLS = ["", "0", "1", "-1", "2.5", "1e308", "-1e308", "1e-320", "nan", "inf", "1e999", "10" * 400, "a", "b", "A", "..", "../a", "a/b",
         "a,b", "x;y", ";", '"', "'", "\x1b[2J", "\n", "\r", "\0", "\ud800", "é", "e\u0301", "\u202e", "=1+1", "${oc.env:HOME}", "train",
         "val", "x" * 600, "\ufeff", " a ", "[bold]"]  # fmt: skip
HEADERS = [
    "|bytes", "<f4", ">f8", "<f2", "|O", "<c8", "<i8", "|V4", "|S3", "<M8[s]", "|b1", "<U2", [("a", "<f4")], "<f4,<f4", "f" * 999, None, 3,
]  # fmt: skip


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Sometimes some bytes other than they were, or too few or many."""
    if draw.random() < 0.3 and content:
        at = draw.randrange(len(content))
        content = (
            content[:at]
            + bytes(draw.randrange(256) for _ in range(draw.randrange(4)))
            + content[at + draw.randrange(4) :]
        )
    return content


def manifests(folder: Path, change: Callable[[random.Random, Any, bool], None]) -> Case:
    """Open a corpus with a changed manifest, its labels in a file of their own, and count its topics."""
    root = folder / "changed"
    shutil.copytree(folder / "corpus", root, dirs_exist_ok=True)
    table = folder / "l.csv"
    name = Corpus(root).ids[0].decode()
    table.write_text(f"video,start,end,label\n{name},0,1,1\n")
    import_labels(table, root, replace=True, report=lambda line: None)
    whole = json.loads((root / "manifest.json").read_text())

    def case(draw: random.Random) -> None:
        made = copy.deepcopy(whole)
        change(draw, made, False)
        (root / "manifest.json").write_bytes(damaged(draw, json.dumps(made).encode("utf-8", "surrogatepass")))
        corpus = Corpus(root)
        topics_of(corpus)
        for video in range(min(2, len(corpus))):  # one where the labels are listed as the shard
            corpus.labels(video)

    return case


def sidecars(folder: Path, change: Callable[[random.Random, Any, bool], None]) -> Case:
    """Read what yt-dlp writes, changed."""
    whole = {
        "id": "a",
        "title": "T",
        "tags": ["dog", "cat"],
        "duration": 12.5,
        "description": "x",
        "formats": [{"url": "y"}],
    }

    def case(draw: random.Random) -> None:
        made = copy.deepcopy(whole)
        change(draw, made, False)
        (folder / "a.info.json").write_bytes(damaged(draw, json.dumps(made).encode("utf-8", "surrogatepass")))
        found = read_info_json(folder / "a.info.json")
        for text in (found.id, found.title, *found.tags):
            assert not text or text.isprintable()
            text.encode()

    return case


def table(draw: random.Random, columns: list[str], rows: list[list[str]]) -> bytes:
    """A csv with some cells, columns and rows other than they were."""
    made = [list(columns), *(list(row) for row in rows)]
    for _ in range(draw.randrange(3)):
        row = draw.choice(made if draw.random() < 0.1 else made[1:])
        at = draw.randrange(len(row)) if row else 0
        what = draw.random()
        if what < 0.8 and row:
            row[at] = draw.choice(CELLS) + draw.choice(["", "", "", draw.choice(CELLS)])
        elif what < 0.9:
            row.insert(at, draw.choice(CELLS))
        else:
            made.append(list(row))
    quoted = [
        '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n\r') and draw.random() < 0.8 else cell
        for row in made
        for cell in row
    ]
    left = iter(quoted)
    text = "\n".join(",".join(next(left) for _ in row) for row in made) + "\n"
    encoding = draw.choice(["utf-8"] * 8 + ["utf-16", "utf-8-sig", "latin-1"])
    return damaged(draw, text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace"))


def tables(folder: Path) -> Case:
    """Read a changed table of videos, as importers and as `extract` do."""
    path = folder / "v.csv"

    def case(draw: random.Random) -> None:
        first, read = draw.choice([("id", lambda: video_rows(path, durations=True)), ("video", lambda: read_csv(path))])
        rows = [["a", "x;y", "T", "3", "train"], ["b", "z", "", "4.5", ""]]
        path.write_bytes(table(draw, [first, "tags", "title", "duration", "split"], rows))
        assert read()  # type: ignore[no-untyped-call]

    return case


def labels(folder: Path) -> Case:
    """Read a changed table of labels, and lay it over two videos."""
    path = folder / "l.csv"

    def case(draw: random.Random) -> None:
        rows = [
            ["a", "0", "1.5", "1", "x"],
            ["a", "2", "3", "0", "y"],
            ["b", "0", "2", "1", "x"],
            ["b", "0", "4", "0", "y"],
        ]
        path.write_bytes(table(draw, ["video", "start", "end", "label", "annotator"], rows))
        for of in labels_of(read_labels(path), {"a": 10.0, "b": 4.0}, draw.random() < 0.5, lambda line: None).values():
            assert of.fault() is None

    return case


def scores(folder: Path) -> Case:
    """Read a changed file of scores, and match it with the corpus."""
    path, corpus = folder / "s.csv", Corpus(folder / "corpus")
    names = [name.decode() for name in corpus.ids[:2]]

    def case(draw: random.Random) -> None:
        rows = [[name, str(clip), str(clip + 1), str(clip / 3), str(clip)] for name in names for clip in range(3)]
        path.write_bytes(table(draw, ["video", "start", "end", "score", "logit"], rows))
        for of in matched(read_scores(path), corpus, "s.csv", lambda line: None).values():
            assert np.isfinite(of.span).all()
            assert np.isfinite(of.ranking).all()

    return case


def array(draw: random.Random) -> bytes:
    """A .npy file, sometimes with another header than its numbers have."""
    rows = np.full(
        [draw.randrange(1, 5), 3],
        draw.choice([1.0, 1.0, 1.0, 1e6, np.nan, np.inf]),
        draw.choice(["f2", "f4", "f8", ">f4"]),
    )
    file = io.BytesIO()
    np.save(file, np.asfortranarray(rows) if draw.random() < 0.3 else rows)
    if draw.random() < 0.5:
        return damaged(draw, file.getvalue())
    shape = draw.choice(
        [
            rows.shape,
            (10**12, 3),
            (3, 10**12),
            (2**62, 2**62),
            (-1, 3),
            (0, 3),
            (3,),
            (),
            (1, 3, 1),
            (2, 3.0),
            "x",
            (True, 3),
        ]
    )
    header = {
        "descr": draw.choice([*HEADERS, "<f4", "<f4"]),
        "fortran_order": draw.choice([True, False, 0]),
        "shape": shape,
    }
    text = repr(header).encode() + b" " * draw.randrange(40) + b"\n"
    version = draw.choice([1, 1, 1, 2, 3, 9])
    length = len(text) + draw.choice([0] * 8 + [-3, 5, 60_000])
    size = length.to_bytes(2 if version == 1 else 4, "little", signed=False)
    return damaged(draw, b"\x93NUMPY" + bytes([version, 0]) + size + text + rows.tobytes())


def arrays(folder: Path) -> Case:
    """Import and score from changed .npy and .npz files."""
    source, out = folder / "arrays", folder / "arrays-out"
    (source / "visual").mkdir(parents=True, exist_ok=True)
    (folder / "one").mkdir(exist_ok=True)
    (folder / "rows.csv").write_text("id,duration,tags\na,4,x\n")
    streams = {"visual": Stream(3, dtype="float32")}

    def read(path: Path) -> None:
        for rows in videos_of([path], streams)[0].read(streams).values():
            assert np.asarray(rows[:]).ndim == 2

    def case(draw: random.Random) -> None:
        shutil.rmtree(out, ignore_errors=True)
        which = draw.randrange(4)
        if which == 0:
            (source / "visual/a.npy").write_bytes(array(draw))
            npy.import_corpus(source, out, videos=folder / "rows.csv", report=lambda line: None)
        elif which == 1:
            (folder / "b.npy").write_bytes(array(draw))
            read(folder / "b.npy")
        else:
            path = folder / "one" / "a.npz"
            with zipfile.ZipFile(path, "w", draw.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
                name = draw.choice(
                    ["features.npy"] * 6
                    + ["visual.npy", "/features.npy", "../features.npy", "features", "features.npy/"]
                )
                archive.writestr(name, array(draw))
                archive.writestr(draw.choice(["other.npy", "/etc/x.npy", "../../x.npy", "..", "a" * 300]), b"x")
            path.write_bytes(damaged(draw, path.read_bytes()))
            if which == 2:
                npz.import_corpus(folder / "one", out, tag="x", report=lambda line: None)
            else:
                read(path)
        if which in (0, 2):
            corpus = Corpus(out)
            assert np.isfinite(corpus.rows(0, "visual")).all()

    return case
