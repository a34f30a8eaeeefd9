"""A network is made of what a file says only if every class is trusted, every argument plain, every tensor its own."""

from __future__ import annotations

import copy
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.topics.tags import MAX_TAG
from highlight_lit.errors import InputError
from highlight_lit.inference.loading.load import load_detector
from highlight_lit.untrusted import networks as trust
from tests.security.made import checkpoint_for

Save = Callable[..., Path]
MODEL = ("hyper_parameters", "model")


def put(value: object, *keys: Any) -> Callable[[dict[str, Any]], None]:
    """A change of a checkpoint: a value at a place."""

    def change(checkpoint: dict[str, Any]) -> None:
        at = checkpoint
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value

    return change


SYSTEMS = [
    (), ("model=mini_net",), ("model=lim",), ("model=mini_net", "modality=visual"), ("modality=audio",),
    *((f"fusion={name}",) for name in ("low_rank", "low_rank_one", "full_tensor", "concat", "product")),
    *((f"pooling={name}",) for name in ("sigmoid_gate", "noisy_or", "max", "mean")),
    ("context.T=0",), ("context.shared=true", "context.global_state=true"),
]  # fmt: skip


@pytest.mark.parametrize("words", SYSTEMS, ids=" ".join)
def test_every_system_that_can_be_trained_is_read_back_and_scores_as_it_did(
    small_corpus: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    checkpoint = checkpoint_for(small_corpus, *words)
    torch.save(checkpoint, tmp_path / "a.ckpt")
    corpus = Corpus(small_corpus)
    detector = load_detector(tmp_path / "a.ckpt")
    weights = detector.network.state_dict()
    assert all(
        torch.equal(weights[name.removeprefix("network.")], own) for name, own in checkpoint["state_dict"].items()
    )
    scores = detector.score_corpus(corpus, np.arange(3))
    assert [len(z) for z in scores.values()] == [corpus.clips[video] for video in range(3)]


TARGETS = [
    "os.system", "highlight_lit.files.writing.os.system", "torch.nn.Linear", "highlight_lit.models.fusion.torch.nn.Linear",
    "highlight_lit.models.fusion.Tensor", "highlight_lit.models.nothing.X", "..", "", "builtins.eval", "hydra.utils.call",
    "highlight_lit.models.fusion.Fusion.__init__", "highlight_lit.models.highlight_net.embed", "this.s", "antigravity.x",
    "${oc.env:HOME}", "highlight_lit.models.${oc.env:HOME}",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("part", [(), ("fusion",), ("context",), ("pooling",)])
def test_a_checkpoint_can_name_networks_of_this_package_alone(saved: Save, target: str, part: tuple[str, ...]) -> None:
    modules = set(sys.modules)
    with pytest.raises(InputError, match=r"a\.ckpt: model.*_target_: .* is not a network of highlight_lit.models"):
        load_detector(saved(put(target, *MODEL, *part, "_target_")))
    assert not {"this", "antigravity"} & (set(sys.modules) - modules)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of the user's, with a network, a function, and what it imports from elsewhere."""
    folder = tmp_path / "packages" / "theirs"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text("raise SystemExit('ran')\n")
    (folder / "fusion.py").write_text(
        textwrap.dedent(
            """
            import os
            from torch.nn import Linear
            from highlight_lit.models.fusion import Concatenation

            class Theirs(Concatenation):
                def __init__(self, d: int, gain: float = 1.0) -> None:
                    super().__init__(d)
                    self.gain = gain

            def call(d):
                raise SystemExit("ran")
            """
        )
    )
    monkeypatch.syspath_prepend(str(folder.parent))
    return "theirs"


def theirs(small_corpus: Path, target: str, **arguments: object) -> Callable[[dict[str, Any]], object]:
    def change(_: dict[str, Any]) -> object:
        checkpoint = checkpoint_for(small_corpus, "fusion=concat")
        checkpoint["hyper_parameters"]["model"]["fusion"] = {"_target_": target, "_partial_": True, **arguments}
        return checkpoint

    return change


def test_a_network_of_a_package_is_made_if_the_user_trusts_the_package_by_name(
    saved: Save, small_corpus: Path, package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(theirs(small_corpus, "theirs.fusion.Theirs", gain=2))
    with pytest.raises(InputError, match="'theirs.fusion.Theirs' is not a network of .*--trust PACKAGE"):
        load_detector(path)
    assert "theirs.fusion" not in sys.modules
    assert load_detector(path, ["theirs"]).network.fusion.gain == 2
    words = ["evaluate", "--checkpoint", str(path), "--corpus", str(small_corpus), "--draws", "2"]
    assert main(words) == 2
    assert "--trust PACKAGE" in capsys.readouterr().err
    assert main([*words, "--trust", "theirs"]) == 0
    assert main([*words, "--trust", "nowhere.at.all"]) == 2
    assert "--trust nowhere.at.all: no such package" in capsys.readouterr().err


@pytest.mark.parametrize(
    "target",
    ["theirs.fusion.call", "theirs.fusion.Linear", "theirs.fusion.Concatenation", "theirs.fusion.os.system",
     "theirs.__main__.x", "theirs.nothing.X", "theirs_too.X", "theirs.fusion.Nothing", "os.system"],
)  # fmt: skip
def test_of_a_trusted_package_only_networks_of_its_own_are_made(
    saved: Save, small_corpus: Path, package: str, target: str
) -> None:
    with pytest.raises(InputError, match="_target_: "):
        load_detector(saved(theirs(small_corpus, target)), ["theirs"])


ODD_NETWORKS = """
from torch import nn
class Unsigned(nn.Module):
    __signature__ = 3
class Stateless(nn.Module):
    def __init__(self, **given): super().__init__()
    def state_dict(self, *given, **named): return 3
class Unready(nn.Module):
    def __init__(self, **given): super().__init__()
    def state_dict(self, *given, **named): raise AttributeError("a\\nb")
"""


@pytest.mark.parametrize(
    "target",
    ["odd.raises.X", "odd.leaves.X", "odd.absent.X", "odd.nets.Unsigned", "odd.nets.Stateless", "odd.nets.Unready"],
)
def test_what_a_trusted_package_raises_is_one_line(
    saved: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    files = {
        "__init__": "",
        "raises": "raise ValueError('a\\nb')",
        "leaves": "raise SystemExit(3)",
        "nets": ODD_NETWORKS,
    }
    (tmp_path / "odd").mkdir()
    for name, text in files.items():
        (tmp_path / "odd" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "odd"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match=r"a\.ckpt: model") as refused:
        load_detector(saved(put(target, *MODEL, "_target_")), ["odd"])
    assert "\n" not in str(refused.value)


def test_the_longest_tag_is_a_topic_of_a_checkpoint_too(saved: Save) -> None:
    topic = "é" * MAX_TAG
    assert load_detector(saved(put(topic, "hyper_parameters", "topic"))).topic == topic


@pytest.mark.parametrize("key", ["topic", "extractor"])
def test_a_name_that_no_file_can_hold_is_refused(saved: Save, key: str) -> None:
    where = ("topic",) if key == "topic" else ("streams", "visual", key)
    with pytest.raises(InputError, match=f"{key}: expected text of at most 500 characters, which UTF-8 can hold"):
        load_detector(saved(put("a\ud800", "hyper_parameters", *where)))


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        (("d",), True, "model.d: True; expected a whole number"),
        (("d",), "8", "model.d: '8'; expected a whole number"),
        (("d",), 8.0, "model.d: 8.0; expected a whole number"),
        (("d",), "${oc.env:HOME}", r"model.d: '\$\{oc.env:HOME\}'; expected a whole number"),
        (("d",), 10**30, "model.d: a huge number; expected at most"),
        (("d",), None, "model.d: None; expected a whole number"),
        (("dropout",), float("nan"), "hyper_parameters.model.dropout: nan; expected plain values"),
        (("dropout",), 7.0, "model: HighlightNet: dropout probability"),
        (("dropout",), torch.zeros(1), "model.dropout: a Tensor; expected plain values"),
        (("fusion",), "x", "model.fusion: 'x'; expected a Fusion"),
        (("fusion",), [], "model.fusion: a list; expected a Fusion"),
        (("fusion", "_partial_"), False, "model.fusion: a ResidualFusion; expected a Fusion"),
        (("fusion", "_partial_"), "yes", "model.fusion._partial_: 'yes'; expected true or false"),
        (("fusion", "_target_"), "highlight_lit.models.pooling.MaxPooling", "model.fusion"),
        (("fusion", "_args_"), [1], "model.fusion._args_: no argument of ResidualFusion; expected d, R, scale"),
        (("fusion", "_convert_"), "all", "model.fusion._convert_: no argument"),
        (("fusion", "Rank"), 1, "model.fusion.Rank: no argument of ResidualFusion"),
        (("fusion", "\x1b[2J"), 1, r"model.fusion.\\x1b\[2J: no argument"),
        (("fusion", "R"), 0, "the rank must be at least 1"),
        (("context", "T"), 10**9, "model.context.T: 1000000000; expected at most"),
        (("context", "T"), 10**6, "the number of context steps must be from 0 to 1024"),
        (("tau",), -1, "."),
        (("_partial_",), True, "model._partial_: true; expected a network"),
        (("_target_",), 3, "model: .*expected a mapping with _target_"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_named_in_one_line(saved: Save, keys: tuple[str, ...], value: object, says: str) -> None:
    path = saved(put(value, *MODEL, *keys))
    if keys == ("tau",):
        load_detector(path)  # it is read by nothing when clips are scored
        return
    with pytest.raises(InputError, match=says) as refused:
        load_detector(path)
    assert "\n" not in str(refused.value)
    assert "a.ckpt" in str(refused.value)


def test_depth_and_number_of_values_are_bounded(saved: Save) -> None:
    deep: list[Any] = []
    itself: list[Any] = []
    itself.append(itself)
    for _ in range(200):
        deep = [deep]
    doubled: list[Any] = []
    for _ in range(24):  # 2 ** 24 lists, in a few hundred bytes
        doubled = [doubled, doubled]
    for value, says in ((deep, "over 32 deep"), (itself, "over 32 deep"), (doubled, "over 1000000 values")):
        began = time.process_time()
        with pytest.raises(InputError, match=says):
            load_detector(saved(put(value, *MODEL, "dropout")))
        assert time.process_time() - began < 20


WIDTH = ("hyper_parameters", "streams", "visual", "width")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.pop("hyper_parameters"), r"hyper_parameters: missing"),
        (lambda c: c.pop("state_dict"), "state_dict: missing"),
        (put([], "state_dict"), "state_dict: a list"),
        (put({1: 2}, "hyper_parameters"), "hyper_parameters: a dict"),
        (lambda c: c["hyper_parameters"].pop("model"), "model: None; expected a mapping with _target_"),
        (lambda c: c["hyper_parameters"].pop("streams"), "streams: missing"),
        (lambda c: c["hyper_parameters"].pop("topic"), "topic: expected text"),
        (put("x" * 10_000, "hyper_parameters", "topic"), "topic: expected text of at most 500"),
        (put(-1, *WIDTH), "streams.visual.width: expected a whole number from 1 to"),
        (put(10**12, *WIDTH), "streams.visual.width: expected a whole number from 1 to"),
        (put("12", *WIDTH), "streams.visual.width: expected a whole number"),
        (put(13, *WIDTH), r"embeddings.visual.mean: shape \(12,\), expected \(13,\)"),
        (put(3, *WIDTH[:-1], "extractor"), "streams.visual.extractor: expected text"),
        (put("object", *WIDTH[:-1], "dtype"), "streams.visual.dtype: expected float16 or float32"),
        (put(3, *WIDTH[:-1], "depth"), "streams.visual: expected visual or audio with"),
        (put({"width": 3}, "hyper_parameters", "streams", "smell"), "streams.smell: expected visual or audio"),
        (lambda c: c["hyper_parameters"]["streams"].pop("audio"), "reads the audio stream: its width is missing"),
        (lambda c: c["state_dict"].pop("network.head.bias"), "do not fit its network .head.bias: missing"),
        (put(torch.zeros(2), "state_dict", "network.more"), "do not fit its network .more: no such weight"),
        (put(3, "state_dict", "network.head.bias"), "head.bias: 3; expected a tensor"),
        (put(torch.zeros(2), "state_dict", "network.head.bias"), r"head.bias: shape \(2,\), expected \(1,\)"),
        (put(torch.zeros(1, dtype=torch.int64), "state_dict", "network.head.bias"), "head.bias: numbers of torch.int64"),
        (put(torch.tensor([torch.nan]), "state_dict", "network.head.bias"), "head.bias: NaN or infinite"),
        (put(torch.tensor([-torch.inf]), "state_dict", "network.head.bias"), "head.bias: NaN or infinite"),
        (put(torch.tensor([1e300], dtype=torch.float64), "state_dict", "network.head.bias"), "head.bias: NaN or infinite"),
    ],
)  # fmt: skip
def test_missing_and_wrong_parts_are_named_in_one_line(saved: Save, change: Any, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        load_detector(saved(change))
    assert str(refused.value).startswith(str(saved(name="b.ckpt").with_name("a.ckpt")))


def test_weights_without_a_finite_score_and_parts_that_do_not_fit_name_the_checkpoint(
    saved: Save, corpus: Corpus
) -> None:
    absurd = load_detector(saved(put(torch.full((1,), 3e38), "state_dict", "network.head.bias")))
    absurd.network.head.bias.data.mul_(10)
    with pytest.raises(InputError, match=r"a\.ckpt: its network gives no finite score"):
        absurd.score_corpus(corpus, np.arange(1))
    zero = load_detector(saved(put(torch.zeros(12), "state_dict", "network.embeddings.visual.std")))
    with pytest.raises(InputError, match=r"a\.ckpt: its network gives no finite score"):
        zero.score_corpus(corpus, np.arange(1))
    part = {"_target_": "highlight_lit.models.pooling.MaxPooling", "_partial_": True}

    def swap(checkpoint: dict[str, Any]) -> None:
        checkpoint["hyper_parameters"]["model"]["context"] = part
        for name in [name for name in checkpoint["state_dict"] if ".context." in name]:
            del checkpoint["state_dict"][name]

    with pytest.raises(InputError, match=r"a\.ckpt: its network cannot score clips"):
        load_detector(saved(swap)).score_corpus(corpus, np.arange(1))


def test_a_network_is_compared_with_the_weights_before_it_takes_memory(
    saved: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    drawn = torch.nn.init.normal_

    def draw(tensor: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
        made.append(tensor.device.type)
        return drawn(tensor, *given, **named)

    monkeypatch.setattr(torch.nn.init, "normal_", draw)
    for keys, value in ((("fusion", "R"), 10**6), (("d",), 10**6), (("d",), trust.MAX_ARGUMENT)):
        with pytest.raises(InputError, match="do not fit|model"):
            load_detector(saved(put(value, *MODEL, *keys)))
    assert set(made) == {"meta"}


def test_what_a_checkpoint_says_of_loss_and_optimizer_is_not_made_when_clips_are_scored(saved: Save) -> None:
    evil = {"_target_": "os.system", "command": "exit 1"}

    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["hyper_parameters"].update(loss=evil, optimizer={"algorithm": copy.copy(evil)})

    load_detector(saved(change))
