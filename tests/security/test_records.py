"""Records and notes of a sweep are data: what is missing or of another type is named, and nothing in them is resolved."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.runs.ledger import FORMAT, RECORD, VERSION, claimed, read_record, records
from highlight_lit.runs.logging.loggers import opened
from highlight_lit.runs.logging.tracking import wandb_logger
from highlight_lit.runs.sweep import read_note
from highlight_lit.training.guided import identity_with_teacher
from highlight_lit.training.train import train
from tests.security.made import places

MEASURE = {
    "description": "d",
    "mean": 0.5,
    "n_videos": 2,
    "topics": {"dog": 0.5},
    "videos": {"dog": {"a": 0.5, "b": None}},
}
REPORT = {"primary": "m", "measures": {"m": MEASURE}}
CHANCE = {"measures": {"m": {"mean": 0.4, "std": 0.1, "topics": {"dog": {"mean": 0.4, "std": 0.1}}}}}
VALID: dict[str, Any] = {
    "format": FORMAT, "version": VERSION, "status": "done", "id": "0a", "study": None, "topic": "dog", "modality": "av",
    "seed": 0, "config": {"out": "runs", "model": {}}, "corpus": {"name": "c", "fingerprint": "f"},
    "environment": {"commit": ""}, "seconds": 1.5, "epochs": 2, "steps": 4, "losses": {"train/loss": 0.5},
    "evaluation": {**REPORT, "levels": {"chance": CHANCE, "middle": REPORT, "annotators": REPORT}},
}  # fmt: skip


def written(folder: Path, record: object) -> Path:
    (folder / RECORD).write_text(json.dumps(record))
    return folder


def test_a_sound_record_is_read(tmp_path: Path) -> None:
    assert read_record(written(tmp_path, VALID)) == VALID
    assert read_record(written(tmp_path, {**VALID, "status": "failed", "error": "x"})) is not None
    without = {key: value for key, value in VALID.items() if key != "evaluation"}
    assert read_record(written(tmp_path, without)) == without


FREE = {"format", "version", "evaluation", "a", "b", "train/loss", "dog"}  # refused elsewhere, or may be missing


@pytest.mark.parametrize("strange", [[], {"x": {}}, "x" * 70_000, True, 1e400], ids=repr)
def test_each_place_with_something_else_is_named(tmp_path: Path, strange: object) -> None:
    for number, (_, key) in enumerate(places(VALID)):
        record = copy.deepcopy(VALID)
        holder, key = list(places(record))[number]
        holder[key] = strange
        if key == "model":
            continue
        with pytest.raises(InputError, match=RECORD) as refused:
            read_record(written(tmp_path, record))
        assert "\n" not in str(refused.value)


def test_a_record_without_its_topic_or_without_the_measure_to_quote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="measures.m: topic cat is missing"):
        read_record(written(tmp_path, {**VALID, "topic": "cat"}))
    with pytest.raises(InputError, match="evaluation.primary: not one of its measures"):
        read_record(written(tmp_path, {**VALID, "evaluation": {**VALID["evaluation"], "primary": "n"}}))


@pytest.mark.parametrize("fold", [5, "5", "3/2", "1/1", ["1/2"], True])
def test_a_fold_that_is_none_is_named_before_folds_are_put_together(tmp_path: Path, fold: object) -> None:
    config = VALID["config"]
    sound = {**VALID, "config": {**config, "data": {"fold": "1/2"}}}
    assert read_record(written(tmp_path, sound)) is not None
    with pytest.raises(InputError, match=f"{RECORD}: config.data.fold: expected K/n"):
        read_record(written(tmp_path, {**VALID, "config": {**config, "data": {"fold": fold}}}))


def test_each_missing_key_is_named(tmp_path: Path) -> None:
    for number, (_, key) in enumerate(places(VALID)):
        if key in FREE:
            continue
        record = copy.deepcopy(VALID)
        holder, key = list(places(record))[number]
        del holder[key]
        with pytest.raises(InputError, match=f"{RECORD}: .*(missing|expected|not one of)"):
            read_record(written(tmp_path, record))


@pytest.mark.parametrize("content", ["", "[]", "null", "[" * 10_000, '{"a": ' * 500, "9" * 5000, "{", "\\ud800"])
def test_a_record_and_a_note_that_are_something_else_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / RECORD).write_text(content)
    with pytest.raises(InputError, match=RECORD):
        list(records(tmp_path))
    with pytest.raises(InputError, match=RECORD):
        read_note(tmp_path / "one" / RECORD)


def test_a_pipe_in_the_place_of_a_record_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / RECORD)
    with pytest.raises(InputError, match="a pipe; expected a record of a run"):
        read_record(tmp_path)
    with pytest.raises(InputError, match="a pipe"):
        read_note(tmp_path / RECORD)


def test_a_topic_of_a_corpus_is_text_in_a_plain_configuration(
    tmp_path: Path, make_video: Callable[..., Any], quick_plain: Callable[..., dict[str, Any]]
) -> None:
    topic = "${oc.env:HOME}"
    videos = [make_video(f"v{i}", clips=5 if i % 2 else 70, tags=(topic,) if i % 2 else ("cat",)) for i in range(8)]
    streams = {"visual": Stream(4), "audio": Stream(3)}
    write_corpus(tmp_path / "corpus", videos, streams, name="c", clip_seconds=1.0)
    config = quick_plain(topic=topic, out=str(tmp_path / "runs"))
    config["data"]["root"] = str(tmp_path / "corpus")
    assert train(config)["topic"] == topic


def test_a_folder_of_wandb_that_is_a_link_is_not_emptied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "elsewhere" / "offline-run-1-0a"
    kept.mkdir(parents=True)
    (tmp_path / "wandb").symlink_to(kept.parent)
    config = {"topic": "dog", "modality": "av", "seed": 0, "study": None}
    assert wandb_logger("offline", "p", None, False, tmp_path / "run", "0a", config) is None
    assert "wandb: a link" in capsys.readouterr().err
    assert kept.is_dir()


@pytest.mark.parametrize("leads_to", ["a folder", "nothing"])
def test_a_folder_of_a_run_that_is_a_link_is_not_written_into(
    leads_to: str, tmp_path: Path, make_video: Callable[..., Any], quick_plain: Callable[..., dict[str, Any]]
) -> None:
    videos = [make_video(f"v{i}", clips=5 if i % 2 else 70, tags=("dog" if i % 2 else "cat",)) for i in range(8)]
    streams = {"visual": Stream(4), "audio": Stream(3)}
    write_corpus(tmp_path / "corpus", videos, streams, name="c", clip_seconds=1.0)
    (tmp_path / "results").mkdir()
    (tmp_path / "runs").symlink_to("results")  # named by the user: followed
    config = quick_plain(topic="dog", out=str(tmp_path / "runs"))
    config["data"]["root"] = str(tmp_path / "corpus")
    run = tmp_path / "results" / identity_with_teacher(config, Corpus(tmp_path / "corpus").fingerprint)
    run.symlink_to(tmp_path / "elsewhere")
    if leads_to == "a folder":
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere/kept").write_text("precious")
    with pytest.raises(InputError, match=f"{run.name}: a link, through which a run would write elsewhere"):
        train(config)
    assert [path.name for path in tmp_path.glob("elsewhere/*")] == ["kept"] * (leads_to == "a folder")
    assert [path.name for path in (tmp_path / "results").iterdir()] == [run.name]
    run.unlink()
    with claimed(tmp_path / "runs", run.name, "dog") as folder:
        assert folder == tmp_path / "runs" / run.name


@pytest.mark.parametrize("place", ["csv", "csv/metrics.csv", "csv/hparams.yaml"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_logger_writes_to_no_link_and_waits_for_no_pipe(
    kind: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim, path = tmp_path / "victim", tmp_path / "run" / place
    victim.write_text("precious")
    path.parent.mkdir(parents=True)
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(victim)
    node = {"_target_": "pytorch_lightning.loggers.CSVLogger", "name": "csv", "version": ""}
    with opened({"logger": {"csv": node}}, tmp_path / "run", "0a") as loggers:
        assert loggers == []
    assert f"{path}: a link, a pipe or a device" in capsys.readouterr().err
    assert victim.read_text() == "precious"
    path.unlink()
    with opened({"logger": {"csv": node}}, tmp_path / "run", "0a") as [logger]:
        logger.log_metrics({"a": 1.0}, 0)
        logger.save()
    assert (tmp_path / "run/csv/metrics.csv").is_file()


def test_a_link_in_the_place_of_a_corpus_that_is_being_written_is_not_followed(
    tmp_path: Path, make_video: Callable[..., Any]
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("kept")
    (tmp_path / ".corpus.partial").symlink_to(victim)
    with pytest.raises(InputError, match="corpus: cannot be written"):
        write_corpus(tmp_path / "corpus", [make_video()], {"visual": Stream(4), "audio": Stream(3)}, name="c",
                     clip_seconds=1.0)  # fmt: skip
    assert [path.name for path in victim.iterdir()] == ["precious"]


@pytest.mark.parametrize("word", ["topic='${oc.env:NOT_THERE}'", "topic=${not_there}", "seed=${seed}"])
def test_a_word_of_the_command_line_that_leads_nowhere_is_one_line(
    word: str, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So is the name of a topic that looks like one: `${` alone is the user's, with a backslash it is text."""
    words = ["train", f"data.root={small_corpus}", "topic=topic01", f"out={tmp_path}", word]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.endswith("; expected a key that is there, or \\${ for a text with ${ in it\n")
    assert len(said.splitlines()) == 1
