"""HDF5 files that are valid as HDF5 and hold anything, for `fuzz`: shards, and what importers read, each as the product does."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from highlight_lit.data.corpus import Corpus, write_manifest
from highlight_lit.data.importers import ave, h5, tvsum
from highlight_lit.data.shards.verify import faults
from highlight_lit.data.statistics import statistics
from highlight_lit.errors import InputError

Case = Callable[[random.Random], None]
# Called once a file is made: what the library opens as it makes links is not the product's doing.
made: list[Callable[[], object]] = []
# What links and other storage lead to, beside the folder that is read: nothing of it may be opened.
BAIT = "../bait/bait.h5"
TYPES = [
    "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "i1", "u1", "<i2", ">i4", "<i8", "<u8", "?", "S1", "S3", "S300", "V4", "<c8",
    h5py.string_dtype(), h5py.string_dtype("ascii", 4), h5py.vlen_dtype(np.int32), h5py.vlen_dtype(np.float32),
    h5py.enum_dtype({"a": 1, "b": 2}), h5py.ref_dtype, h5py.regionref_dtype, h5py.opaque_dtype(np.dtype("M8[s]")),
    np.dtype([("a", "<f4"), ("b", "i1")]), np.dtype([("a", h5py.ref_dtype)]), np.dtype(("<f4", (3,))),
]  # fmt: skip
SIZES = [0, 1, 1, 2, 3, 5, 10, 12, 40, 1 << 16, 1 << 31, 1 << 40, 1 << 62]
VALUES: list[Any] = [0, 1, 2, -1, 255, 1 << 20, -(1 << 31), 1e300, np.nan, np.inf, -np.inf]
TEXTS = [
    "",
    "a",
    "highlight-lit shard",
    "xxh3-64",
    "\x1b[2J",
    "${oc.env:HOME}",
    "é",
    "x" * 70_000,
    "\ud800",
    b"\xff",
    b"a\0b",
]


def write_bait(folder: Path) -> None:
    """What `BAIT` names: a valid file, which the library would read."""
    with h5py.File(folder / "bait.h5", "w") as file:
        file["x"] = np.ones((4, 4), "f4")


def shape(draw: random.Random, like: tuple[int, ...]) -> tuple[int, ...]:
    """Another shape, mostly close to the one that was there."""
    if draw.random() < 0.6 and like:
        found = list(like)
        found[draw.randrange(len(found))] = draw.choice(SIZES)
        return tuple(found) if draw.random() < 0.7 else (*found, draw.choice(SIZES[:6]))
    return tuple(draw.choice(SIZES) for _ in range(draw.randrange(5)))


@np.errstate(all="ignore")
def dataset(draw: random.Random, group: h5py.Group, name: str, like: h5py.Dataset | None) -> None:
    """A dataset of any type, shape, filters and storage, with values or none."""
    dtype = np.dtype(draw.choice(TYPES)) if like is None or draw.random() < 0.5 else like.dtype
    of = (
        like.shape
        if like is not None and draw.random() < 0.5
        else shape(draw, like.shape if like is not None else (2, 3))
    )
    size = int(np.prod([float(each) for each in of]))
    options: dict[str, Any] = {}
    if of and 0 not in of and draw.random() < 0.5:
        options["chunks"] = tuple(draw.choice([1, each, min(each, 7)]) for each in of)
        if int(np.prod([float(each) for each in options["chunks"]])) * dtype.itemsize > 1 << 30:
            options["chunks"] = tuple(min(each, 7) for each in of)
        for filter_ in ("shuffle", "fletcher32"):
            options[filter_] = draw.random() < 0.3
        options["compression"] = draw.choice([None, "gzip", "lzf", 32_000])
        options["maxshape"] = draw.choice([None, (None,) * len(of), of])
        if dtype.kind in "iu" and draw.random() < 0.2:
            options["scaleoffset"] = 0
    elif of and 0 not in of and draw.random() < 0.2 and size * dtype.itemsize < 1 << 20 and not dtype.hasobject:
        where = draw.choice([BAIT, "/etc/hostname", "/dev/zero"])
        group.create_dataset(name, of, dtype, external=[(where, 0, size * dtype.itemsize or 1)])
        return
    elif of and 0 not in of and draw.random() < 0.2 and not dtype.hasobject:
        layout = h5py.VirtualLayout(of, dtype)
        layout[...] = h5py.VirtualSource(draw.choice([BAIT, "."]), "x", of)
        group.create_virtual_dataset(name, layout)
        return
    if dtype.kind in "fiu" and dtype.names is None and draw.random() < 0.3:
        options["fillvalue"] = np.array(draw.choice(VALUES), "f8").astype(dtype)
    made = group.create_dataset(name, of, dtype, **options)
    if size and size < 1 << 16 and dtype.kind in "fiub" and draw.random() < 0.6:
        same = (
            like is not None
            and not like.is_virtual
            and not like.external
            and like.shape == of
            and like.dtype.kind in "fiub"
            and draw.random() < 0.7
        )
        values = like[()] if same and like is not None else np.arange(size).reshape(of)
        values = np.asarray(values, "f8")
        if values.ndim and draw.random() < 0.4:
            values[tuple(draw.randrange(each) for each in of)] = draw.choice(VALUES)
        made[()] = values.astype(dtype)
    elif size and size < 1 << 10 and dtype.kind == "S":
        made[()] = np.array(
            [draw.choice(["a", "b", "train", "", "\xff"]).encode("latin-1") for _ in range(size)]
        ).reshape(of)


def attribute(draw: random.Random, of: h5py.Group | h5py.Dataset) -> None:
    """An attribute, known or not, of any type."""
    name = draw.choice([*of.attrs, "format", "version", "algorithm", "block_rows", "extractor", "other", "é"])
    what = draw.randrange(5)
    if what == 0:
        of.attrs.pop(name, None)
    elif what == 1:
        of.attrs[name] = draw.choice([text for text in TEXTS if text != "\ud800" and text != b"a\0b"])
    elif what == 2:
        of.attrs[name] = draw.choice(VALUES)
    elif what == 3:
        of.attrs[name] = h5py.Empty(draw.choice(["f4", "S3"]))
    else:
        dtype = draw.choice(TYPES)
        of.attrs.create(name, None, tuple(draw.choice([0, 1, 3]) for _ in range(draw.randrange(3))), dtype)


def spoil(draw: random.Random, path: Path) -> None:
    """Change one to three things of a file: datasets, groups, attributes, links of every kind."""
    with h5py.File(path, "r+") as file:
        for _ in range(draw.randrange(1, 4)):
            names: list[str] = []
            file.visit(names.append)
            name = draw.choice([*names, "other"])
            group = file[name.rpartition("/")[0] or "/"]
            there = file.get(name) if name in names else None
            what = draw.randrange(12)
            try:
                if what < 2:
                    attribute(
                        draw, there if isinstance(there, h5py.Group | h5py.Dataset) and draw.random() < 0.7 else file
                    )
                    continue
                like = there if isinstance(there, h5py.Dataset) else None
                own = name.rpartition("/")[2]
                if there is not None:
                    file.move(name, "kept") if "kept" not in file else file.pop(name)
                if what < 7:
                    dataset(draw, group, own, like)
                elif what == 7:
                    group.create_group(own)
                elif what == 8:
                    group[own] = h5py.SoftLink(draw.choice([f"/{name}", "/kept", "/nowhere", "/", BAIT]))
                elif what == 9:
                    group[own] = h5py.ExternalLink(draw.choice([BAIT, path.name, "/etc/hostname", "nowhere"]), "/x")
                elif what == 10:
                    group[own] = draw.choice(
                        [file, group, file[draw.choice(["kept", "/"])]]
                    )  # hard links, in a circle too
                else:
                    group[own] = np.dtype("f4")  # a type that is kept by name
                if "kept" in file and draw.random() < 0.9:
                    del file["kept"]
            except (OSError, ValueError, TypeError, KeyError, RuntimeError, OverflowError, MemoryError, AttributeError):
                continue  # what the library does not make
    for call in made:
        call()


def _checked(root: Path) -> None:
    """Whatever is read of a corpus is finite."""
    corpus = Corpus(root)
    for name in corpus.streams:
        assert np.isfinite(corpus.rows(0, name)).all()
        assert all(bool(part.isfinite().all()) for part in statistics(corpus, np.arange(len(corpus)), name))
    for video in range(len(corpus)):
        assert np.isfinite(corpus.rows(video, "span")).all()
        if (labels := corpus.labels(video)) is not None:
            assert labels.fault() is None
    for topic in corpus.topics:
        corpus.tagged(topic)


def shards(folder: Path) -> Case:
    """Check a shard as `verify` does, or open a corpus of it and read all of it."""
    root, valid = folder / "one", folder / "valid.h5"
    root.mkdir(exist_ok=True)
    shutil.copy(next((folder / "corpus").glob("*.h5")), valid)

    def case(draw: random.Random) -> None:
        shutil.copy(valid, root / "shard-00000.h5")
        spoil(draw, root / "shard-00000.h5")
        if draw.random() < 0.5:
            for fault in faults(root / "shard-00000.h5"):
                if fault is not None:
                    raise InputError(fault)
        else:
            write_manifest(root, "c", None)
            _checked(root)

    return case


def foreign(folder: Path) -> Case:
    """Import a changed file of h5, ave or tvsum."""
    out, source = folder / "foreign-out", folder / "foreign"
    valid = {kind: source / kind for kind in ("h5", "ave", "tvsum")}
    for each in valid.values():
        each.mkdir(parents=True, exist_ok=True)
    with h5py.File(valid["h5"] / "a.h5", "w") as file:
        for name in ("v", "w"):
            for key, value in {"features": np.ones((5, 4), "f4"), "picks": np.arange(5) * 15, "n_frames": np.array(75),
                               "gtscore": np.ones(5), "user_summary": np.ones((2, 75))}.items():  # fmt: skip
                file[f"{name}/{key}"] = value
    (valid["ave"] / ave.ANNOTATIONS).write_text("\n".join([ave.FIELDS, *(f"Dog&v{i}&good&0&10" for i in range(4))]))
    onehot = np.zeros((4, 10, 3))
    onehot[:, :, 0] = 1
    for name, values in {"visual_feature": np.ones((4, 10, 6), "f4"), "audio_feature": np.ones((4, 10, 5), "f4"),
                         "labels": onehot, "train_order": np.arange(2), "test_order": np.arange(2, 4)}.items():  # fmt: skip
        with h5py.File(valid["ave"] / f"{name}.h5", "w") as file:
            file["order" if "order" in name else "avadataset"] = values
    with h5py.File(valid["tvsum"] / "a.mat", "w") as file:
        scores = np.repeat(np.arange(6.0), 50)[None].repeat(3, 0)
        cells = {
            "video": [[97]],
            "category": [[98]],
            "title": [[99]],
            "length": [[12.0]],
            "nframes": [[300]],
            "user_anno": scores,
        }
        for key, cell in cells.items():
            file[f"#refs#/{key}"] = np.array(cell)
            file.create_dataset(f"tvsum50/{key}", (1, 1), h5py.ref_dtype)[0, 0] = file[f"#refs#/{key}"].ref
    shutil.copytree(source, folder / "foreign-valid", dirs_exist_ok=True)

    def case(draw: random.Random) -> None:
        shutil.rmtree(out, ignore_errors=True)
        kind = draw.choice(list(valid))
        path = draw.choice(sorted(valid[kind].glob("*.[hm]*")))
        spoil(draw, path)
        try:
            if kind == "ave":
                ave.import_corpus(valid[kind], out, report=lambda line: None)
            elif kind == "h5":
                h5.import_corpus(path, out, tag="x", report=lambda line: None)
            else:
                tvsum.import_corpus(path, out, report=lambda line: None)
        finally:
            shutil.copy(folder / "foreign-valid" / kind / path.name, path)
        _checked(out)

    return case
