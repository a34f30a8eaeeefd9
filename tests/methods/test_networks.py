"""LIM, MINI-Net and the network itself, trained and judged as a user would: hard videos, and what MINI-Net can learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments.analyses import mini_net_signal as signal
from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.evaluation.scores_csv import read_scores
from highlight_lit.training.command import main as train

NETWORKS = ["lim", "mini_net", "highlight_net"]
WIDTHS = {"visual": Stream(6), "audio": Stream(3)}

Corpora = Callable[[str], Corpus]
Make = Callable[..., Video]


def trained_and_judged(root: Path, out: Path, *overrides: str) -> dict[str, np.ndarray]:
    """Scores of the videos to evaluate, by `train` and then `evaluate` of its checkpoint."""
    words = [f"data.root={root}", f"out={out / 'runs'}", "topic=dog", "tau=8", "data.pairs=4", "model.d=8",
             "trainer.max_epochs=2", "logger=none", "evaluate.draws=2"]  # fmt: skip
    given = {word.split("=")[0] for word in overrides}
    assert train([*(word for word in words if word.split("=")[0] not in given), *overrides]) == 0
    (checkpoint,) = out.glob("runs/*/last.ckpt")
    judged = [
        "evaluate",
        "--checkpoint",
        str(checkpoint),
        "--corpus",
        str(root),
        "--draws",
        "2",
        "--out",
        str(out / "e"),
    ]
    assert main(judged) == 0
    return {name: of.ranking for name, of in read_scores(out / "e" / "scores.csv").items()}


@pytest.mark.parametrize("kind", ["one clip", "identical clips", "zeros", "all zeros", "one training video"])
@pytest.mark.parametrize("name", NETWORKS)
def test_hard_videos_get_finite_scores(name: str, kind: str, hard: Corpora, tmp_path: Path) -> None:
    corpus = hard(kind)
    (scores,) = trained_and_judged(corpus.root, tmp_path, f"model={name}").values()
    assert scores.shape == (1 if kind == "one clip" else 9,)
    assert np.isfinite(scores).all()
    if kind in ("identical clips", "zeros") and name != "highlight_net":  # its context sees where a video ends
        assert np.ptp(scores) < 1e-5


@pytest.mark.parametrize("modality", ["av", "audio"])
@pytest.mark.parametrize("name", NETWORKS)
def test_videos_without_sound_have_finite_scores(name: str, modality: str, hard: Corpora, tmp_path: Path) -> None:
    corpus = hard("no audio")
    (scores,) = trained_and_judged(corpus.root, tmp_path, f"model={name}", f"modality={modality}").values()
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_corpus_without_any_sound_has_finite_scores(name: str, labelled: Make, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = [
        labelled(f"{topic}-{split}-{seconds:.0f}", topic, rng.normal(size=(9, 6)), seconds, split, with_audio=False)
        for topic in ("dog", "surf")
        for split, seconds in (("train", 27.0), ("train", 90.0), ("val", 27.0))
    ]
    write_corpus(tmp_path / "c", videos, WIDTHS, name="c", clip_seconds=3.0)
    (scores,) = trained_and_judged(tmp_path / "c", tmp_path, f"model={name}").values()
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_topics_only_video_trains_and_is_judged_under_transductive_training(
    name: str, labelled: Make, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    videos = [labelled(f"{topic}-val", topic, rng.normal(size=(9, 6)), 27.0, "val") for topic in ("dog", "surf")]
    write_corpus(tmp_path / "c", videos, WIDTHS, name="c", clip_seconds=3.0)
    words = (f"model={name}", "data.rule=tag", "data.training=transductive")
    (scores,) = trained_and_judged(tmp_path / "c", tmp_path, *words).values()
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_topic_without_a_training_video_is_refused_in_a_line(name: str, labelled: Make, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    splits = {"dog": ["val"], "surf": ["train", "val"]}
    videos = [labelled(f"{topic}-{split}", topic, rng.normal(size=(9, 6)), 90.0, split) for topic, of in splits.items() for split in of]  # fmt: skip
    write_corpus(tmp_path / "c", videos, WIDTHS, name="c", clip_seconds=3.0)
    with pytest.raises(InputError, match="topic=dog: no positive") as error:
        trained_and_judged(tmp_path / "c", tmp_path, f"model={name}")
    assert "\n" not in str(error.value)


def test_mini_net_learns_a_signal_that_lies_in_one_stream(tmp_path: Path) -> None:
    corpus = signal.planted(tmp_path / "c", "visual")
    (found,) = signal.areas(corpus, ("model=mini_net", "modality=visual"), 0, (100,))
    assert found > 0.9  # area under the ROC curve; 0.5 is chance
