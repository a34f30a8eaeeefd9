"""What features are centred and divided by: each dimension by its own deviation, or all of a stream by one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.data.statistics import _moments
from highlight_lit.errors import InputError
from highlight_lit.runs.ledger import records

STREAMS = ("visual", "audio")


def test_one_scale_for_a_stream_is_the_root_of_its_mean_square_deviation(corpus: Corpus) -> None:
    each = HighlightData(corpus, "topic01", STREAMS).statistics()
    one = HighlightData(corpus, "topic01", STREAMS, scale="stream").statistics()
    for name in STREAMS:
        assert torch.equal(each[name][0], one[name][0])
        root = float(each[name][1].double().square().mean().sqrt())
        # Rounded once, to float32.
        torch.testing.assert_close(one[name][1], torch.full_like(each[name][1], root), rtol=2**-23, atol=0)


def test_distances_between_clips_are_kept_by_one_scale_and_not_by_each_dimensions_own(corpus: Corpus) -> None:
    rows = torch.from_numpy(corpus.rows(0, "visual")).double()
    dots = (rows - rows.mean(0)) @ (rows - rows.mean(0)).T
    for scale, kept in (("stream", True), ("dimension", False)):
        std = HighlightData(corpus, "topic01", STREAMS, scale=scale).statistics()["visual"][1].double()
        scaled = (rows - rows.mean(0)) / std
        ratio = (scaled @ scaled.T / dots)[0]
        assert bool((ratio / ratio[0] - 1).abs().max() < 1e-6) == kept


@pytest.mark.parametrize("width", [1, 2, 511, 512, 513, 514, 1025, 1537])
def test_sums_are_those_of_whole_rows_to_the_bit_whatever_the_width(width: int) -> None:
    """Features that cancel each other leave what rounding leaves, which tells in which order they were added up."""
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(2500, width, generator=generator, dtype=torch.float64)
    rows = torch.cat([half, -half[torch.randperm(2500, generator=generator)]])
    sums = sum(block.sum(0) for block in rows.split(4096))
    mean, _ = _moments((part, torch.ones(len(part), dtype=torch.bool)) for part in rows.split(700))
    assert mean.any()
    assert torch.equal(mean, (sums / len(rows)).float())


@pytest.mark.usefixtures("quick_first_stage")
def test_both_stages_of_a_guided_training_have_the_scale(quick_train: Callable[..., int], tmp_path: Path) -> None:
    words = ("experiment=guided", "trainer.max_steps=2", "data.pairs=3", "teacher.seeds=1", "data.scale=stream")
    assert quick_train(*words) == 0
    found = list(records(tmp_path / "runs"))
    assert [record["config"]["data"]["scale"] for record in found] == ["stream"] * 2
    for record in found:
        weights = torch.load(tmp_path / "runs" / record["id"] / "last.ckpt", weights_only=True)["state_dict"]
        for name in (name for name in weights if name.endswith(".std")):
            np.testing.assert_array_equal(weights[name], weights[name][0])


def test_another_word_is_refused(corpus: Corpus) -> None:
    with pytest.raises(InputError, match="data.scale=pca: expected one of dimension, stream"):
        HighlightData(corpus, "topic01", STREAMS, scale="pca")
