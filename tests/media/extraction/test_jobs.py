"""One extraction by many jobs: nothing is lost or done twice, whatever launches them and whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from omegaconf import OmegaConf

pytest.importorskip("av")
from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import Interrupted
from highlight_lit.media.extraction import jobs
from highlight_lit.media.extraction.extract import ExtractorChoice, extract_corpus
from highlight_lit.media.extraction.find_videos import find_videos
from highlight_lit.media.extraction.parts_folder import held
from highlight_lit.media.extraction.sidecar import read_csv
from tests.real_processes import python, until

NAMES = ("a", "b's, (c)", "-d", "e", "f", "g")


@pytest.fixture
def folder(tmp_path, made) -> Path:
    """Six videos, a file that is none, and a table of tags."""
    root = tmp_path / "some videos"
    root.mkdir()
    content = made.write_video(root / "a.mp4", 2).read_bytes()
    for name in NAMES[1:]:
        (root / f"{name}.mp4").write_bytes(content)
    (root / "bad.mp4").write_text("not a video")
    (tmp_path / "tags.csv").write_text("video,tags\n" + "".join(f'"{name}",dog\n' for name in (*NAMES, "bad")))
    return root


def words(folder: Path, *more: str) -> list[str]:
    beside = folder.parent
    return ["extract", "-m", f"videos='{folder}'", f"out={beside / 'corpus'}", f"tags={beside / 'tags.csv'}", *more]


def ids(root: Path) -> list[str]:
    return sorted(name.decode() for name in Corpus(root).ids)


@pytest.mark.usefixtures("preloaded_workers")
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_jobs_of_every_launcher_make_one_corpus(folder, capsys, launcher):
    root = folder.parent / "corpus"
    assert main(words(folder, "slices=3", f"hydra/launcher={launcher}")) == 1  # one file is none
    said = capsys.readouterr()
    assert f"{root}: 6 videos extracted (0.2 min of video), 0 there before, 1 skipped" in said.out
    assert "bad.mp4: not a video" in said.err.splitlines()[-1]
    assert ids(root) == sorted(NAMES)
    assert sorted(path.name for path in root.glob("[!.]*")) == ["manifest.json", "shard-00000.h5", "sources.json"]
    assert Corpus(root).topics == ("dog",)
    assert main(["verify", str(root)]) == 0
    (folder / "bad.mp4").unlink()
    (folder.parent / "tags.csv").write_text("video,tags\n" + "".join(f'"{name}",cat\n' for name in NAMES))
    (root / ".jobs/multirun.yaml").unlink()
    os.mkfifo(root / ".jobs/multirun.yaml")  # Hydra would wait for it
    assert main(words(folder, "slices=2")) == 0
    assert Corpus(root).topics == ("cat",)
    assert (
        "0 videos extracted (0.0 min of video), 6 there before (6 with new tags, title or split), 0 skipped"
        in capsys.readouterr().out
    )


def test_a_job_that_ends_early_is_named_and_the_same_words_do_what_is_left(folder, capsys, monkeypatch):
    whole = jobs.extract_corpus

    def dies_in_slice_2(*arguments, **named):
        if named["slice_of"] == "2/3":
            raise OSError("the node went away")
        return whole(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "extract_corpus", dies_in_slice_2)
        assert main(words(folder, "slices=3")) == 2
    assert "slice 2 of 3: OSError: the node went away; the same command does what is left" in capsys.readouterr().err
    assert not (folder.parent / "corpus" / "manifest.json").exists()
    assert main(words(folder, "slices=3")) == 1
    assert "2 videos extracted" in capsys.readouterr().out
    extract_corpus(
        find_videos([folder]), folder.parent / "alone", ExtractorChoice(), read_csv(folder.parent / "tags.csv")
    )
    by_jobs, alone = Corpus(folder.parent / "corpus"), Corpus(folder.parent / "alone")
    assert ids(by_jobs.root) == ids(alone.root) == sorted(NAMES)
    for name in NAMES:
        for stream in ("visual", "audio"):
            one, other = (corpus.rows(corpus.index(name), stream) for corpus in (by_jobs, alone))
            assert (one == other).all()


def test_two_commands_at_once_into_one_corpus_lose_and_double_nothing(folder, made):
    command = python("-m", "highlight_lit", *words(folder, "slices=2"))
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ended = [(*run.communicate(), run.returncode) for run in both]
    assert all("Traceback" not in err for _, err, _ in ended)
    assert [status for _, _, status in ended] == [1, 1]  # one file is none
    again = made.command(*words(folder, "slices=2"))
    assert again.returncode == 1
    assert "0 videos extracted (0.0 min of video), 6 there before" in again.stdout
    assert ids(folder.parent / "corpus") == sorted(NAMES)
    assert made.command("verify", folder.parent / "corpus").returncode == 0


def test_packing_waits_until_no_one_extracts_any_more(tmp_path, capsys):
    packed = []

    def pack() -> None:
        with held(tmp_path, alone=True):
            packed.append(True)

    packing = threading.Thread(target=pack)
    with held(tmp_path):
        with held(tmp_path):  # another extracts at the same time
            packing.start()
            until(lambda: "waits for others that extract into it" in capsys.readouterr().err)
        assert packed == []
    packing.join(30)
    assert packed == [True]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "slices: missing; expected slices=..."),
        (["slices=0"], "slices=0: expected a whole number of at least 1"),
        (["slices=2", "workers=many"], "workers=many: expected a whole number"),
        (["slices=2", "colour=red"], "colour: no such key; the keys are those of "),
        (["slices=2", "visual=vgg"], "visual extractor 'vgg': unknown"),
        (["slices=2", "worker=3"], "worker: no such key; did you mean workers?"),
        (["slices=2", "hydra/launcher=none"], "hydra/launcher=none: no such option; expected one of basic, joblib"),
        (["slices=2", "--workers", "3"], "--workers: with -m, expected KEY=VALUE"),
    ],
)
def test_wrong_words_are_refused_in_one_line(folder, capsys, more, said):
    assert main(words(folder, *more)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (folder.parent / "corpus" / "manifest.json").exists()


def test_a_signal_in_the_middle_of_the_configuration_is_no_bad_input(folder, monkeypatch):
    def stopped(*_: object, **__: object) -> None:
        try:
            raise Interrupted(signal.SIGTERM)
        finally:
            OmegaConf.create({"a": "${b}"}).a  # noqa: B018  fails in turn

    monkeypatch.setattr("highlight_lit.launch.compose", stopped)
    assert main(words(folder, "slices=2")) == 143
