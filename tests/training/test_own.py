"""Classes of the user's own: named on the command line alone, trained, resumed, judged, and trusted by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.synthetic import Plan, synthesize
from highlight_lit.data.video import Stream
from highlight_lit.runs.ledger import records
from tests.real_processes import Command, ended

CLASSES = '''
import torch
from torch import nn
import pytorch_lightning as pl
from highlight_lit.data.datamodule import HighlightData
from highlight_lit.models.highlight_net import Detection
from highlight_lit.models.pooling import Pooling

class Sum(nn.Module):
    """A fusion."""
    def __init__(self, d: int, weight: float = 0.5):
        super().__init__()
        self.weight, self.linear = weight, nn.Linear(d, d)
    def forward(self, f_v, f_a):
        return self.linear(self.weight * f_v + (1 - self.weight) * f_a)

class Still(nn.Module):
    """A context."""
    def __init__(self, d: int):
        super().__init__()
        self.linear = nn.Linear(d, d)
    def forward(self, f_h, mask):
        return self.linear(f_h)

class Top(Pooling):
    """A pooling."""
    def forward(self, c, mask, head):
        z = head(c).squeeze(-1).masked_fill(~mask, -1e4)
        z_hat, best = z.max(1)
        return z_hat, nn.functional.one_hot(best, z.shape[1]).to(z)

class Net(nn.Module):
    """A network."""
    def __init__(self, Dv: int, Da: int, d: int = 4):
        super().__init__()
        self.head = nn.Linear(Dv + Da, 1)
    def forward(self, visual, audio, mask, audio_mask):
        z = self.head(torch.cat([visual.float(), audio.float()], -1)).squeeze(-1)
        alpha = mask / mask.sum(1, keepdim=True)
        return Detection(z, (alpha * z).sum(1), alpha)

class Bce(nn.Module):
    """A loss."""
    def forward(self, detection, label, mask):
        return {"loss": nn.functional.binary_cross_entropy_with_logits(detection.z_hat, label)}

class Sgd(torch.optim.SGD):
    def __init__(self, params, pace: float = 0.01):
        super().__init__(params, lr=pace)

class Halving(torch.optim.lr_scheduler.ExponentialLR):
    def __init__(self, optimizer):
        super().__init__(optimizer, 0.5)

class Note(pl.Callback):
    def __init__(self, text: str):
        self.text = text
    def on_train_end(self, trainer, module):
        print(f"noted: {self.text}")

class Fewer(HighlightData):
    def __init__(self, *args, most: int = 4, **kwargs):
        super().__init__(*args, **kwargs)
        print(f"most: {most}")
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a package, and options for Hydra."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "parts.py").write_text(CLASSES)
    (tmp_path / "conf" / "fusion").mkdir(parents=True)
    (tmp_path / "conf" / "fusion" / "sum.yaml").write_text("_target_: mine.parts.Sum\n_partial_: true\nweight: 0.25\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(corpus: Path, *words: str, how: Callable[..., tuple[int, list[str]]] = ended) -> tuple[int, list[str]]:
    given = [f"data.root={corpus}", "topic=topic01", "data.pairs=4", "tau=8", "model.d=8", "trainer.max_epochs=2",
             "logger=none", "evaluate.draws=10"]  # fmt: skip
    return how("train", *given, *words)


OWN = {
    "fusion": ["fusion._target_=mine.parts.Sum"],
    "fusion, an argument": ["fusion._target_=mine.parts.Sum", "+fusion.weight=0.1"],
    "fusion, a file": ["--config-dir", "conf", "fusion=sum"],
    "context": ["context._target_=mine.parts.Still"],
    "pooling": ["pooling._target_=mine.parts.Top"],
    "model": ["model._target_=mine.parts.Net"],
    "loss": ["loss._target_=mine.parts.Bce"],
    "optimizer": ["optimizer.algorithm._target_=mine.parts.Sgd", "+optimizer.algorithm.pace=0.1"],
    "scheduler": ["optimizer.schedule={_target_: mine.parts.Halving}"],
    "callback": ["+callbacks.note={_target_: mine.parts.Note, text: surf}"],
    "data": ["data._target_=mine.parts.Fewer", "+data.most=3"],
}


@pytest.mark.parametrize("part", OWN)
def test_a_class_of_ones_own_trains_and_its_checkpoint_is_judged_if_it_is_trusted(
    small_corpus: Path, folder: Path, part: str
) -> None:
    status, said = train(small_corpus, *OWN[part])
    assert status == 0, said
    [record] = records(folder / "runs")
    assert {"callback": "noted: surf", "data": "most: 3"}.get(part, said[0]) in said
    assert len(said) == 1 + (part in ("callback", "data"))
    if part.startswith("fusion"):
        arguments = record["config"]["model"]["fusion"]
        assert {key for key in arguments if not key.startswith("_")} <= {"weight"}
    checkpoint = f"runs/{record['id']}/last.ckpt"
    judge = ["evaluate", "--corpus", str(small_corpus), "--draws", "10", "--checkpoint", checkpoint]
    own = part.startswith(("fusion", "context", "pooling", "model"))
    status, said = ended(*judge)
    assert status == (2 if own else 0), said
    if own:
        assert len(said) == 1
        assert "--trust PACKAGE" in said[0]
        assert ended(*judge, "--trust", "mine")[0] == 0


def test_a_fusion_of_ones_own_scores_and_cuts_a_video_if_it_is_trusted(folder: Path) -> None:
    pytest.importorskip("av", reason="needs the extra media")
    from highlight_lit.media.extractors.classic import ClassicAudio, ClassicVisual
    from tests.media.conftest import grey, write_video

    synthesize(folder / "made", Plan(topics=2, videos=20, rank=2, Dv=512, Da=128))
    streams = {
        "visual": Stream(512, "classic", ClassicVisual.version),
        "audio": Stream(128, "classic", ClassicAudio.version),
    }
    videos = (video for shard in Corpus(folder / "made").shards for video in shard)
    write_corpus(folder / "corpus", videos, streams, name="own", clip_seconds=1.0)
    status, said = train(folder / "corpus", "fusion._target_=mine.parts.Sum", "trainer.max_epochs=1")
    assert status == 0, said
    [record] = records(folder / "runs")
    write_video(folder / "v.mp4", 6, lambda time: grey(20 + 40 * int(time)), audio_seconds=6)
    checkpoint = ["v.mp4", "--checkpoint", f"runs/{record['id']}/last.ckpt"]
    for words in (["score", *checkpoint], ["reel", *checkpoint, "--seconds", "3", "--out", "reel.mp4"]):
        status, said = ended(*words)
        assert (status, len(said)) == (2, 1)
        assert "--trust PACKAGE" in said[0]
        assert ended(*words, "--trust", "mine")[0] == 0
    assert (folder / "reel.mp4").stat().st_size > 0
    [scores] = folder.glob("v*.json")
    clips = json.loads(scores.read_text())["clips"]
    assert len(clips) == 6 and len({clip["score"] for clip in clips}) > 1


def test_a_sweep_of_workers_finds_it_too(small_corpus: Path, folder: Path) -> None:
    words = ["fusion._target_=mine.parts.Sum", "trainer.max_epochs=3"]
    status, said = train(small_corpus, "-m", "seed=0,1", *words, "hydra/launcher=joblib")
    assert status == 0, said
    assert [record["status"] for record in records(folder / "runs")] == ["done", "done"]


def test_nothing_else_of_the_working_folder_is_imported(small_corpus: Path, folder: Path) -> None:
    for name in ("wandb", "yaml", "tensorboard_data", "sitecustomize", "h5py"):
        (folder / f"{name}.py").write_text("raise SystemExit('imported')")
    status, said = train(small_corpus, "fusion._target_=mine.parts.Sum", how=lambda *words: Command(*words).ends())
    assert status == 0, said


def test_a_class_that_is_not_there_is_refused_in_a_line(small_corpus: Path, folder: Path) -> None:
    for target in ("mine.parts.Nothing", "mine.nothing.Sum", "nowhere.Sum"):
        status, said = train(small_corpus, f"fusion._target_={target}")
        assert status == 2
        assert len(said) == 1
        assert target in said[0]
