"""What is asked for is compared with a stated bound before memory or time is spent on it."""

from __future__ import annotations

import functools
import json
import os
import resource
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from highlight_lit.cli import main
from highlight_lit.config.run_identity import as_plain
from highlight_lit.data import synthetic
from highlight_lit.data.corpus.faults import faults
from highlight_lit.data.corpus.manifest import FORMAT, MANIFEST
from highlight_lit.data.importers import ave
from highlight_lit.data.shards import Shard
from highlight_lit.data.shards import verify as shards_verify
from highlight_lit.errors import InputError
from highlight_lit.evaluation import scores_csv
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.files import read_json
from highlight_lit.launch import composed
from highlight_lit.processes.locks import locked
from highlight_lit.training.memory import check_network
from tests.security.test_sizes import ave_folder

STREAMS = {"visual": {"width": 512}, "audio": {"width": 128}}


@functools.cache
def deflated() -> bytes:
    """1.5 GB of zeros, as gzip stores them."""
    packer = zlib.compressobj(6)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(1500)), packer.flush()])


def bomb(group: h5py.Group, name: str, shape: tuple[int, ...], rows: int, **options: Any) -> None:
    """A dataset whose one chunk unpacks to 1.5 GB."""
    options = options or {"compression": "gzip"}
    made = group.create_dataset(
        name, shape, "f4", chunks=(rows, *shape[1:]), maxshape=(None, *shape[1:]), **options
    )  # fmt: skip
    made.id.write_direct_chunk((0,) * len(shape), deflated())


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        (4, {}, "a chunk of .* expected no more than it unpacks to"),
        (50_000, {}, "a chunk unpacks to over 12000000 bytes"),
        (50_000, {"compression": "gzip", "shuffle": True}, "a chunk unpacks to over 12000000 bytes"),
        (4, {"compression": "lzf"}, "a chunk of"),
        (4, {"scaleoffset": 2}, r"HDF5 filters \[6\]; expected gzip or none"),
    ],
)  # fmt: skip
def test_a_chunk_that_unpacks_to_more_than_it_is_is_refused_before_it_does(
    tmp_path: Path, rows: int, options: dict[str, Any], says: str
) -> None:
    ave_folder(
        tmp_path, "visual_feature.h5", lambda made, key, array: bomb(made, key, array.shape, rows, **options)
    )  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=rf"visual_feature\.h5.*{says}"):
        ave.import_corpus(tmp_path, tmp_path / "corpus")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10  # KiB


@pytest.mark.parametrize("name", ["visual", "span", "duration", "title_bytes"])
def test_such_a_chunk_of_a_shard_is_refused_too(tmp_path: Path, small_corpus: Path, name: str) -> None:
    path = tmp_path / "shard-00000.h5"
    shutil.copyfile(small_corpus / path.name, path)
    with h5py.File(path, "r+") as file:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        made = file.create_dataset(name, shape, dtype, chunks=shape, compression="gzip")
        made.id.write_direct_chunk((0,) * len(shape), deflated())

    def read() -> None:
        shard = Shard(path)
        shard.column("duration")
        shard.title(0)
        shard.rows("visual", 0, 1)
        shard.rows("span", 0, 1)

    with pytest.raises(InputError, match=rf"{path.name}: {name}: a chunk"):
        read()


def test_chunks_that_are_what_they_say_are_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 10, 6)).astype("f4")
    for number, options in enumerate(
        ({"compression": "gzip"}, {"compression": "lzf", "shuffle": True}, {"fletcher32": True})
    ):
        root = tmp_path / str(number)
        root.mkdir()
        ave_folder(
            root, "visual_feature.h5", lambda made, key, array, o=options: made.create_dataset(key, data=values, **o)
        )  # type: ignore[misc]
        ave.import_corpus(root, root / "corpus")
        assert np.array_equal(Shard(root / "corpus/shard-00000.h5").rows("visual", 0, 10), values[0])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rank=1000000"], "weights take"),
        (["rank=20000"], "a batch takes"),
        (["rank=2000", "data.pairs=512"], "a batch takes"),
        (["model.d=1000000"], "weights take"),
        (["fusion=full_tensor", "model.d=20000"], "weights take"),
        (["model.d=2000", "data.pairs=8192"], "a batch takes"),
    ],
)  # fmt: skip
def test_a_network_is_compared_with_memory_before_it_is_made(
    words: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("highlight_lit.training.memory.memory", lambda: 24 << 30)
    config = as_plain(composed("config", ["topic=t", "data.root=.", *words]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=f"model: .*{says} .* expected at most 26 GB"):
        check_network(config["model"], STREAMS, config["data"]["pairs"], config["tau"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


@pytest.mark.parametrize("model", ["highlight_net", "lim", "mini_net"])
def test_the_networks_there_are_pass(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("highlight_lit.training.memory.memory", lambda: 4 << 30)
    config = as_plain(composed("config", ["topic=t", "data.root=.", f"model={model}"]))
    check_network(config["model"], STREAMS, config["data"]["pairs"], config["tau"])


@pytest.mark.parametrize("word", ["max_epochs", "max_steps", "accumulate_grad_batches", "num_nodes"])
def test_a_truth_value_is_no_whole_number_of_the_trainer(
    word: str, small_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", f"data.root={small_corpus}", "topic=topic01", f"trainer.{word}=true"]) == 2
    assert f"trainer.{word}=True: expected a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["accumulate_grad_batches", "limit_train_batches", "max_steps", "log_every_n_steps"])
def test_whole_numbers_of_the_trainer_are_bounded(
    word: str, small_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", f"data.root={small_corpus}", "topic=topic01", f"trainer.{word}={10**22}"]) == 2
    assert f"trainer.{word}={10**22}: expected at most 2,147,483,647" in capsys.readouterr().err


def test_widths_of_a_synthetic_corpus_are_bounded() -> None:
    for widths in ({"Dv": 10**9}, {"Da": 10**9}):
        with pytest.raises(InputError, match="--widths .* expected at most 16384 each"):
            synthetic.Plan(**widths)


@pytest.mark.parametrize("flags", [[], ["-m"], ["--cfg", "job"]])
def test_words_are_counted_before_they_are_read(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *[f"+x{number}=1" for number in range(10_000 - len(flags))], *flags]) == 2
    assert "10000 words; expected at most 1000" in capsys.readouterr().err


def listing(root: Path, names: list[str]) -> Path:
    shards = [{"file": name, "bytes": 10, "digest": "a"} for name in names]
    (root / MANIFEST).write_text(
        json.dumps({"format": FORMAT, "version": 2, "name": "x", "topics": [], "shards": shards})
    )
    return root


def test_a_manifest_of_very_many_missing_shards_is_one_line(tmp_path: Path) -> None:
    [fault] = faults(listing(tmp_path, [f"s{number}.h5" for number in range(100_000)]))
    assert "100000 of 100000 files that the manifest lists are not there: s0.h5, s1.h5" in fault
    assert len(fault) < 300


def test_after_a_few_shards_that_kill_the_library_no_further_one_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards_verify.sys, "executable", "/bin/false")
    names = [f"s{number:02d}.h5" for number in range(20)]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    found = list(faults(listing(tmp_path, names)))
    assert len(found) == shards_verify.MAX_DEATHS + 1
    assert "s08.h5: not read, nor the 11 shards after it" in found[-1]


def measured(code: str) -> int:
    """Peak memory in MB of a process that runs some Python."""
    tail = "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.parametrize(
    ("line", "count"),
    [("v{video},{start},{end},0.{n:016d}\n", 500_000), ("video{n:030d},0,5,0.5\n", 300_000)],
)
def test_a_large_csv_of_scores_takes_little_memory(tmp_path: Path, line: str, count: int) -> None:
    path = tmp_path / "s.csv"
    with open(path, "w") as file:
        file.write("video,start,end,score\n")
        file.writelines(line.format(n=n, video=n // 100, start=n % 100, end=n % 100 + 1) for n in range(count))
    common = """
from pathlib import Path
from highlight_lit.errors import InputError
from highlight_lit.evaluation import scores_csv
from highlight_lit.media.output import scores_reading
"""
    read = f"""
for read in (lambda: scores_csv.read_scores(Path({str(path)!r})),
             lambda: scores_reading.read_video_scores(Path({str(path)!r}), Path("v1.mp4"), "v1")):
    try:
        read()
    except InputError as error:
        assert "over 100000 videos" in str(error), error
"""
    assert measured(common + read) - measured(common) < 150


def test_rows_and_lines_of_a_table_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.csv"
    path.write_text("video,start,end,score\n" + "v,0,1,1\n" * 20)
    monkeypatch.setattr(scores_csv, "MAX_ROWS", 19)
    with pytest.raises(InputError, match=r"s\.csv: over 19 rows"):
        scores_csv.read_scores(path)
    path.write_text("video,start,end,score\n" + "v" * 3_000_000)
    with pytest.raises(InputError, match=r"s\.csv: line 2: over 1048576 characters"):
        scores_csv.read_scores(path)
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=r"s\.csv: over 256 MiB"):
        scores_csv.read_scores(path)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"c": 1, "d": 2, "c": 1}}]'])
def test_a_key_that_is_there_twice_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json: .*key '[ac]' twice in one object"):
        read_json(tmp_path / "a.json", "something")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_json_of_any_depth_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(tmp_path / "a.json", "something")


@pytest.mark.parametrize(
    "lay",
    [
        os.link,
        os.symlink,
        lambda other, path: os.symlink(other.with_name("nowhere"), path),
        lambda other, path: os.mkfifo(path),
        lambda other, path: os.mkdir(path),
    ],
)
def test_nothing_else_in_the_place_of_a_lock_is_written_to(tmp_path: Path, lay: Callable[[Path, Path], None]) -> None:
    (tmp_path / "precious").write_text("kept")
    lay(tmp_path / "precious", tmp_path / "lock")
    with pytest.raises(OSError, match="lock"), locked(tmp_path / "lock", "a test"):
        pass
    assert (tmp_path / "precious").read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_a_folder_to_write_to_that_is_none_is_one_line(
    kind: str, tmp_path: Path, small_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.touch() if kind == "file" else os.mkfifo(out)
    assert main(["evaluate", "--method", "recurrence", "--corpus", str(small_corpus), "--out", str(out)]) == 2
    assert f"{out}: a {kind}; expected a folder" in capsys.readouterr().err


def test_ids_that_spreadsheets_compute_stay_what_they_are_and_the_manual_says_so(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    given = {name: ClipScores(np.array([[0.0, 1.0]]), np.array([0.5])) for name in ("=1+1", "+a", "-b", "@c", "-_x0")}
    scores_csv.write_scores(path, given)
    assert list(scores_csv.read_scores(path)) == list(given)
    manual = Path(__file__).parents[2] / "docs/pages/guides/videos.md"
    assert "import such a column into a spreadsheet as text" in manual.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [r"$\frac$", "$x^", "_a_b", r"\alpha $$ %", "a\nb"])
def test_a_name_is_no_formula_in_a_figure(tmp_path: Path, name: str) -> None:
    figures = pytest.importorskip("experiments.reproduce.figures")
    ramp = [1.0, 2.0]
    figures.rank_curves(tmp_path / "r.svg", [figures.Curve(name, ramp, ramp, ramp, ramp, 1.0)], "R", ["mAP"])
    span = np.array([[0.0, 1.0], [1.0, 2.0]])
    figures.score_curves(tmp_path / "s.svg", name, [("p", span, np.array([0.1, 0.2]))], span[:1])
    assert (tmp_path / "r.svg").stat().st_size > 0 < (tmp_path / "s.svg").stat().st_size
