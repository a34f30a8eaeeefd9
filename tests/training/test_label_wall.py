"""No clip label reaches training: whatever a corpus' labels say, and without any, the weights are the same to the bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.video import Video

Train = Callable[..., int]
Weights = dict[str, torch.Tensor]


def without(video: Video) -> Video:
    return replace(video, labels=None)


def poisoned(video: Video) -> Video:
    assert video.labels is not None
    score = np.random.default_rng(len(video.id)).normal(size=video.labels.score.shape).astype(np.float32)
    return replace(video, labels=replace(video.labels, score=score))


@pytest.fixture(scope="module")
def corpora(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same videos with their labels, with none, and with others."""
    folder, valid = tmp_path_factory.mktemp("labels"), Corpus(small_corpus)
    for name, change in (("without", without), ("poisoned", poisoned)):
        videos = [change(video) for video in valid.shards[0]]
        write_corpus(
            folder / name, videos, valid.streams, name=name, clip_seconds=1.0, benchmark=valid.manifest["benchmark"]
        )
    return [small_corpus, folder / "without", folder / "poisoned"]


GUIDED = ("experiment=guided", "trainer.max_steps=3", "data.pairs=3", "teacher.seeds=1")
SETTINGS = {
    "tags of all videos, some held out": ("data.rule=tag", "data=transductive", "data.validation=0.2"),
    "read as it is needed": ("data.store=stream", "data.scale=stream"),
    "audio as its mean": ("data.audio=mean",),
    "a fold, audio shuffled": ("data.fold=2/3", "data.audio=shuffled"),
    "a teacher of a fold, audio centred": (*GUIDED, "data.fold=1/2", "data.audio=centred"),
}


@pytest.mark.usefixtures("quick_first_stage")
@pytest.mark.parametrize("setting", SETTINGS)
def test_weights_are_the_same_with_labels_without_and_with_others(
    corpora: list[Path], quick_train: Train, tmp_path: Path, setting: str
) -> None:
    found: list[dict[str, Weights]] = []
    for number, root in enumerate(corpora):
        out = tmp_path / str(number)
        words = [f"data.root={root}", f"out={out}", *SETTINGS[setting]]
        limits = [] if "experiment=guided" in words else ["trainer.max_epochs=1"]
        assert quick_train(*words, *limits) == 0
        checkpoints = [torch.load(path, weights_only=True) for path in out.glob("*/last.ckpt")]
        found.append({c["hyper_parameters"]["loss"]["_target_"]: c["state_dict"] for c in checkpoints})
    assert len(found[0]) == (2 if "experiment=guided" in SETTINGS[setting] else 1)
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for stage, weights in found[0].items():
            assert weights.keys() == other[stage].keys()
            assert all(torch.equal(weights[name], other[stage][name]) for name in weights), stage
