"""The GPU bench's arithmetic, and that all of it runs in small on a CPU."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmarks.bench import run_of
from experiments.benchmarks.bench_gpu import Size, main, measure
from experiments.benchmarks.roofline import Ceilings, Count, covered
from highlight_lit.config.build import build
from highlight_lit.config.run_identity import as_plain
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.launch import CONFIG_DIR


@pytest.mark.parametrize("words", [[], ["fusion=low_rank"], ["fusion=full_tensor"], ["model=mini_net"], ["model=lim"]])
def test_operations_counted_are_those_that_torch_counts(words: list[str]) -> None:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = as_plain(compose("config", ["data.root=nowhere", "topic=dog", "model.d=8", *words]))
    network, loss = build(config["model"], "model", Dv=12, Da=8).train(), build(config["loss"], "loss")
    mask, label = torch.ones(4, 6, dtype=torch.bool), torch.tensor([1.0, 1, 0, 0])

    def step() -> None:
        loss(network(torch.randn(4, 6, 12), torch.randn(4, 6, 8), mask, mask), label, mask)["loss"].backward()

    with FlopCounterMode(display=False) as theirs:
        step()
    with Count() as ours:
        step()
    assert ours.operations == theirs.get_total_flops() > 0


def test_bytes_counted_are_the_operands_and_the_result_of_each_operation() -> None:
    one, other, bias = torch.ones(3, 5), torch.ones(5, 7), torch.ones(7)
    with Count() as count:
        product = torch.addmm(bias, one, other)
        product.view(7, 3).t()
        torch.relu(product)
    assert count.operations == 2 * 3 * 5 * 7
    assert count.product_bytes == 4 * (15 + 35 + 7 + 21)
    assert count.bytes == count.product_bytes + 4 * 2 * 21


def test_a_floor_is_the_slower_of_both_ceilings() -> None:
    count = Count()
    count.operations, count.product_bytes = 1000, 600
    assert Ceilings({"float32": 100.0}, 100.0).floor(count, "float32") == 10
    assert Ceilings({"float32": 1000.0}, 100.0).floor(count, "float32") == 6


def test_time_that_intervals_share_counts_once() -> None:
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    assert covered([]) == 0


def test_all_of_it_runs_in_small(tmp_path: Path) -> None:
    size = Size(topics=2, short=12, long=6, pairs=4, tau=8, epochs=2, measured=1, streamed=1, square=64, megabytes=1,
                words=("optimizer=paper", "fusion=low_rank", "model.d=8", "rank=2"))  # fmt: skip
    rows = dict(measure(tmp_path, size, torch.device("cpu")))
    of_each = ("step", "fit, resident", "busy")
    of_first = ("fit, stream", "stream against the slowest of three", "whole training")
    expected = {f"{row}, {name}" for row in of_each for name in ("float32", "bf16")} | {
        f"{row}, bf16" for row in of_first
    }
    assert expected | {"ceilings"} <= rows.keys()
    assert all(math.isfinite(value) and value > 0 for row in rows.values() for value in row.values())
    assert rows["whole training, bf16"]["steps"] == 2 * 2 * 2
    assert rows["busy, float32"]["share"] <= 1


def test_without_a_cuda_device_it_says_so_and_ends_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench_gpu"])
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main() == 2
    assert capsys.readouterr() == ("", "make bench-gpu: no CUDA device on this machine; expected one\n")


def test_a_corpus_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    root = tmp_path / "corpus (1), new"
    synthesize(root, Plan(topics=2, videos=4, rank=2, Dv=8, Da=6))
    config, data, _ = run_of(root, "topic=topic01", "data.pairs=2")
    assert config["data"]["root"] == str(data.corpus.root) == str(root)
