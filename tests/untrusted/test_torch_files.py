"""Files of tensors: read as data, in no more memory than they are large, and refused in one line."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from highlight_lit.errors import InputError
from highlight_lit.untrusted.torch_files import read_tensors
from tests.real_processes import python

ROOT = Path(__file__).parents[2]

STATE = {"weight": torch.arange(6.0).view(2, 3), "tied": None, "epoch": 3, "steps": Counter({50: 1})}


def saved(path: Path, value: object, **options: object) -> Path:
    torch.save(value, path, **options)
    return path


def remade(source: Path, path: Path, change=lambda name, content: content, **options: object) -> Path:
    """A zip file written anew, each member's content changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", **options) as new:
        for member in old.infolist():
            new.writestr(member.filename, change(member.filename, old.read(member)))
    return path


def with_pickle(source: Path, path: Path, content: bytes) -> Path:
    return remade(source, path, lambda name, old: content if name.endswith("data.pkl") else old)


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_and_plain_values_come_back_as_they_were(tmp_path, legacy):
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    network[0].weight.data[0, 0] = 7
    half = network[0].weight.data.to(torch.bfloat16)
    value = {**STATE, "state": network.state_dict(), "half": half, "shared": [half, half[0]], "empty": torch.zeros(0)}
    path = saved(tmp_path / "a.pth", value, _use_new_zipfile_serialization=not legacy)
    read = read_tensors(path, "a checkpoint", legacy=True)
    assert read.keys() == value.keys()
    assert (read["epoch"], read["steps"]) == (3, Counter({50: 1}))
    assert torch.equal(read["half"], half)
    assert torch.equal(read["shared"][1], half[0])
    assert isinstance(read["state"], OrderedDict)
    assert all(torch.equal(read["state"][key], tensor) for key, tensor in network.state_dict().items())


def test_the_state_of_an_optimizer_and_a_scheduler_comes_back(tmp_path):
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    scheduler.step()
    path = saved(tmp_path / "a.ckpt", {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()})
    read = read_tensors(path, "a checkpoint")
    assert read["scheduler"]["milestones"] == Counter({1: 1, 2: 1})
    optimizer.load_state_dict(read["optimizer"])


class Call:
    """What a pickle may say to be called."""

    def __init__(self, call, *given):
        self.parts = (call, given)

    def __reduce__(self):
        return self.parts


def compressed(folder: Path) -> Path:
    path = saved(folder / "zeros.pth", {"a": torch.zeros(1_000_000)})
    return remade(path, folder / "compressed.pth", compression=zipfile.ZIP_DEFLATED)


def compressed_names(folder: Path) -> Path:
    path = saved(folder / "names.pth", {"a": "b" * 2_000_000})
    return remade(path, folder / "compressed.pth", compression=zipfile.ZIP_BZIP2)


def many_names(folder: Path) -> Path:
    return saved(folder / "names.pth", [str(i) for i in range(600_000)])


def overlapping(folder: Path) -> Path:
    """Two members of the list are the same bytes of the file."""
    path = saved(folder / "plain.pth", {"a": torch.zeros(1000)})
    with zipfile.ZipFile(path, "a") as archive:
        first = next(member for member in archive.infolist() if member.filename.endswith("data/0"))
        archive.filelist += [first, first]
        archive._didModify = True
    return path


def long_list(folder: Path) -> Path:
    path = folder / "list.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(60_000):
            archive.writestr(f"{number:0100}", b"")
    return path


def other_list(folder: Path) -> Path:
    """The end points at another list of members than the one before it."""
    path = saved(folder / "plain.pth", STATE)
    content = bytearray(path.read_bytes())
    struct.pack_into("<Q", content, len(content) - 42 + 8, 0)
    path.write_bytes(content)
    return path


def second_list(folder: Path) -> Path:
    """The end points at the list of a compressed tensor; the list before it is of a small one, stored as it is."""
    parts = []
    for numbers, packing in ((1_000_000, zipfile.ZIP_DEFLATED), (1, zipfile.ZIP_STORED)):
        path = saved(folder / "two.pth", {"a": torch.zeros(numbers)})
        data = remade(path, folder / "again.pth", compression=packing).read_bytes()
        begin = struct.unpack("<L", data[-6:-2])[0]
        parts.append((data[:begin], bytearray(data[begin:-22]), data[-22:]))
    (large, first, end), (small, second, _) = parts
    at = 0
    while at < len(second):  # where each member is, as a reader finds it that goes by the end of the list
        moved = struct.unpack_from("<L", second, at + 42)[0] + len(large) - len(small)
        struct.pack_into("<L", second, at + 42, moved)
        at += 46 + sum(struct.unpack_from("<3H", second, at + 28))
    path.write_bytes(large + first + small + second + end)
    return path


def repeated(folder: Path) -> Path:
    return saved(folder / "repeated.pth", {"a": torch.zeros(1).expand(10**6, 10**6)})


def repeated_inside(folder: Path) -> Path:
    return saved(folder / "inside.pth", {"a": [{"b": (torch.zeros(3)[:1].expand(5),)}]})


def beyond(folder: Path) -> Path:
    """A tensor of 10**9 numbers on a storage of a thousand."""
    path = saved(folder / "plain.pth", {"a": torch.zeros(1000)})
    return remade(
        path, folder / "beyond.pth", lambda name, old: old.replace(struct.pack("<H", 1000), struct.pack("<H", 60_000))
    )


def flipped(folder: Path) -> Path:
    path = saved(folder / "plain.pth", {"a": torch.ones(1000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def cut(folder: Path) -> Path:
    path = saved(folder / "plain.pth", {"a": torch.ones(1000)})
    path.write_bytes(path.read_bytes()[:-500])
    return path


def calling(*call: object):
    def write(folder: Path) -> Path:
        path = saved(folder / "plain.pth", STATE)
        return with_pickle(path, folder / "calling.pth", pickle.dumps({"a": Call(*call)}, 2))

    return write


HOSTILE = {
    "compressed tensor": (compressed, "a compressed member"),
    "compressed names": (compressed_names, "a compressed member"),
    "many names": (many_names, "names and shapes of over 4 MiB"),
    "overlapping members": (overlapping, ""),
    "long list of members": (long_list, "list of members of over 8 MiB"),
    "two lists of members": (other_list, "its end is damaged"),
    "a list for each reader": (second_list, "its list of members does not lie before its end"),
    "one number repeated": (repeated, "more than the file holds"),
    "repeated further in": (repeated_inside, "more than the file holds"),
    "tensor beyond its numbers": (beyond, ""),
    "one bit flipped": (flipped, "CRC-32"),
    "cut off": (cut, "its end is missing"),
    "calls a command": (calling(os.system, "touch ran"), "it calls posix.system"),
    "asks for gigabytes": (calling(bytearray, 10**10), "it calls __builtin__.bytearray"),
    "asks for a tensor": (calling(torch._utils._rebuild_wrapper_subclass, 10**10), "it calls torch._utils."),
    "text": (lambda folder: (folder / "a.pth").write_text("hello") and folder / "a.pth", "no zip file"),
    "empty": (lambda folder: (folder / "a.pth").touch() or folder / "a.pth", "no zip file"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_or_damaged_file_is_refused_in_one_line_that_names_it(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    write, said = HOSTILE[kind]
    path = write(tmp_path)
    with pytest.raises(InputError) as raised:
        read_tensors(path, "a checkpoint")
    assert str(raised.value).startswith(f"{path}: damaged, or not a checkpoint of tensors and plain values (")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "ran").exists()


OLDER = {
    "one number repeated": lambda path: saved_older(path, {"a": torch.zeros(1).expand(10**6, 10**6)}),
    "asks for gigabytes": lambda path: saved_older(path, {"a": Call(bytearray, 10**10)}),
    "storage beyond its numbers": lambda path: path.write_bytes(
        saved_older(path, {"a": torch.zeros(1000)}).read_bytes().replace(struct.pack("<H", 1000), b"\xff\xff")
    ),
    "many names": lambda path: saved_older(path, [str(i) for i in range(600_000)]),
    "cut off": lambda path: path.write_bytes(saved_older(path, {"a": torch.zeros(1000)}).read_bytes()[:-500]),
    "text": lambda path: path.write_text("hello"),
}


def saved_older(path: Path, value: object) -> Path:
    return saved(path, value, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("kind", OLDER)
def test_the_older_format_is_held_to_the_same(tmp_path, kind):
    OLDER[kind](tmp_path / "a.pth")
    with pytest.raises(InputError, match="damaged, or not a checkpoint"):
        read_tensors(tmp_path / "a.pth", "a checkpoint", legacy=True)


def test_the_older_format_is_read_where_it_is_asked_for_alone(tmp_path):
    path = saved(tmp_path / "a.pth", STATE, _use_new_zipfile_serialization=False)
    assert read_tensors(path, "a checkpoint", legacy=True)["epoch"] == 3
    with pytest.raises(InputError, match="no zip file"):
        read_tensors(path, "a checkpoint")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, make):
    make(tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth: a (folder|pipe); expected a checkpoint"):
        read_tensors(tmp_path / "a.pth", "a checkpoint")


def test_a_file_that_unpacks_to_a_thousand_times_its_size_takes_no_memory(tmp_path):
    """In a process of its own, whose largest memory is what reading a plain file takes, within 64 MiB."""
    plain, large = saved(tmp_path / "plain.pth", STATE), tmp_path / "large.pth"
    content = bytes(256 << 20)
    remade(plain, large, lambda name, old: content if "/data/" in name else old, compression=zipfile.ZIP_DEFLATED)
    assert large.stat().st_size < 1 << 20
    code = (
        "import sys; from pathlib import Path; from highlight_lit.untrusted.torch_files import read_tensors\n"
        "from tests.real_processes import peak_kb\n"
        "try: read_tensors(Path(sys.argv[1]), 'a checkpoint')\n"
        "except ValueError: pass\n"
        "print(peak_kb())"
    )
    peaks = [
        int(subprocess.run(python("-c", code, path), capture_output=True, text=True, check=True, cwd=ROOT).stdout)
        for path in (plain, large)
    ]
    assert peaks[1] < peaks[0] + (64 << 10)
