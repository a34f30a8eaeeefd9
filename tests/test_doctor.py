"""Doctor and verify: quick for any number of tags, lists that are cut with a count, names as text."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from highlight_lit import doctor
from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus, faults, write_corpus
from highlight_lit.data.topics.counts import topics_of
from highlight_lit.data.topics.weak_labels import RULES
from highlight_lit.data.video import Labels, Stream, Video

Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A corpus of videos given as (duration, tags), perhaps with lists and labels."""

    def make(*videos: tuple[float, str], splits: str = "", labelled: str = "") -> Path:
        span = np.array([[0.0, 1.0]])
        labels = Labels(span, np.ones((1, 1), np.float32))
        write_corpus(
            tmp_path / "corpus",
            [
                Video(
                    f"v{i}", duration, tuple(tags.split(";")), span, np.zeros((1, 2), np.float32),
                    split={"t": "train", "v": "val"}.get(splits[i : i + 1], ""),
                    labels=labels if labelled[i : i + 1] == "l" else None,
                )
                for i, (duration, tags) in enumerate(videos)
            ],
            {"visual": Stream(2)},
            name="c",
            clip_seconds=1.0,
            shard_bytes=60,
        )  # fmt: skip
        return tmp_path / "corpus"

    return make


def renamed(root: Path, **facts: object) -> None:
    path = root / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def said(capsys: pytest.CaptureFixture[str], root: Path) -> list[str]:
    capsys.readouterr()
    assert main(["doctor", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith("corpus ")) :]


@pytest.mark.parametrize("training", ["lists", "transductive"])
@pytest.mark.parametrize("splits", ["", "ttttvvttt", "vvvvvvvvv"])
def test_counts_are_those_of_the_corpus_topic_by_topic(made: Made, training: str, splits: str) -> None:
    rng = np.random.default_rng(0)
    videos = [(float(rng.integers(20, 100)), ";".join(rng.choice(list("abcde"), 2))) for _ in range(9)]
    corpus = Corpus(made(*videos, splits=splits, labelled="l l l  ll"))
    assert len(corpus.shards) > 1
    found = topics_of(corpus, training)
    for place, topic in enumerate(found.names):
        assert found.tagged[place] == corpus.tagged(topic).sum()
        evaluated = corpus.evaluation_videos(topic)
        assert found.judged[place] == sum(corpus.labels(int(video)) is not None for video in evaluated)
        for rule in RULES:
            try:
                positive, negative = map(len, corpus.weak_labels(topic, rule, training))
            except ValueError:
                assert not found.trainable(rule)[place]
            else:
                assert (found.positive[rule][place], found.negative[rule][place]) == (positive, negative)
                assert found.trainable(rule)[place]


def test_a_topic_is_a_tag_with_positives_and_negatives(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    root = made((30, "dog"), (30, "dog;pet"), (90, "ski"), (90, "dog"), (90, "long"), labelled="l")
    lines = said(capsys, root)
    assert "  dog                      2 positive and 2 negative videos to train on, 1 with labels to judge by" in lines
    assert "  pet                      1 positive and 3 negative videos to train on, 0 with labels to judge by" in lines
    assert "  2 tags have no positive or no negative video to train on (data.rule=duration): long, ski" in lines


def test_nothing_is_to_judge_where_nothing_is_labelled(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, made((30, "dog"), (90, "ski")))
    assert "  dog                      1 positive and 1 negative videos to train on" in lines
    assert lines[-1] == "  no labels to judge by: a training leaves scores and a checkpoint"


def test_a_corpus_of_long_videos_alone_is_trained_by_the_other_rule(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, made((300, "dog"), (200, "ski")))
    assert "  dog                      1 positive and 1 negative videos to train on" in lines
    assert any("train with data.rule=tag" in line for line in lines)


@pytest.mark.parametrize("tags", [60, 3000])
def test_thousands_of_tags_are_cut_with_a_count(made: Made, tags: int, capsys: pytest.CaptureFixture[str]) -> None:
    of_short = ";".join(f"tag {i}" for i in range(tags))
    lines = said(
        capsys, made((30, of_short), (30, "tag 0"), (90, "other"), (90, ";".join(f"t{i}" for i in range(tags))))
    )
    assert len(lines) < 60
    assert f"  and {tags - doctor.MOST_TOPICS} smaller topics" in lines
    assert any(line.startswith("  tag 0                    2 positive") for line in lines)
    assert any(
        line.endswith(f"other, t0, t1, t10, t100 and {tags - 4} more" if tags > 100 else "more") for line in lines
    )


@pytest.mark.parametrize("name", ["\x1b[2Jx", "a\nforged", "\x9b31m", "\u202egpj", "[/b]", "\r"])
def test_names_move_no_cursor_and_forge_no_line(
    small_corpus: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "corpus"
    shutil.copytree(small_corpus, root)
    renamed(root, topics=[name, "topic01"], name=name)
    assert all(line.isprintable() for line in said(capsys, root))
    assert main(["train", f"data.root={root}", "topic=none", "logger=none", f"out={tmp_path / 'runs'}"]) == 2
    assert main(["evaluate", "--corpus", str(root), "--topics", name, "--method", name]) == 2
    renamed(root, shards=[{"file": name, "bytes": 1, "sha256": name}])
    assert main(["verify", str(root)]) == main(["doctor", str(root)]) == 2
    both = capsys.readouterr()
    assert all(line.isprintable() for line in (*both.err.splitlines(), *both.out.splitlines()))
    assert not any(line.startswith("forged") for line in both.err.splitlines())


def test_many_faults_are_cut_with_a_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "faults", lambda root: (f"fault {number}\x1b" for number in range(5000)))
    for verb in ("verify", "doctor"):
        assert main([verb, str(tmp_path)]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == faults.MOST_FAULTS + 1
        assert lines[0] == "fault 0\\x1b"
        assert lines[-1] == f"highlight-lit: {tmp_path}: 5000 faults, the first 100 listed above"


def test_doctor_suggests_networks_where_there_are_classic_features_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = doctor._version
    for present, suggested in ((None, True), ("timm", False)):
        monkeypatch.setattr(
            doctor,
            "_version",
            lambda package, present=present: (
                ("1.0" if package == present else None)
                if package in ("torchvision", "timm", "transformers")
                else there(package)
            ),
        )
        assert doctor.run_doctor(argparse.Namespace(corpus=None)) == 0
        assert ("pip install 'highlight-lit[extractors]'" in capsys.readouterr().out) == suggested
