"""What may be built on from Python: the names, what importing them takes, and a training without Hydra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

import highlight_lit
from highlight_lit import Corpus, Detector, HighlightDataModule, HighlightModule, evaluate
from highlight_lit.config.run_identity import as_plain
from highlight_lit.errors import InputError
from highlight_lit.launch import composed

NAMES = ["Corpus", "Detector", "HighlightDataModule", "HighlightModule", "HighlightNet", "evaluate"]


def test_the_names_are_these_and_each_is_there() -> None:
    assert highlight_lit.__all__ == NAMES
    assert all(getattr(highlight_lit, name).__name__ == name for name in NAMES)
    assert set(NAMES) <= set(dir(highlight_lit))
    assert not hasattr(highlight_lit, "Nothing")
    assert (Path(highlight_lit.__file__).parent / "py.typed").is_file()
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in NAMES)


@pytest.mark.parametrize(
    "line", ["import highlight_lit", "from highlight_lit import Corpus", "import highlight_lit.cli"]
)
def test_what_needs_no_network_imports_no_lightning(line: str) -> None:
    code = f"import sys\n{line}\nprint(*sorted({{'torch', 'pytorch_lightning'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_types_reach_a_users_file(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs the extra dev")
    (tmp_path / "users.py").write_text(
        "from highlight_lit import Corpus, Detector\n"
        "corpus: Corpus = Corpus('c')\n"
        "scores: int = Detector.load('a.ckpt').score(None)\n"
    )
    root = Path(__file__).parents[1]  # whose cache knows PyTorch from `make check`
    words = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        root / "pyproject.toml",
        "--cache-dir",
        root / ".mypy_cache",
        "users.py",
    ]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "MYPYPATH": ""})
    assert done.returncode == 1, done.stderr
    assert "users.py:3" in done.stdout
    assert "ndarray" in done.stdout


def test_a_plain_trainer_trains_saves_and_judges(small_corpus: Path, tmp_path: Path) -> None:
    data = HighlightDataModule(str(small_corpus), "topic01", pairs=4, tau=8, validation=0.3)
    module = HighlightModule(streams=data.features, topic=data.topic)
    before = [each.clone() for each in module.network.parameters()]
    trainer = pl.Trainer(max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False,
                         default_root_dir=tmp_path)  # fmt: skip
    trainer.fit(module, data)
    assert any(not torch.equal(a, b) for a, b in zip(before, module.network.parameters(), strict=True))
    mean = data.statistics()["visual"][0]
    assert any(torch.allclose(mean, each.float()) for each in module.network.buffers() if each.shape == mean.shape)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    detector = Detector.load(tmp_path / "own.ckpt")
    corpus = Corpus(small_corpus)
    visual, audio = corpus.rows(0, "visual"), corpus.rows(0, "audio")
    scores = detector.score(visual, audio)
    assert scores.shape == (corpus.clips[0],)
    assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_array_equal(detector.score(torch.from_numpy(visual), torch.from_numpy(audio)), scores)
    judged = evaluate(detector, small_corpus, draws=10)
    value = judged.report.measures["youtube/trapezoid"].value
    assert 0 <= value <= 1
    assert f"youtube/trapezoid {100 * value:.1f} (chance " in str(judged)
    with pytest.raises(InputError, match="visual: .*expected"):
        detector.score(visual[:, :3], audio)


def test_a_corpus_is_scored_by_ids_by_indices_or_whole(small_corpus: Path) -> None:
    module = HighlightModule(streams=HighlightDataModule(small_corpus, "topic01").features, topic="topic01")
    detector = Detector(module.network.eval(), "topic01", Corpus(small_corpus).streams, Path("fresh"))
    corpus = Corpus(str(small_corpus))
    ids = [name.decode() for name in corpus.ids]
    assert (
        repr(corpus)
        == f"<Corpus {small_corpus}: {len(ids)} videos, {corpus.clips.sum()} clips, topics topic01, topic02>"
    )
    whole = detector.score_corpus(corpus)
    assert list(whole) == ids
    some = detector.score_corpus(corpus, [ids[3], ids[1], ids[3]])
    assert list(some) == [ids[3], ids[1]]
    by_index = detector.score_corpus(corpus, np.array([3, 1]))
    assert list(by_index) == [3, 1]
    for name, index in ((ids[3], 3), (ids[1], 1)):
        np.testing.assert_array_equal(some[name], by_index[index])
        np.testing.assert_array_equal(some[name], whole[name])
    assert detector.score_corpus(corpus, []) == {}
    with pytest.raises(InputError, match="zz, 0, 1, 2, 3 and 5 more: no such video; expected ids as"):
        detector.score_corpus(corpus, ["zz", *map(str, range(9))])


def test_one_stream_is_enough_and_the_rest_is_as_in_conf(small_corpus: Path) -> None:
    data = HighlightDataModule(small_corpus, "topic01", ["audio"])
    module = HighlightModule(streams=data.features, topic=data.topic)
    wanted = as_plain(composed("config", ["modality=audio", "topic=a", "data.root=b"]))
    assert {key: module.hparams[key] for key in ("model", "loss", "optimizer")} == {
        key: wanted[key] for key in ("model", "loss", "optimizer")
    }
    with pytest.raises(InputError, match="streams: missing"):
        HighlightModule()
