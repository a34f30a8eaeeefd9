"""What a training's data reads of a corpus, and asks of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.data.shards.hdf5 import HDF5
from highlight_lit.data.shards.reader import Shard
from highlight_lit.errors import InputError


def test_training_never_reads_a_clip_label(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise AssertionError("training read a label")

    monkeypatch.setattr(Shard, "labels", raises)
    dataset = HDF5.__getitem__
    monkeypatch.setattr(
        HDF5, "__getitem__", lambda f, name: raises() if name.startswith("label_s") else dataset(f, name)
    )
    data = HighlightData(corpus, "topic01", ("visual", "audio"), tau=8, pairs=4)
    data.statistics()
    assert [bags.visual.dtype for bags in data.train_dataloader()] == [torch.float16] * len(data.plan)


def test_a_stream_the_corpus_lacks_is_refused(corpus: Corpus) -> None:
    corpus.streams = {"visual": corpus.streams["visual"]}
    with pytest.raises(InputError, match="audio: no such stream; the corpus has visual"):
        HighlightData(corpus, "topic01", ("visual", "audio"))


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
def test_a_seed_that_the_generator_cannot_take_is_refused(corpus: Corpus, seed: int) -> None:
    with pytest.raises(InputError, match=f"seed={seed}: expected a whole number of at least 0 and under 2.64"):
        HighlightData(corpus, "topic01", ("visual",), seed=seed)


def test_large_seeds_are_told_apart(corpus: Corpus) -> None:
    """As floats, to which numpy takes a list with one of them, they would be one."""
    drawn = [
        np.concatenate([draw.video for draw in HighlightData(corpus, "topic01", ("visual",), seed=seed).plan.draws(0)])
        for seed in (2**64 - 1, 2**64 - 2, 2**63, 2**63 + 1)
    ]
    assert not any((a == b).all() for a, b in itertools.combinations(drawn, 2))
