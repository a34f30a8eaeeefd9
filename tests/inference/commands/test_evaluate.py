"""`evaluate` judges what it is given, says what it leaves out, and shows names as text."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.video import Labels, Stream, Video
from highlight_lit.evaluation.scores import ClipScores
from highlight_lit.evaluation.scores_csv import write_scores
from highlight_lit.methods import METHODS
from highlight_lit.methods.videos import Videos
from highlight_lit.runs.ledger import records
from tests.real_processes import python

Train = Callable[..., int]


@pytest.fixture
def copy(small_corpus: Path, tmp_path: Path) -> Path:
    """A corpus whose manifest may be changed."""
    shutil.copytree(small_corpus, tmp_path / "copy")
    return tmp_path / "copy"


def renamed(root: Path, **facts: object) -> None:
    path = root / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def evaluate(*words: object) -> int:
    return main(["evaluate", "--draws", "10", *map(str, words)])


@pytest.fixture
def scores(small_corpus: Path, tmp_path: Path) -> Path:
    corpus = Corpus(small_corpus)
    found = {}
    for video, name in enumerate(corpus.ids):
        span = corpus.rows(video, "span")
        found[name.decode()] = ClipScores(span, (span[:, 0] * 7) % 5)
    write_scores(tmp_path / "scores.csv", found)
    return tmp_path / "scores.csv"


@pytest.fixture
def swept(quick_train: Train, tmp_path: Path) -> list[Path]:
    """Two topics, three seeds each."""
    assert quick_train("topic=topic01,topic02", "seed=0,1,2", "trainer.max_epochs=1", multirun=True) == 0
    return sorted((tmp_path / "runs").glob("*/last.ckpt"))


@pytest.mark.parametrize("words", [["evaluate", "--draws", "10"], ["score", "--videos", "synthetic-000000"]])
def test_a_checkpoint_is_used_without_lightning_and_torchs_compiler_which_take_seconds_to_import(
    short_run: Path, small_corpus: Path, tmp_path: Path, words: list[str]
) -> None:
    code = (
        "import sys\nfor name in ('pytorch_lightning', 'lightning_fabric', 'torchmetrics', 'torch._dynamo'):"
        " sys.modules[name] = None\nfrom highlight_lit.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    given = [*words, "--corpus", small_corpus, "--checkpoint", short_run / "last.ckpt", "--out", tmp_path / "out"]
    done = subprocess.run(python("-P", "-c", code, *given), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out").iterdir())


def test_all_checkpoints_of_a_sweep_over_topics_and_seeds(
    swept: list[Path], small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert evaluate("--checkpoint", *swept, "--corpus", small_corpus, "--out", tmp_path / "judged") == 0
    out = capsys.readouterr().out
    for record in records(tmp_path / "runs"):
        name, value = str(record["id"]), record["evaluation"]["measures"]["youtube/trapezoid"]["mean"]
        line = next(line for line in out.splitlines() if name in line)
        assert f"{100 * value:.1f}" in line
        judged = json.loads((tmp_path / "judged" / name / "evaluation.json").read_text())
        assert judged["measures"] == record["evaluation"]["measures"]
        assert (tmp_path / "judged" / name / "scores.csv").is_file()
    assert out.count("mean of 3 (standard deviation)") == 2
    assert out.count("mean over topics") == 1
    assert max(map(len, out.splitlines())) <= 80


def test_checkpoints_of_other_settings_have_no_mean(
    quick_train: Train, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quick_train("rank=2,4", "trainer.max_epochs=1", multirun=True) == 0
    capsys.readouterr()
    assert evaluate("--checkpoint", *(tmp_path / "runs").glob("*/last.ckpt"), "--corpus", small_corpus) == 0
    said = capsys.readouterr()
    assert "mean of" not in said.out
    assert "of different settings: no mean" in said.err


def test_a_network_that_is_named_twice_does_not_count_twice(
    short_run: Path, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = short_run / "last.ckpt"
    (tmp_path / "link.ckpt").symlink_to(checkpoint)
    shutil.copy(checkpoint, tmp_path / "copy.ckpt")
    for again in (tmp_path / "link.ckpt", tmp_path / "copy.ckpt", short_run):
        assert evaluate("--checkpoint", checkpoint, again, "--corpus", small_corpus) == 0
        said = capsys.readouterr()
        assert "mean of" not in said.out
        if again != short_run:
            assert f"{again} is the network of {checkpoint} again: no mean is taken" in said.err
    twice = ("--topics", "topic01", "topic01")
    assert evaluate("--checkpoint", checkpoint, *twice, "--corpus", small_corpus) == 2
    assert "--topics topic01 topic01: a topic twice; expected each once" in capsys.readouterr().err


def test_each_checkpoint_is_judged_into_a_folder_of_its_own_whatever_their_folders_are_called(
    short_run: Path, small_corpus: Path, tmp_path: Path
) -> None:
    for folder in ("a-2", "x/a", "y/a"):
        (tmp_path / folder).mkdir(parents=True)
        shutil.copy(short_run / "last.ckpt", tmp_path / folder)
    given = [tmp_path / folder / "last.ckpt" for folder in ("a-2", "x/a", "y/a")]
    assert evaluate("--checkpoint", *given, "--corpus", small_corpus, "--out", tmp_path / "judged") == 0
    assert {each.name for each in (tmp_path / "judged").iterdir()} == {"a-2", "a", "a-3"}


def test_one_checkpoint_a_topic_is_one_system(
    swept: list[Path], small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = [next(path for path in swept if json.loads((path.parent / "record.json").read_text())["topic"] == topic)
              for topic in ("topic01", "topic02")]  # fmt: skip
    capsys.readouterr()
    assert evaluate("--checkpoint", *chosen, *chosen, "--corpus", small_corpus, "--out", tmp_path / "judged") == 0
    assert "youtube/trapezoid, mean" in capsys.readouterr().out
    with (tmp_path / "judged" / "evaluation.csv").open() as file:
        assert {row["topic"] for row in csv.DictReader(file)} == {"topic01", "topic02"}


@pytest.mark.parametrize("name", ["[/b] dogs", "[dog]", "[link=x]y", "\x1b[2J", "a\nhighlight-lit: forged", ":dog:"])
def test_a_corpus_name_is_shown_as_it_is(
    copy: Path, scores: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed(copy, name=name)
    assert evaluate("--scores", scores, "--corpus", copy) == 0
    out = capsys.readouterr().out
    assert name.encode("unicode_escape").decode() in out
    assert all(line.isprintable() for line in out.splitlines())


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_table_fits(
    small_corpus: Path, scores: Path, columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert evaluate("--scores", scores, "--corpus", small_corpus) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= int(columns)
    for whole in ("youtube/trapezoid, mean", "  topic02 ", "annotators"):
        assert whole in out


def test_topics_without_labels_are_left_out_and_counted(
    copy: Path, scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed(copy, topics=["topic01", *(f"tag {number}" for number in range(2000))])
    assert evaluate("--scores", scores, "--corpus", copy) == 0
    said = capsys.readouterr()
    assert "note: 2000 topics of " in said.err
    assert said.err.rstrip().endswith("tag 0, tag 1, tag 10, tag 100, tag 1000 and 1995 more")
    assert "topic01" in said.out
    assert evaluate("--method", "recurrence", "--corpus", copy) == 0
    assert evaluate("--scores", scores, "--corpus", copy, "--topics", "topic1") == 2
    assert "and 1989 more; did you mean topic01?" in capsys.readouterr().err


def test_a_corpus_without_labels_is_named(copy: Path, scores: Path, capsys: pytest.CaptureFixture[str]) -> None:
    renamed(copy, topics=["nothing"])
    assert evaluate("--scores", scores, "--corpus", copy) == 2
    assert f"{copy}: no topic with a labelled video to evaluate on" in capsys.readouterr().err


def test_a_measure_over_nothing_is_a_dash(
    tmp_path: Path, make_video: Callable[..., Video], capsys: pytest.CaptureFixture[str]
) -> None:
    span = np.stack([np.arange(4), np.arange(1, 5)], 1).astype(np.float64)
    none = Labels(span, np.zeros((4, 1), np.float32))
    videos = [make_video(name, 4, labels=none, split="test") for name in ("one", "two")]
    write_corpus(tmp_path / "c", videos, {"visual": Stream(4), "audio": Stream(3)}, name="c", clip_seconds=1.0)
    write_scores(tmp_path / "s.csv", {video.id: ClipScores(span, span[:, 0]) for video in videos})
    words = ("--scores", tmp_path / "s.csv", "--corpus", tmp_path / "c")
    assert evaluate(*words, "--empty", "leave_out") == 0
    out = capsys.readouterr().out
    assert "- (-)" in out and "nan" not in out


def test_the_scores_that_are_judged_are_not_written_over(
    small_corpus: Path, scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    before = scores.read_bytes()
    for name in ("scores.csv", "evaluation.csv", "evaluation.json"):
        given = scores.rename(tmp_path / name)
        for out in (tmp_path, tmp_path / "link"):
            assert evaluate("--scores", given, "--corpus", small_corpus, "--out", out) == 2
            assert evaluate("--checkpoint", given, "--corpus", small_corpus, "--out", out) == 2
            assert capsys.readouterr().err.count("which this command reads") == 2
        assert given.read_bytes() == before
        given.rename(scores)


@pytest.mark.parametrize("name", ["scores.csv", "evaluation.csv", "evaluation.json"])
def test_a_folder_in_the_place_of_one_file_leaves_the_others_as_they_are(
    small_corpus: Path, scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "out" / name).mkdir(parents=True)
    assert evaluate("--scores", scores, "--corpus", small_corpus, "--out", tmp_path / "out") == 2
    captured = capsys.readouterr()
    assert captured.err == f"highlight-lit: {tmp_path / 'out' / name}: a folder; expected a name for a file\n"
    assert captured.out == ""
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_a_folder_in_the_place_of_one_file_of_the_last_checkpoint_leaves_those_of_the_first_unwritten(
    swept: list[Path], small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out" / swept[-1].parent.name / "scores.csv").mkdir(parents=True)
    assert evaluate("--checkpoint", *swept, "--corpus", small_corpus, "--out", tmp_path / "out") == 2
    assert "scores.csv: a folder; expected a name for a file" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == [swept[-1].parent.name]


@pytest.mark.parametrize("draws", [-1, 0, 1, 100_001, 10**11])
def test_a_number_of_draws_out_of_bounds_is_one_line(
    small_corpus: Path, scores: Path, draws: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--scores", scores, "--corpus", small_corpus, "--draws", draws) == 2
    assert "expected a whole number of at least 2 and at most 100,000" in capsys.readouterr().err


@pytest.mark.parametrize("seed", [2**32, 2**64, 2**100 + 1])
def test_a_seed_of_any_size_works(small_corpus: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn", reason="needs the extra methods")
    assert evaluate("--method", "kvs", "--corpus", small_corpus, "--seed", seed, "--topics", "topic01") == 0
    seen: list[int] = []
    learns = importlib.import_module(METHODS["vesd"].module)

    def zeros(videos: Videos, seed: int) -> list[NDArray[np.float64]]:
        seen.append(seed)
        return [np.zeros(len(video)) for video in videos.evaluation]

    monkeypatch.setattr(learns, "score", zeros)
    evaluate("--method", "vesd", "--corpus", small_corpus, "--seed", seed, "--topics", "topic01")
    evaluate("--method", "vesd", "--corpus", small_corpus, "--seed", seed + 1, "--topics", "topic01")
    assert seen[0] != seen[1]
    assert max(seen) < 2**32


def test_a_checkpoint_is_judged_on_the_list_that_is_asked_for(
    tmp_path: Path, make_video: Callable[..., Video], capsys: pytest.CaptureFixture[str]
) -> None:
    """As `evaluate.split` of a run has it; what is no checkpoint has no such choice."""
    root = tmp_path / "corpus"
    lists = {f"{split}{n}": split for split, count in (("train", 4), ("val", 2), ("test", 3)) for n in range(count)}
    videos = [make_video(name, 4, split=split) for name, split in lists.items()]
    videos += [make_video(f"other{n}", 70, tags=("cat",), split="train") for n in range(4)]
    streams = {"visual": Stream(4), "audio": Stream(3)}
    write_corpus(root, videos, streams, name="lists", clip_seconds=1.0)
    words = [f"data.root={root}", f"out={tmp_path / 'runs'}", "topic=dog", "data.pairs=2", "tau=4", "model.d=4",
             "trainer.max_epochs=1", "logger=none", "evaluate.draws=10"]  # fmt: skip
    for split in ("test", "val", "all"):
        assert main(["train", *words, f"evaluate.split={split}"]) == 0
    runs = {record["config"]["evaluate"]["split"]: record for record in records(tmp_path / "runs")}
    checkpoint = tmp_path / "runs" / runs["test"]["id"] / "last.ckpt"
    for given, split in ([], "test"), (["--split", "val"], "val"), (["--split", "all"], "all"):
        out = tmp_path / f"judged {split}"
        assert evaluate("--corpus", root, "--checkpoint", checkpoint, *given, "--out", out) == 0
        expected = {name for name, of in lists.items() if of in ("val", "test") and split in (of, "all")}
        assert {row["video"] for row in csv.DictReader((out / "scores.csv").open())} == expected
        found = json.loads((out / "evaluation.json").read_text())["measures"]
        of_run = runs[split]["evaluation"]["measures"]
        assert found.keys() == of_run.keys()
        assert [found[name]["mean"] for name in found] == pytest.approx([of_run[name]["mean"] for name in found])
    capsys.readouterr()
    assert evaluate("--corpus", root, "--method", "recurrence", "--split", "val") == 2
    assert "--split: of --checkpoint alone" in capsys.readouterr().err
