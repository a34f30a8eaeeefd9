"""A checkpoint takes no more memory and time than its size accounts for, whatever it says."""

from __future__ import annotations

import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from highlight_lit.errors import InputError
from highlight_lit.untrusted.checkpoint_file import read_checkpoint
from tests.processes import python

Save = Callable[..., Path]
MOST_MB = 600  # a sound checkpoint of this size takes some 400, of which PyTorch is most
MOST_S = 20.0  # of processor time


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


def read_in_a_process(path: Path) -> tuple[int, float, int, str]:
    """Exit status, processor seconds, MB at the most, and what was said, of a detector being loaded."""
    code = (
        "import sys\nfrom highlight_lit.errors import InputError\nfrom highlight_lit.inference.detector import load_detector\n"
        "from tests.processes import peak_kb\n"
        "try: load_detector(sys.argv[1])\nexcept InputError as error: print(error); sys.exit(2)\n"
        "finally: print(peak_kb())"
    )
    words = [str(path)]
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
    status, seconds, most, said = read_in_a_process(path)
    assert (status, said.count("\n")) == ((0, 0) if what == "deep" else (2, 1)), said[-2000:]
    assert most < MOST_MB
    assert seconds < MOST_S


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
    """A pickle of the format before PyTorch 1.6, with a sound zip file behind it."""
    header = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    pickles = [*(pickle.dumps(each, 2) for each in header), PICKLES["bytes"], pickle.dumps([], 2)]
    (tmp_path / "two.ckpt").write_bytes(b"".join(pickles))
    with zipfile.ZipFile(saved()) as sound, zipfile.ZipFile(tmp_path / "two.ckpt", "a") as two:
        for member in sound.infolist():
            two.writestr(member.filename, sound.read(member))
    with pytest.raises(InputError, match=r"two\.ckpt: damaged"):
        read_checkpoint(tmp_path / "two.ckpt")


def test_another_value_than_a_mapping_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save([1], tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="a list; expected a checkpoint"):
        read_checkpoint(tmp_path / "a.ckpt")
