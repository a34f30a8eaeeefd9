"""What holds of every method: the wall around labels, hard input, seeds, and the command's function."""

from __future__ import annotations

import ast
import importlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from highlight_lit import methods
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.shards import Shard
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.methods import METHODS, score
from highlight_lit.methods.recurrence import recurrence
from highlight_lit.methods.videos import Clips, Videos, view
from tests.tolerance import FUNCTION, assert_near

WEAK = [name for name, method in METHODS.items() if method.supervision != "full"]
FULL = [name for name in METHODS if name not in WEAK]


@pytest.fixture(autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    """kvs alone needs scikit-learn."""
    if hasattr(request.node, "callspec") and request.node.callspec.params.get("name") == "kvs":
        pytest.importorskip("sklearn", reason="needs the extra methods")


FOLDER = Path(methods.__file__).parent

Corpora = Callable[[str], Corpus]
Make = Callable[..., Video]


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for a moment: these tests are about what goes in and out."""
    for method in METHODS.values():
        module = importlib.import_module(method.module)
        if hasattr(module, "STEPS"):
            monkeypatch.setattr(module, "STEPS", 4)


KINDS = ["one clip", "identical clips", "zeros", "all zeros", "one training video", "no audio", "plain"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_hard_videos_get_finite_scores(name: str, kind: str, hard: Corpora) -> None:
    modality = "audio" if kind == "no audio" else "av"
    (scores,) = score(name, hard(kind), "dog", modality=modality).values()
    assert scores.score.shape == (len(scores.span),)
    assert np.isfinite(scores.score).all()


@pytest.mark.parametrize("name", [name for name in METHODS if name not in FULL])
def test_a_topics_only_video_has_finite_scores_when_it_is_all_there_is_to_learn_from(
    name: str, labelled: Make, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    rows = {topic: rng.normal(size=(9, 6)) for topic in ("dog", "surf")}
    videos = [labelled(f"{topic}-val", topic, of, 27.0, "val") for topic, of in rows.items()]
    write_corpus(tmp_path / "c", videos, {"visual": Stream(6), "audio": Stream(3)}, name="c", clip_seconds=3.0)
    (scores,) = score(name, Corpus(tmp_path / "c"), "dog", rule="tag", training="transductive").values()
    assert scores.score.shape == (9,)
    assert np.isfinite(scores.score).all()


@pytest.mark.parametrize("name", METHODS)
def test_clips_without_sound_among_others_have_finite_scores(name: str, labelled: Make, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = []
    for topic in ("dog", "surf"):
        for split, seconds in (("train", 27.0), ("train", 90.0), ("val", 27.0)):
            video = labelled(f"{topic}-{split}-{seconds:.0f}", topic, rng.normal(size=(9, 6)), seconds, split)
            videos.append(Video(**{**vars(video), "audio_mask": np.arange(9) % 3 > 0}))
    write_corpus(tmp_path / "c", videos, {"visual": Stream(6), "audio": Stream(3)}, name="c", clip_seconds=3.0)
    for modality in ("audio", "av"):
        (scores,) = score(name, Corpus(tmp_path / "c"), "dog", modality=modality).values()
        assert np.isfinite(scores.score).all()


@pytest.mark.parametrize("name", ["smrs", "cvs", "mbf", "kvs", "recurrence", "desumnet"])
def test_identical_clips_score_the_same(name: str, hard: Corpora) -> None:
    (scores,) = score(name, hard("identical clips"), "dog").values()
    assert np.ptp(scores.score) < 1e-6


@pytest.mark.parametrize("name", WEAK)
def test_no_method_but_the_supervised_reads_a_label(name: str, hard: Corpora, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = hard("plain")

    def refuse(*_: object) -> None:
        raise AssertionError("a clip label was read")

    monkeypatch.setattr(Corpus, "labels", refuse)
    monkeypatch.setattr(Shard, "labels", refuse)
    assert score(name, corpus, "dog")


@pytest.mark.parametrize("name", FULL)
def test_supervised_methods_read_labels_of_the_training_list_alone(
    name: str, hard: Corpora, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = hard("plain")
    read: list[int] = []
    labels = Corpus.labels
    monkeypatch.setattr(Corpus, "labels", lambda self, video: read.append(video) or labels(self, video))
    score(name, corpus, "dog", training="transductive")
    assert read
    assert set(corpus.split[read]) == {"train"}
    assert corpus.tagged("dog")[read].all()


def test_nothing_outside_the_supervised_folder_names_labels_or_imports_from_it() -> None:
    for path in (each for each in FOLDER.rglob("*.py") if "supervised" not in each.parts):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Attribute) and node.attr == "labels"), path
            if isinstance(node, ast.ImportFrom):
                assert "supervised" not in str(node.module), path


def test_a_view_leads_to_arrays_and_not_to_the_corpus(hard: Corpora) -> None:
    videos = view(hard("plain"), "dog")
    assert set(vars(videos)) == {"topic", "positive", "negative", "tagged", "evaluation"}
    assert set(vars(videos.positive[0])) == {"id", "duration", "span", "x", "widths", "size"}


@pytest.mark.parametrize("name", METHODS)
def test_a_seed_decides_the_scores_of_a_method_that_draws_and_of_no_other(name: str, hard: Corpora) -> None:
    corpus = hard("plain")
    first, again, other = (score(name, corpus, "dog", seed=seed)["dog-val"].score for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any() == METHODS[name].random


def test_supervised_methods_say_when_there_is_no_training_list(hard: Corpora, tmp_path: Path) -> None:
    videos = [v for shard in hard("plain").shards for v in shard]
    without = [Video(**{**vars(v), "split": ""}) for v in videos]
    write_corpus(tmp_path / "w", without, {"visual": Stream(6), "audio": Stream(3)}, name="w", clip_seconds=3.0)
    with pytest.raises(InputError, match="training list"):
        score("slstm", Corpus(tmp_path / "w"), "dog")


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("smurs", {}, "expected one of smrs"),
        ("smrs", {"modality": "smell"}, "expected one of av, visual, audio"),
        ("smrs", {"topic": "cat"}, "no such topic"),
    ],
)
def test_wrong_names_are_refused_in_one_line(method: str, options: dict[str, str], says: str, hard: Corpora) -> None:
    with pytest.raises(InputError, match=says) as error:
        score(method, hard("plain"), **{"topic": "dog", **options})
    assert "\n" not in str(error.value)


def test_recurrence_of_long_videos_is_found_some_clips_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = [rng.integers(-4, 5, size=(clips, 3)).astype(np.float32) for clips in (5000, 7000, 1)]  # products are exact
    own, *others = (Clips(str(n), 1.0, np.empty((0, 2)), x) for n, x in enumerate(rows))
    monkeypatch.setattr(recurrence, "MAX_CELLS", 1 << 62)
    whole = recurrence.closeness(own, others)
    for most in (7000 * 999, 7001 * 13, 1 << 20):
        monkeypatch.setattr(recurrence, "MAX_CELLS", most)
        tracemalloc.start()
        few = recurrence.closeness(own, others)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        np.testing.assert_array_equal(few, whole)
        assert peak < 4 * 5000 * 7000 // 2


def test_recurrence_finds_the_moment_that_positives_share_and_negatives_lack() -> None:
    def video(name: str, which: list[int]) -> Clips:
        x = np.eye(8, dtype=np.float32)[which]
        return Clips(name, 10.0, np.zeros((len(which), 2)), x)

    target = video("e", [0, 1, 2, 3])  # 1 comes back in the positives, 2 in both, 3 in the negatives
    positive = tuple(video(f"p{i}", [1, 2, 4 + i]) for i in range(3))
    videos = Videos("t", positive, (video("n", [2, 3]),), positive, (target,))
    assert recurrence.score(videos)[0].tolist() == [0.0, 1.0, 0.0, -1.0]


def test_clips_at_their_own_lengths_are_the_features_less_the_training_mean(hard: Corpora) -> None:
    corpus = hard("plain")
    (video,) = view(corpus, "dog").evaluation
    training = np.concatenate(
        [corpus.rows(v, "visual") for v in np.concatenate(corpus.weak_labels("dog", "duration", "lists"))]
    )
    index = corpus.index(video.id)
    assert index is not None
    centred = corpus.rows(index, "visual").astype(np.float64) - training.mean(0, dtype=np.float64)
    expected = centred / np.linalg.norm(centred, axis=1).mean()
    assert_near(video.sized, expected.astype(np.float32), len(training), 6, 2 * FUNCTION)


def test_a_video_is_not_compared_with_itself(hard: Corpora) -> None:
    videos = view(hard("plain"), "dog", training="transductive")
    assert videos.evaluation[0].id in [v.id for v in videos.positive]
    assert videos.evaluation[0].id not in [v.id for v in videos.peers(videos.evaluation[0])]
