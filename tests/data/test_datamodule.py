"""What a training's data reads of a corpus, and asks of it."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.datamodule import HighlightData, HighlightDataModule
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


@pytest.mark.parametrize("store", ["resident", "stream"])
def test_a_datamodule_goes_to_another_process_as_ddp_spawn_sends_it(small_corpus: Path, store: str) -> None:
    data = HighlightDataModule(str(small_corpus), "topic01", tau=8, pairs=4, store=store, validation=0.2)
    sent = [pickle.dumps(data)]
    bags = list(data.train_dataloader())
    sent.append(pickle.dumps(data))  # with files that are open, threads and batches
    for again in map(pickle.loads, sent):
        for one, other in zip(bags, again.train_dataloader(), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True) if a is not None)
