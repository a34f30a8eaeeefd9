"""Features and corpora are scored as raw videos are, from the shell, without PyAV."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.inference.detector import Detector
from highlight_lit.media.output.scores_reading import read_video_scores
from tests.real_processes import python


@pytest.fixture(scope="module")
def checkpoint(short_run: Path) -> str:
    return str(short_run / "last.ckpt")


@pytest.fixture(scope="module")
def scored(checkpoint: str, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `score` writes of the whole corpus."""
    out = tmp_path_factory.mktemp("scored")
    assert main(["score", "--corpus", str(small_corpus), "--checkpoint", checkpoint, "--out", str(out)]) == 0
    return out


@pytest.fixture
def own(tmp_path: Path, corpus: Corpus) -> Path:
    """Features of two videos of the corpus, in the layout of `import npy`."""
    for stream in ("visual", "audio"):
        (tmp_path / "own" / stream).mkdir(parents=True)
        for video in (0, 1):
            np.save(tmp_path / "own" / stream / f"{corpus.ids[video].decode()}.npy", corpus.rows(video, stream))
    return tmp_path / "own"


def logits(path: Path) -> list[str]:
    return [row["logit"] for row in csv.DictReader(path.open())]


def test_features_in_any_form_score_as_their_corpus_does(
    checkpoint: str, own: Path, small_corpus: Path, corpus: Corpus, tmp_path: Path
) -> None:
    name = corpus.ids[0].decode()
    pair = [str(own / stream / f"{name}.npy") for stream in ("visual", "audio")]
    np.savez_compressed(tmp_path / "one.npz", visual=np.load(pair[0]), audio=np.load(pair[1]))
    ways = {
        "pair": (["--features", *pair], name),
        "npz": (["--features", str(tmp_path / "one.npz")], "one"),
        "folder": (["--features", str(own)], name),
        "corpus": (["--corpus", str(small_corpus), "--videos", name, corpus.ids[1].decode()], name),
    }
    found = []
    for way, (words, stem) in ways.items():
        assert main(["score", *words, "--checkpoint", checkpoint, "--out", str(tmp_path / way)]) == 0
        found.append(logits(tmp_path / way / f"{stem}.scores.csv"))
        assert len(json.loads((tmp_path / way / f"{stem}.scores.json").read_text())["clips"]) == len(found[-1])
    assert len(found[0]) == corpus.clips[0]
    assert found[1:] == found[:1] * 3


@pytest.mark.parametrize("name", ["scores.csv", "{}.scores.csv", "{}.scores.json"])
def test_what_is_written_of_a_corpus_is_read_by_reel(scored: Path, corpus: Corpus, name: str) -> None:
    video = corpus.ids[3].decode()
    read = read_video_scores(scored / name.format(video), Path(f"{video}.mp4"))
    assert len(read.span) == corpus.clips[3]


def test_scores_of_a_corpus_are_judged_as_its_checkpoint_is(
    checkpoint: str, scored: Path, small_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ["--corpus", str(small_corpus), "--topics", "topic01", "--draws", "10"]
    capsys.readouterr()
    assert main(["evaluate", "--checkpoint", checkpoint, *same]) == 0
    by_checkpoint = capsys.readouterr().out
    assert main(["evaluate", "--scores", str(scored / "scores.csv"), *same]) == 0
    assert capsys.readouterr().out == by_checkpoint


def test_a_video_of_a_corpus_has_the_csv_that_is_judged_too(
    checkpoint: str, small_corpus: Path, corpus: Corpus, tmp_path: Path
) -> None:
    name = corpus.ids[0].decode()
    words = ["--corpus", str(small_corpus), "--videos", name, "--checkpoint", checkpoint, "--out", str(tmp_path)]
    assert main(["score", *words]) == 0
    rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert rows[0] == "video,start,end,score,logit"
    assert [row.partition(",")[0] for row in rows[1:]] == [name] * int(corpus.clips[0])


def test_videos_of_a_corpus_whose_scores_would_have_one_name_are_refused_before_any_is_scored(
    checkpoint: str, corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = [replace(corpus.shards[0].video(row), id=name) for row, name in enumerate(("a/b", "a_b"))]
    write_corpus(tmp_path / "c", videos, corpus.streams, name="c", clip_seconds=1.0)
    words = ["score", "--corpus", str(tmp_path / "c"), "--checkpoint", checkpoint, "--out", str(tmp_path / "out")]
    assert main(words) == 2
    assert "videos 'a/b' and 'a_b': their scores would have one name" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--videos", "a/b"]) == 0


def test_a_pattern_that_fits_several_checkpoints_is_told(
    checkpoint: str, small_corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["score", "--corpus", str(small_corpus), "--checkpoint", checkpoint, "runs/b/last.ckpt"]
    assert main(words) == 2
    assert (
        capsys.readouterr().err
        == f"highlight-lit: --checkpoint: {checkpoint}, runs/b/last.ckpt: several; expected one\n"
    )


def test_scoring_features_needs_no_pyav(checkpoint: str, own: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['av'] = None\nfrom highlight_lit.cli import main\nsys.exit(main(sys.argv[1:]))"
    words = ["score", "--features", str(own), "--checkpoint", checkpoint, "--out", str(tmp_path / "out"), "--html"]
    done = subprocess.run(python("-P", "-c", code, *words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = [path.read_text() for path in (tmp_path / "out").glob("*.html")]  # a curve alone
    assert len(pages) == 2
    assert all('"curve"' in page and '"kind": ""' in page for page in pages)


def bad_files(folder: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    arrays = {
        "nan.npy": np.full((5, 12), np.nan, np.float32),
        "narrow.npy": rng.normal(size=(5, 3)),
        "flat.npy": rng.normal(size=12),
        "none.npy": np.empty((0, 12)),
        "whole.npy": np.ones((5, 12), int),
        "huge.npy": np.full((5, 12), 1e30),
    }
    for name, array in arrays.items():
        np.save(folder / name, array)
    np.savez(folder / "keys.npz", x=arrays["narrow.npy"])
    np.savez(folder / "pickled.npz", visual=np.array([[{}]], object))
    np.savez(folder / "shorter.npz", visual=np.ones((5, 12)), audio=np.ones((4, 8)))
    (folder / "text.npz").write_text("no archive")
    (folder / "cut.npz").write_bytes((folder / "keys.npz").read_bytes()[:-30])
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    "name",
    ["nan.npy", "narrow.npy", "flat.npy", "none.npy", "whole.npy", "huge.npy", "keys.npz", "pickled.npz", "shorter.npz",
     "text.npz", "cut.npz", "missing.npy"],
)  # fmt: skip
def test_features_that_cannot_be_scored_are_one_line(
    checkpoint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "bad").mkdir()
    path = bad_files(tmp_path / "bad").get(name, tmp_path / "bad" / name)
    words = ["--features", str(path), "--clip-seconds", "1", "--checkpoint", checkpoint]
    capsys.readouterr()
    assert main(["score", *words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert name in error
    assert (
        "expected" in error
        or "largest" in error
        or "pickled" in error
        or "truncated" in error
        or "no such file" in error
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "expected raw videos, or --features FILE"),
        (["a.mp4", "--corpus", "c"], "one of them"),
        (["--features", "a.npy", "--videos", "b"], "--videos"),
        (["--features", "a.npy", "--clip-seconds", "0"], "--clip-seconds"),
        (["a/x.mp4", "a/x.mkv"], "a second video"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[-1:] == ["a/x.mkv"]:
        pytest.importorskip("av", reason="needs the extra media")
    assert main(["score", *words, "--checkpoint", "c.ckpt"]) == 2
    assert expected in capsys.readouterr().err


def test_a_folder_in_the_place_of_one_file_leaves_the_others_unwritten(
    checkpoint: str, own: Path, corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = corpus.ids[0].decode()
    np.savez(tmp_path / "one.npz", **{stream: np.load(own / stream / f"{name}.npy") for stream in ("visual", "audio")})
    (tmp_path / "out/one.timeline.png").mkdir(parents=True)
    words = ["--checkpoint", checkpoint, "--out", str(tmp_path / "out")]
    assert main(["score", "--features", str(tmp_path / "one.npz"), *words]) == 2
    assert "one.timeline.png: a folder; expected a name for a file" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one.timeline.png"]


@pytest.mark.parametrize("ending", ["scores.csv", "{}.scores.csv", "{}.timeline.png"])
def test_a_folder_in_the_place_of_a_file_of_the_last_video_leaves_those_of_the_first_unwritten(
    checkpoint: str,
    own: Path,
    small_corpus: Path,
    corpus: Corpus,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ending: str,
) -> None:
    names = [name.decode() for name in corpus.ids[:2]]
    taken = ending.format(names[1])
    (tmp_path / "out" / taken).mkdir(parents=True)
    words = ["--checkpoint", checkpoint, "--out", str(tmp_path / "out")]
    assert main(["score", "--corpus", str(small_corpus), *words, "--videos", *names]) == 2
    assert main(["score", "--features", str(own), *words]) == 2
    assert capsys.readouterr().err.count(f"{taken}: a folder; expected a name for a file") == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == [taken]


def test_a_file_in_the_place_of_the_folder_is_refused_before_anything_is_scored(
    checkpoint: str,
    own: Path,
    small_corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "out").write_text("kept")
    for verb in ("score_corpus", "score"):
        monkeypatch.setattr(Detector, verb, lambda *_: pytest.fail("scored"))
    for given in (["--corpus", str(small_corpus)], ["--features", str(own)]):
        words = ["--checkpoint", checkpoint, "--out", str(tmp_path / "out")]
        assert main(["score", *given, *words]) == 2
        assert f"{tmp_path / 'out'}: a file; expected a folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "kept"


def test_an_id_that_is_no_text_is_a_line(
    checkpoint: str, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--checkpoint", checkpoint, "--out", str(tmp_path), "--videos", "\udcff"]
    assert main(["score", "--corpus", str(small_corpus), *words]) == 2
    assert "--videos" in capsys.readouterr().err


def test_videos_that_are_scored_without_audio_are_named(
    checkpoint: str, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sorted((own / "visual").iterdir())
    np.savez(tmp_path / "both.npz", visual=np.load(first), audio=np.load(own / "audio" / first.name))
    np.savez(tmp_path / "other.npz", visual=np.load(second), Audio=np.load(own / "audio" / second.name))
    words = ["--clip-seconds", "1", "--checkpoint", checkpoint, "--out", str(tmp_path / "out")]
    for names, line in (
        (["both"], ""),
        (["both", "other"], "1 of 2 videos have no audio and are scored without: other"),
    ):
        assert main(["score", "--features", *(str(tmp_path / f"{name}.npz") for name in names), *words]) == 0
        assert capsys.readouterr().err == (f"note: {line}\n" if line else "")


def test_a_file_whose_name_is_no_utf_8_is_scored(checkpoint: str, own: Path, tmp_path: Path) -> None:
    video = sorted((own / "visual").iterdir())[0]
    for name in (b"caf\xe8", b"caf\xe9"):
        np.savez(tmp_path / os.fsdecode(name), visual=np.load(video), audio=np.load(own / "audio" / video.name))
    files = map(str, sorted(tmp_path.glob("caf*.npz")))
    assert main(["score", "--features", *files, "--checkpoint", checkpoint, "--out", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "scores.csv").open() as table:
        assert {row["video"] for row in csv.DictReader(table)} == {r"caf\udce8", r"caf\udce9"}
