"""The command line as a user meets it: exit statuses, what is printed, one line for each fault."""

from __future__ import annotations

import csv
import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.evaluation.judge import labelled_videos
from highlight_lit.methods import METHODS
from tests.real_processes import python

Ended = subprocess.CompletedProcess[str]


def process(*words: str | Path, **environment: str) -> Ended:
    """Run the command line in a process of its own."""
    command = python("-m", "highlight_lit", *words)
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300, check=False)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run the command line in this process, which imports torch once for all tests."""

    def call(*words: str | Path) -> Ended:
        status = main([str(word) for word in words])
        return subprocess.CompletedProcess(words, status, *capfd.readouterr())

    return call


def test_a_process_prints_and_ends_as_the_function_does(run: Callable[..., Ended], small_corpus: Path) -> None:
    for words in (("verify", "/nowhere"), ("verify", small_corpus)):
        its_own, here = process(*words), run(*words)
        assert (its_own.returncode, its_own.stdout, its_own.stderr) == (here.returncode, here.stdout, here.stderr)


def test_the_whole_way_from_a_corpus_to_a_judged_checkpoint(
    run: Callable[..., Ended], small_corpus: Path, tmp_path: Path
) -> None:
    assert run("verify", small_corpus).stdout.strip().endswith("2 topics")
    out = tmp_path / "runs"
    trained = run("train", f"data.root={small_corpus}", "topic=topic01", f"out={out}", "logger=none", "tau=8", "data.pairs=4",
                  "trainer.max_epochs=1", "model.d=8", "evaluate.draws=10")  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    assert "topic01 av seed 0: youtube/trapezoid" in trained.stdout
    checkpoint = next(out.glob("*/last.ckpt"))
    judged = run(
        "evaluate", "--checkpoint", checkpoint, "--corpus", small_corpus, "--draws", "10", "--out", tmp_path / "e"
    )
    assert judged.returncode == 0, judged.stderr
    again = run("evaluate", "--scores", tmp_path / "e" / "scores.csv", "--corpus", small_corpus, "--topics", "topic01",
                "--draws", "10", "--out", tmp_path / "f")  # fmt: skip
    assert again.returncode == 0, again.stderr
    rows = [list(csv.DictReader((tmp_path / name / "evaluation.csv").open())) for name in "ef"]
    assert rows[0] == rows[1]
    assert judged.stdout == again.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("verify", "/nowhere"), "/nowhere/manifest.json: no such file"),
        (("train", "data.root=/nowhere", "topic=dog", "rank=0"), "rank=0: expected a whole number of at least 1"),
        (("train", "data.root=/nowhere", "topic=dog"), "/nowhere/manifest.json: no such file"),
        (("evaluate", "--corpus", "/nowhere", "--scores", "/nowhere.csv"), "/nowhere/manifest.json: no such file"),
        (("synthesize", "/proc/1/nope"), "/proc/1/nope: cannot be written"),
        (("synthesize", "x", "--widths", "a,b"), "--widths a,b: expected two whole numbers"),
    ],
)
def test_bad_input_is_one_line_and_status_2(run: Callable[..., Ended], words: tuple[str, ...], says: str) -> None:
    ended = run(*words)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"highlight-lit: {says}")


def test_a_method_is_judged_like_any_system(run: Callable[..., Ended], small_corpus: Path) -> None:
    judged = run("evaluate", "--method", "recurrence", "--corpus", small_corpus, "--draws", "10")
    assert judged.returncode == 0, judged.stderr
    assert "youtube/trapezoid" in judged.stdout
    unknown = run("evaluate", "--method", "magic", "--corpus", small_corpus)
    assert unknown.returncode == 2
    assert "method 'magic': expected one of" in unknown.stderr


def test_a_traceback_comes_when_asked_for() -> None:
    assert "Traceback" in process("verify", "/nowhere", HIGHLIGHT_LIT_TRACEBACK="1").stderr


def test_doctor_says_what_is_here_and_that_a_corpus_is_valid(run: Callable[..., Ended], small_corpus: Path) -> None:
    ended = run("doctor", small_corpus)
    assert ended.returncode == 0, ended.stderr
    assert "pytorch-lightning" in ended.stdout
    assert ": valid" in ended.stdout
    assert "topic01                  6 positive and 6 negative videos to train on, 8 with labels" in ended.stdout


def test_the_scores_of_some_topics_are_refused_with_the_topics_that_can_be_judged(
    run: Callable[..., Ended], small_corpus: Path, tmp_path: Path
) -> None:
    table = tmp_path / "scores.csv"
    videos = [video.id for video in labelled_videos(Corpus(small_corpus), ["topic02"])]
    table.write_text("video,start,end,score\n" + "".join(f"{video},0,1,1\n" for video in videos))
    words = ("evaluate", "--scores", table, "--corpus", small_corpus, "--draws", "10")
    ended = run(*words)
    assert ended.returncode == 2
    assert ended.stderr.endswith("expected scores of all, or a choice of topics: --topics topic02\n")
    assert run(*words, "--topics", "topic02").returncode == 0


def test_several_files_of_a_pattern_where_one_is_expected_are_refused_with_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("a.ckpt", "b.ckpt"):
        (tmp_path / name).touch()
    with pytest.raises(SystemExit, match="2"):
        main(["score", "new.mp4", "--checkpoint", *map(str, sorted(tmp_path.glob("*.ckpt")))])
    assert capsys.readouterr().err.endswith("b.ckpt; one file is expected where a pattern of the shell's has given "
                                            "several: name it\n")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("video,start,score\na,0,1\n", "expected video, start, end, score"),
        ("video,start,end,score\na,0,1,nan\n", "line 2: expected finite numbers"),
        ("video,start,end,score\na,1,1,0.5\n", "line 2: expected finite numbers with 0 <= start < end"),
        ("video,start,end,score\na,0,1\n", "line 2: 3 fields, expected 4"),
        ("video,start,end,score\na,0,1,1\n", "none of its 1 videos is in "),
        ("video,start,end,score\nsynthetic-000000,0,1,1\n", "video 'synthetic-000003' is missing and "),
        ("video,start,end,score\nsynthetic-000000,0,1,1\n", "; expected scores of all\n"),
    ],
)
def test_scores_that_cannot_be_judged_are_refused_by_line(
    run: Callable[..., Ended], small_corpus: Path, tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "scores.csv").write_text(text)
    ended = run("evaluate", "--scores", tmp_path / "scores.csv", "--corpus", small_corpus)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert len([line for line in ended.stderr.splitlines() if not line.startswith("note: ")]) == 1


def test_help_names_every_method_and_shows_a_sweep() -> None:
    said = " ".join(process("evaluate", "--help").stdout.split())
    assert all(name in said for name in METHODS)
    assert "highlight-lit train -m data.root=DIR topic=A,B" in process("train", "--help").stdout


def test_no_words_at_all_name_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "features or labels on disk to a corpus" in said.err


def test_a_folder_to_write_is_named_in_either_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["synthesize", "--topics", "2", "--videos", "4", "--widths", "12,8", "--rank", "2"]
    assert main([*words, str(tmp_path / "a")]) == 0
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    assert main([*words, str(tmp_path / "c"), "--out", str(tmp_path / "d")]) == 2
    assert main(words) == 2
    assert capsys.readouterr().err.count("expected one folder to write, as OUT or as --out DIR") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_a_working_folder_that_was_removed_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["train", "topic=dog"]) == 2
    assert capsys.readouterr().err.startswith("highlight-lit: the working folder: No such file")


def test_a_closed_standard_output_is_no_fault(small_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert main(["verify", str(small_corpus)]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("verb", ["verify", "train", "train -m", "--version", "verify --help"])
def test_a_standard_output_without_room_is_one_line(small_corpus: Path, tmp_path: Path, verb: str) -> None:
    words = {
        "verify": ["verify", str(small_corpus)],
        "train": ["train", f"data.root={small_corpus}", "topic=topic01", "trainer.max_epochs=1", f"out={tmp_path}"],
    }
    words["train -m"] = [*words["train"], "-m"]
    with open("/dev/full", "w") as full:
        command = python("-m", "highlight_lit", *words.get(verb, verb.split()))
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("highlight-lit: standard output, or a file, cannot be written (No space left on device)")
    assert "Warning" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_script_of_experiments_answers_as_the_command_line_does() -> None:
    command = python("-m", "experiments.compare", "--help")
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100)
    said = "standard output, or a file, cannot be written (No space left on device); expected room for it"
    assert (done.returncode, done.stderr) == (2, f"experiments.compare: {said}\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=100)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("kind", ["long", "forbidden"])
def test_a_name_that_cannot_be_looked_at_is_one_line(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, says = tmp_path / ("a" * 300), "File name too long"
    if kind == "forbidden":  # as for any user but root
        out, says = tmp_path / "secret" / "c", "Permission denied"

        def exists(path: Path) -> bool:
            raise PermissionError(errno.EACCES, says, str(path))

        monkeypatch.setattr(Path, "exists", exists)
    assert main(["synthesize", str(out)]) == 2
    said = capsys.readouterr().err
    assert said == f"highlight-lit: {out}: {says}; expected a name in a folder that this user may look into\n"
    monkeypatch.setenv("HIGHLIGHT_LIT_TRACEBACK", "1")
    with pytest.raises(OSError, match=says):
        main(["synthesize", str(out)])
