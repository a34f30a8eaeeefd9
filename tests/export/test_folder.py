"""The folder that travels: read as a checkpoint is, as data; up to the hub and back; a card of what the run reached."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.export.card import card_of
from highlight_lit.inference.detector import Detector
from highlight_lit.inference.loading.model_folder import CARD, CONFIG, WEIGHTS, write_model_folder
from tests.data.test_full_disk import run_with_room_for

safetensors_torch = pytest.importorskip(
    "safetensors.torch", reason="NO EXPORT TESTED: the extra export is not installed"
)
Drawn = Callable[..., Detector]


@pytest.fixture
def folder(drawn: Drawn, tmp_path: Path) -> Path:
    """A detector's folder."""
    detector = drawn()
    write_model_folder(tmp_path / "model", detector.parts, detector.network.state_dict(), "a card\n")
    return tmp_path / "model"


def change(folder: Path, *keys: str, to: object) -> None:
    """Change a value of the configuration."""
    config = json.loads((folder / CONFIG).read_text())
    at = config
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = to
    (folder / CONFIG).write_text(json.dumps(config))


def test_a_folder_scores_to_the_bit_as_its_checkpoint(folder: Path, small_corpus: Path, tmp_path: Path) -> None:
    ours, theirs = Detector.load(str(folder)), Detector.load(tmp_path / "last.ckpt")
    assert (ours.topic, ours.streams, ours.parts) == (theirs.topic, theirs.streams, theirs.parts)
    corpus = Corpus(small_corpus)
    for video in range(2):
        rows = (corpus.rows(video, "visual"), corpus.rows(video, "audio"))
        np.testing.assert_array_equal(ours.logits(*rows), theirs.logits(*rows))


MODEL = ("hyper_parameters", "model")


@pytest.mark.parametrize(
    ("keys", "value", "line"),
    [
        ((*MODEL, "_target_"), "os.system", "is not a network of highlight_lit.models"),
        ((*MODEL, "fusion", "_target_"), "builtins.eval", "is not a network of highlight_lit.models"),
        ((*MODEL, "fusion", "R"), 10**9, "expected at most"),
        ((*MODEL, "d"), 1 << 20, "do not fit its network"),
        ((*MODEL, "dropout"), "${oc.env:HOME}", "expected a number"),
        (("hyper_parameters", "streams", "visual", "width"), -1, "expected a whole number"),
        (("hyper_parameters", "topic"), None, "topic: expected text"),
        (("hyper_parameters",), [], "hyper_parameters: a list"),
        (("version",), 2, "expected format 'highlight-lit detector', version 1"),
        (("version",), True, "expected format 'highlight-lit detector', version 1"),
        (("format",), "another", "expected format 'highlight-lit detector', version 1"),
    ],
)
def test_a_configuration_is_checked_as_a_checkpoints_is(
    folder: Path, keys: tuple[str, ...], value: object, line: str
) -> None:
    change(folder, *keys, to=value)
    with pytest.raises(InputError, match=str(folder)) as raised:
        Detector.load(folder)
    assert line in str(raised.value)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 5 << 20) + b" " * (5 << 20) + bytes(8))


def _twice(path: Path) -> None:
    """A tensor that is there twice, in another shape."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    head = content[8 : 8 + size].rstrip()
    name, facts = next((name, facts) for name, facts in json.loads(head).items() if name == "head.weight")
    head = head[:-1] + f", {json.dumps({name: {**facts, 'shape': [8, 1]}})[1:]}".encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + content[8 + size :])


def _rewritten(**tensors: torch.Tensor) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        found = safetensors_torch.load(path.read_bytes())
        path.write_bytes(safetensors_torch.save({**found, **{k.replace("__", "."): v for k, v in tensors.items()}}))

    return write


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (Path.unlink, "model.safetensors: no such file"),
        (_cut, "damaged, or no safetensors file"),
        (_twice, "key 'head.weight' twice in one object"),
        (_header, "names and shapes of over 4 MiB"),
        (lambda path: path.write_bytes(b"PK\3\4"), "cut off, or no safetensors file"),
        (lambda path: path.write_bytes(b"\xff" * 64), "cut off, or no safetensors file"),
        (_rewritten(head__weight=torch.full((1, 8), torch.nan)), "head.weight: NaN or infinite"),
        (_rewritten(head__weight=torch.zeros(2, 8)), "head.weight: shape (2, 8), expected (1, 8)"),
        (_rewritten(further=torch.zeros(2)), "further: no such weight"),
        (_rewritten(head__weight=torch.zeros(1, 8, dtype=torch.int64)), "head.weight: numbers of torch.int64"),
    ],
)
def test_weights_are_checked_as_a_checkpoints_are(folder: Path, spoil: Callable[[Path], Any], line: str) -> None:
    spoil(folder / WEIGHTS)
    with pytest.raises(InputError, match=str(folder)) as raised:
        Detector.load(folder)
    assert line in str(raised.value)


def test_a_folder_that_was_cut_off_as_it_was_written_is_refused(folder: Path) -> None:
    (folder / CONFIG).unlink()
    with pytest.raises(InputError, match=r"config\.json: no such file"):
        Detector.load(folder)


@pytest.mark.parametrize("size", [0, 2000])  # of the card and the configuration, either has room in 2000 bytes
def test_without_room_nothing_is_left_and_what_was_there_stays(folder: Path, tmp_path: Path, size: int) -> None:
    old = shutil.copytree(folder, tmp_path / "old")
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    for out in (tmp_path / "deep" / "new", old):
        words = ["export", str(folder), "--to", "safetensors", "--out", str(out)]
        status, said = run_with_room_for(size, *words)
        assert (status, said.endswith("cannot be written (File too large)")) == (2, True)
        assert said.startswith(f"highlight-lit: {out}/")
    assert not (tmp_path / "deep").exists()
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before


class Api:
    """The hub's client, at its boundary."""

    calls: list[tuple[str, dict[str, Any]]]
    refuses: Exception | None = None

    def __init__(self, **_: object) -> None:
        Api.calls = []

    def model_info(self, repository: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=WEIGHTS, size=1000)])

    def create_repo(self, repository: str, **given: Any) -> str:
        Api.calls.append(("create", {"repository": repository, **given}))
        return f"https://hub/{repository}"

    def upload_folder(self, **given: Any) -> None:
        if Api.refuses is not None:
            raise Api.refuses
        Api.calls.append(("upload", given))


def test_a_folder_goes_up_whole_and_comes_back_by_its_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    words = ["export", str(folder), "--to", "safetensors", "--out", str(tmp_path / "up"), "--push-to-hub", "me/surf"]
    assert main(words) == 0
    assert capfd.readouterr().out.splitlines() == [str(tmp_path / "up"), "https://hub/me/surf"]
    (created, made), (uploaded, sent) = Api.calls
    assert (created, made) == ("create", {"repository": "me/surf", "exist_ok": True})
    assert uploaded == "upload"
    assert (sent["repo_id"], sent["folder_path"]) == ("me/surf", tmp_path / "up")
    assert sorted(sent["allow_patterns"]) == sorted(path.name for path in (tmp_path / "up").iterdir())
    assert 'Detector.load("me/surf")' in (tmp_path / "up" / CARD).read_text()

    asked: list[str] = []

    def download(repository: str, **_: object) -> str:
        asked.append(repository)
        return str(tmp_path / "up")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    rows = np.ones((3, 12)), np.ones((3, 8))
    np.testing.assert_array_equal(Detector.load("me/surf").logits(*rows), Detector.load(folder).logits(*rows))
    assert asked == ["me/surf"]
    (tmp_path / "me").mkdir()
    folder.rename(tmp_path / "me" / "surf")
    assert Detector.load("me/surf").source == Path("me/surf")  # what is there on disk wins
    assert asked == ["me/surf"]


def test_a_file_that_is_missing_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("runs/abc", "runz/last.ckpt", "surf", "/nowhere/at-all", "../a/b", "a/b/c"):
        with pytest.raises(InputError, match="no such file"):
            Detector.load(name)


def test_a_hub_that_is_out_of_reach_or_refuses_is_one_line_that_says_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    words = ["score", "--features", "a.npz", "--checkpoint", "nobody/nothing"]
    assert main(words) == 2
    error = capfd.readouterr().err
    assert len(error.splitlines()) == 1
    assert "nobody/nothing: no such file or folder here, and the Hugging Face hub cannot be reached" in error
    assert "check the connection" in error
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(words) == 2
    assert "HF_HUB_OFFLINE forbids" in capfd.readouterr().err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    class Response:
        status_code = 401

    refused = RuntimeError("401 Client Error\nmore lines")
    refused.response = Response()  # type: ignore[attr-defined]
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr(Api, "refuses", refused)
    assert main(["export", str(folder), "--to", "safetensors", "--out", "up", "--push-to-hub", "me/surf"]) == 2
    error = capfd.readouterr().err
    assert "--push-to-hub me/surf: the Hugging Face hub refuses writing (401 Client Error): log in" in error
    assert "the folder up is complete" in error
    assert Detector.load("up").topic == "topic01"


def test_the_card_tells_measures_beside_levels_and_where_they_were_made(drawn: Drawn) -> None:
    level = {"measures": {"ap": {"topics": {"topic01": 0.25}}}}
    record = {
        "id": "abc", "topic": "topic01", "modality": "av", "seed": 3, "epochs": 9, "training": {"positive": 5},
        "config": {"out": "/home/somebody/runs", "model": {}}, "corpus": {"name": "a|b <i>", "fingerprint": "fff"},
        "environment": {"commit": "0123abc", "torch": "2"},
        "evaluation": {
            "measures": {"ap": {"topics": {"topic01": 0.5}, "n_videos": 4}},
            "levels": {"chance": {"measures": {"ap": {"topics": {"topic01": {"mean": 0.125}}}}}, "middle": level, "annotators": level},
        },
    }  # fmt: skip
    card = card_of(drawn(), record, "me/surf")
    assert "| ap | 50.0 | 12.5 | 25.0 | 25.0 | 4 |" in card
    for each in ("| seed | 3 |", "| commit | 0123abc |", "fff", "5 positive", "synthetic-visual"):
        assert each in card
    assert r"a\|b \<i>" in card  # text stays text
    assert "somebody" not in card  # the card is for everybody
    for each in record["evaluation"]["levels"].values():  # type: ignore[index]
        each["measures"]["ap"]["topics"] = {}
    assert "| ap | 50.0 | - | - | - | 4 |" in card_of(drawn(), record)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, CARD])
def test_a_folder_in_the_place_of_a_file_is_named_before_anything_is_written(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"{name}: a folder; expected a name for a file"):
        write_model_folder(tmp_path, {}, {}, "card")
    assert [path.name for path in tmp_path.iterdir()] == [name]
