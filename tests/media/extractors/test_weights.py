"""Weights files of strangers: tensors of finite numbers, or one line that names the file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av")
from highlight_lit.errors import InputError
from highlight_lit.media.extractors import weights
from highlight_lit.media.extractors.weights import fill, read_weights


def saved(path: Path, value: object, **options: object) -> Path:
    torch.save(value, path, **options)
    return path


class Call:
    """What a pickle may say to be called, and what to be given to what it makes."""

    def __init__(self, *parts: object):
        self.parts = parts

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize("kind", [np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_they_were(tmp_path, kind, order):
    array = np.asarray(np.arange(6).reshape(2, 3), kind, order=order)
    path = saved(tmp_path / "a.pth", {"a": array, "b": torch.ones(1)}, _use_new_zipfile_serialization=False)
    read = read_weights(path)
    assert read["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read.keys() == {"a", "b"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.float64])
def test_values_that_are_not_finite_are_refused_by_file_and_key(tmp_path, value, kind):
    tensor = torch.ones(5, dtype=kind)
    tensor[3] = value
    path = saved(tmp_path / "a.pth", {"state_dict": {"one": torch.ones(2), "conv1.weight": tensor}})
    with pytest.raises(InputError, match=r"a\.pth: conv1\.weight: not of finite floating-point numbers"):
        read_weights(path)


@pytest.mark.parametrize("tensor", [torch.ones(2, dtype=torch.int64), torch.full((1,), 1e300, dtype=torch.float64)])
def test_numbers_that_no_network_holds_are_refused(tmp_path, tensor):
    with pytest.raises(InputError, match=r"a\.pth: x: not of finite"):
        read_weights(saved(tmp_path / "a.pth", {"x": tensor}))


def kind_of(code: str, *state: object):
    return Call(np.dtype, (code, False, True), *state)


FORGED = {
    "an array larger than its numbers": Call(
        np.zeros(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (10**9,), np.dtype("f4"), False, b"12345678")
    ),
    "an array of objects": np.array([[1, 2], None], object),
    "a kind that holds references": Call(
        np.zeros(0).__reduce__()[0],
        (np.ndarray, (0,), b"b"),
        (1, (1,), kind_of("O8", (3, "|", None, None, None, -1, -1, 63)), False, b"12345678"),
    ),
    "a kind of a gigabyte": kind_of("V1000000000"),
    "text encoded again and again": Call(pickle.dumps, ("a" * 100,)),
}


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("legacy", [False, True])
def test_forged_arrays_are_refused(tmp_path, forged, legacy):
    path = saved(tmp_path / "a.pth", {"a": FORGED[forged]}, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError) as raised:
        read_weights(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_an_array_whose_numbers_never_come_is_empty(tmp_path):
    array = Call(np.zeros(0).__reduce__()[0], (np.ndarray, (10**12,), b"b"))
    assert read_weights(saved(tmp_path / "a.pth", {"a": array}))["a"].numel() == 0


def test_a_file_over_the_bound_is_not_read(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.pth", {"a": torch.zeros(600_000)})
    monkeypatch.setattr(weights, "MAX_WEIGHTS_BYTES", 1 << 20)
    with pytest.raises(InputError, match=r"a\.pth: 2 MiB; expected a PyTorch checkpoint of at most 1 MiB"):
        read_weights(path)


def test_a_key_of_the_file_is_shown_as_text_and_cut(tmp_path):
    path = tmp_path / "a.pth"
    network = torch.nn.Linear(1, 1)
    tensors = {**network.state_dict(), "x\x1b[2J\n" + "y" * 10_000: torch.zeros(1)}
    with pytest.raises(InputError) as raised:
        fill(network, tensors, path, ignored="fc.")
    assert "\n" not in str(raised.value)
    assert "\x1b" not in str(raised.value)
    assert len(str(raised.value)) < len(str(path)) + 200


@pytest.mark.parametrize("value", [[torch.ones(1)], torch.ones(1), {"state_dict": [torch.ones(1)]}, {}, {1: 2}])
def test_a_file_without_tensors_by_name_is_refused(tmp_path, value):
    with pytest.raises(InputError, match="no tensors in it"):
        read_weights(saved(tmp_path / "a.pth", value))
