"""A checkpoint takes no more memory and time than its size accounts for, whatever it says, and a shard no more memory."""

from __future__ import annotations

import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from highlight_lit.data.batch import Bags
from highlight_lit.data.corpus import Corpus, write_corpus, write_manifest
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.inference import whole_video
from highlight_lit.inference.whole_video import whole_video_logits
from highlight_lit.models.context import TemporalContext
from highlight_lit.models.fusion import Fusion, LowRankFusion
from highlight_lit.models.highlight_net import HighlightNet
from highlight_lit.models.lim import Lim
from highlight_lit.models.mini_net import MiniNet
from highlight_lit.models.pooling import SoftmaxGate
from highlight_lit.untrusted.checkpoint_file import read_checkpoint
from tests.real_processes import python

Save = Callable[..., Path]
MOST_MB = (
    280  # above what the libraries take: 320 in PyTorch's CPU build, with which it is 600 in all, 450 in its CUDA build
)
MOST_S = 20.0  # of processor time


class OverTime(Fusion):
    """A fusion of a user's own, which reads all clips and says nothing of it."""

    def forward(self, f_v: torch.Tensor, f_a: torch.Tensor) -> torch.Tensor:
        return f_v + f_a.mean(1, keepdim=True)


LOW_RANK = partial(LowRankFusion, R=2)


def _net(fusion: Callable[..., Any] = LOW_RANK, **options: Any) -> HighlightNet:
    return HighlightNet(6, 4, 8, fusion, partial(TemporalContext, **options), SoftmaxGate)


NETWORKS: dict[str, Callable[[], torch.nn.Module]] = {
    "context": partial(_net, T=5), "none": partial(_net, T=0), "global": partial(_net, T=2, global_state=True),
    "mini": lambda: MiniNet(6, 4, d=8), "lim": lambda: Lim(6, 4, d=8), "fusion over time": lambda: _net(T=2, fusion=OverTime),
}  # fmt: skip


def rewritten(path: Path, content: bytes | None = None, **options: Any) -> Path:
    """The zip file again, with another pickle or compressed."""
    made = path.with_name("made.ckpt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", **options) as new:
        for member in old.infolist():
            replaced = content is not None and member.filename.endswith("data.pkl")
            new.writestr(member.filename, content if replaced else old.read(member))
    return made


def network(*keys: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(checkpoint: dict[str, Any]) -> None:
        at = checkpoint["hyper_parameters"]["model"]
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value

    return change


def repeated(checkpoint: dict[str, Any]) -> None:
    """One number that stands for 40 GB of weights, which the network then would hold."""
    checkpoint["hyper_parameters"]["model"]["d"] = 50_000
    for name, value in checkpoint["state_dict"].items():
        shape = [
            50_000 if width == 8 else width * 6250 if width in (16, 32, 40, 48, 64) else width for width in value.shape
        ]
        checkpoint["state_dict"][name] = torch.zeros(1).expand(shape) if shape else value


def shared(checkpoint: dict[str, Any]) -> None:
    """A thousand steps whose weights are the same 4 MB."""
    big = torch.zeros(1 << 20)
    for step in range(1000):
        checkpoint["state_dict"][f"network.context.W.{step}.weight"] = big.view(1 << 10, 1 << 10)


_NUMBERS = b"".join(b"J" + number.to_bytes(4, "little") + b"K\0" for number in range(50_000))
_ITEMS = b"".join(b"J" + number.to_bytes(4, "little") + b"K\0\x86" for number in range(50_000))
# Pickles of a megabyte that ask for tens of gigabytes.
PICKLES = {
    "mappings copied": b"\x80\2(](" + _ITEMS + b"e\x85q\0" + b"ccollections\nOrderedDict\nh\0R" * 20_000 + b"t.",
    "mappings built": b"\x80\2(}(" + _NUMBERS + b"uq\0" + b"ccollections\nOrderedDict\n)Rh\0b" * 20_000 + b"t.",
    "a callable kept": b"\x80\2(ccollections\nOrderedDict\nq\1](" + _ITEMS + b"e\x85q\0" + b"h\1h\0R" * 20_000 + b"t.",
    "sizes copied": b"\x80\2((" + b"K\1" * 400_000 + b"t\x85q\0" + b"ctorch\nSize\nh\0R" * 20_000 + b"t.",
    "bytes": b"\x80\2c__builtin__\nbytearray\n\x8a\5\0\xe4\x0bT\2\x85R.",
    "a tensor by its size": b"\x80\2ctorch\nTensor\n\x8a\5\0\xe4\x0bT\2\x85R.",
    "a storage made anew": b"\x80\2ctorch\nFloatStorage\n\x8a\5\0\xe4\x0bT\2\x85\x81.",
    "empty mappings": b"\x80\2(" + b"}" * (5 << 20) + b"t.",
    "deep tuples": b"\x80\2)" + b"\x85" * (1 << 20) + b".",
}  # fmt: skip
CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "rank": network("fusion", "R", value=12_000),
    "width": network("d", value=1 << 20),
    "steps": network("context", "T", value=10**9),
    "steps of one weight": lambda c: c["hyper_parameters"]["model"]["context"].update(T=10**6, shared=True),
    "bag": network("tau", value=10**9),
    "repeated": repeated,
    "shared": shared,
    "deep": lambda c: c.update(more=[OrderedDict() for _ in range(100_000)]),
}


LOAD = """
from highlight_lit.errors import InputError
from highlight_lit.inference.loading.load import load_detector
try: load_detector(sys.argv[1])
except InputError as error: print(error); sys.exit(2)
"""
TRAIN = """
from highlight_lit.training.command import main
sys.exit(main(sys.argv[1:]))
"""


def in_a_process(code: str, *words: str) -> tuple[int, float, int, str]:
    """Exit status, processor seconds, MB at the most above what the libraries take, and what was said."""
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    code = f"import sys\nfrom tests.real_processes import peak_kb\nbefore = peak_kb()\ntry:\n{body}finally:\n    print(peak_kb() - before)"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(python("-c", code, *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env=environment, cwd=Path(__file__).parents[2]) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    said, _, peak = said.rstrip("\n").rpartition("\n")
    return process.returncode, usage.ru_utime + usage.ru_stime, int(peak) >> 10, said + "\n" * bool(said)


@pytest.mark.parametrize("what", [*CHANGES, *PICKLES, "deflated"])
def test_a_checkpoint_is_refused_within_bounds_of_memory_and_time(saved: Save, what: str) -> None:
    if what in CHANGES:
        path = saved(CHANGES[what])
    elif what in PICKLES:
        path = rewritten(saved(), PICKLES[what])
    else:
        big = saved(lambda checkpoint: checkpoint["state_dict"].update(more=torch.zeros(1 << 26, dtype=torch.uint8)))
        path = rewritten(big, compression=zipfile.ZIP_DEFLATED)
        assert path.stat().st_size < 1 << 20
    status, seconds, most, said = in_a_process(LOAD, str(path))
    assert (status, said.count("\n")) == ((0, 0) if what == "deep" else (2, 1)), said[-2000:]
    assert most < MOST_MB
    assert seconds < MOST_S


def packed_corpus(root: Path, width: int, stands_for: int = 31 << 20) -> None:
    """Two videos of zeros in a file of some 100 KB, which stand for nearly 32 MiB: as much as any file may."""
    clips = stands_for // (2 * (4 * width + 1))
    span = np.stack([np.arange(0.0, clips), np.arange(1.0, clips + 1)], axis=1)
    rows = np.zeros((clips, width), "f2")
    videos = [Video(name, clips, (name,), span, rows, rows, np.ones(clips, bool)) for name in ("cat", "dog")]
    streams = {name: Stream(width, dtype="float16") for name in ("visual", "audio")}
    write_corpus(root, videos, streams, name="c", clip_seconds=1.0)
    shard = root / "shard-00000.h5"
    with h5py.File(shard) as valid, h5py.File(root / "packed.h5", "w") as packed:
        packed.attrs.update(valid.attrs)
        for name, dataset in valid.items():
            if not name.endswith("_sums"):
                options = {"chunks": dataset.shape, "compression": "gzip", "shuffle": True} if dataset.size else {}
                packed.create_dataset(name, data=dataset[()], **options).attrs.update(dataset.attrs)
    (root / "packed.h5").replace(shard)
    write_manifest(root, "c", None)
    assert shard.stat().st_size < 400 << 10


@pytest.mark.parametrize("width", [64, 4096])
def test_training_on_a_small_shard_that_stands_for_much_takes_no_more_memory(tmp_path: Path, width: int) -> None:
    packed_corpus(tmp_path / "corpus", width)
    words = ["topic=dog", "data.rule=tag", "data.pairs=4", "tau=8", "model.d=8", "trainer.max_epochs=1", "logger=none"]
    status, _, most, said = in_a_process(TRAIN, *words, f"data.root={tmp_path / 'corpus'}", f"out={tmp_path / 'runs'}")
    assert status == 0, said[-2000:]
    assert most < MOST_MB


def test_streams_of_a_file_stand_for_no_more_together_than_one_may(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"audio: .*more than a file of its size can hold"):
        packed_corpus(tmp_path / "corpus", 4096, stands_for=40 << 20)


def test_a_corpus_with_a_video_of_more_clips_than_one_may_have_is_refused(
    small_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("highlight_lit.data.corpus.corpus.MAX_CLIPS", int(Corpus(small_corpus).clips.max()) - 1)
    with pytest.raises(InputError, match=r"video '.*': span: \d+ clips; expected at most \d+ a video"):
        Corpus(small_corpus)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_long_video_is_scored_in_windows_as_it_is_whole(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each clip's window holds all that it reads; a network that reads all clips at once is told to be asked for less."""
    torch.manual_seed(0)
    made = NETWORKS[network]().eval()
    clips = 50
    bags = Bags(torch.randn(1, clips, 6), torch.randn(1, clips, 4), torch.ones(1, clips, dtype=torch.bool),
                torch.rand(1, clips) < 0.7, torch.zeros(1))  # fmt: skip
    with torch.no_grad():
        whole = whole_video_logits(made, bags)
        monkeypatch.setattr(whole_video, "WINDOW", 16)
        torch.testing.assert_close(whole_video_logits(made, bags), whole)
        monkeypatch.setattr(whole_video, "MAX_AT_ONCE", clips - 1)
        if network in ("global", "fusion over time"):
            with pytest.raises(InputError, match="a video of 50 clips; expected at most 49"):
                whole_video_logits(made, bags)
        else:
            torch.testing.assert_close(whole_video_logits(made, bags), whole)


@pytest.mark.parametrize(("T", "global_state"), [(2, False), (2, True), (40, False)])
def test_a_wide_network_goes_through_fewer_clips_at_once(
    T: int, global_state: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fusion of high rank takes few bytes of a file and many of each clip."""
    monkeypatch.setattr(whole_video, "WINDOW", 256)
    monkeypatch.setattr(whole_video, "MAX_AT_ONCE", 1024)
    torch.manual_seed(0)
    made = _net(partial(LowRankFusion, R=1024), T=T, global_state=global_state).eval()
    lengths: list[int] = []
    made.fusion.register_forward_pre_hook(lambda module, given: lengths.append(given[0].shape[1]))
    bags = Bags(torch.randn(1, 200, 6), torch.randn(1, 200, 4), torch.ones(1, 200, dtype=torch.bool),
                torch.ones(1, 200, dtype=torch.bool), torch.zeros(1))  # fmt: skip
    with torch.no_grad():
        if T == 2 and not global_state:
            torch.testing.assert_close(whole_video_logits(made, bags), made(*bags[:4]).z[0])
            assert max(lengths[:-1]) == 32
        else:
            with pytest.raises(InputError, match="a video of 200 clips; expected at most 128"):
                whole_video_logits(made, bags)


def test_what_training_writes_is_read_though_mappings_are_made_of_others(tmp_path: Path) -> None:
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 5, 5])
    whole = {"state_dict": layer.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
             "history": [{"epoch": epoch, "train/loss": 0.5} for epoch in range(10_000)]}  # fmt: skip
    torch.save(whole, tmp_path / "a.ckpt")
    read = read_checkpoint(tmp_path / "a.ckpt")
    assert read["schedule"] == whole["schedule"]
    assert read["history"] == whole["history"]


def test_a_file_of_two_formats_is_not_read_as_the_one_that_was_not_checked(saved: Save, tmp_path: Path) -> None:
    """A pickle of the format before PyTorch 1.6, with a valid zip file behind it."""
    header = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    pickles = [*(pickle.dumps(each, 2) for each in header), PICKLES["bytes"], pickle.dumps([], 2)]
    (tmp_path / "two.ckpt").write_bytes(b"".join(pickles))
    with zipfile.ZipFile(saved()) as valid, zipfile.ZipFile(tmp_path / "two.ckpt", "a") as two:
        for member in valid.infolist():
            two.writestr(member.filename, valid.read(member))
    with pytest.raises(InputError, match=r"two\.ckpt: damaged"):
        read_checkpoint(tmp_path / "two.ckpt")


def test_another_value_than_a_mapping_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([1], tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="a list; expected a checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")
