"""AVE's own files become a corpus whose topics are the categories and whose labels are seconds of the event."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from highlight_lit.data.corpus import Corpus
from highlight_lit.data.importers.ave import import_corpus
from highlight_lit.errors import InputError
from highlight_lit.evaluation.judge import ClipScores, judge

CATEGORIES = ("Bark", "Baby cry, infant cry")


def write(path: Path, name: str, values: Any) -> None:
    with h5py.File(path, "w") as file:
        file[name] = values


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six videos of two categories: rows 0 to 2 bark in their first 3, 5 and 10 seconds, rows 3 to 5 cry in 4."""
    root = tmp_path / "ave"
    root.mkdir()
    rng = np.random.default_rng(0)
    event = np.zeros((6, 10), bool)
    for row, seconds in enumerate((3, 5, 10, 4, 4, 4)):
        event[row, :seconds] = True
    onehot = np.zeros((6, 10, 3), np.uint8)
    onehot[:3, :, 0], onehot[3:, :, 1], onehot[:, :, 2] = event[:3], event[3:], ~event
    write(root / "visual_feature.h5", "avadataset", rng.normal(size=(6, 10, 2, 3, 4)).astype(np.float32))
    write(root / "audio_feature.h5", "avadataset", rng.integers(0, 256, (6, 10, 5), np.uint8))
    write(root / "labels.h5", "avadataset", onehot)
    write(root / "train_order.h5", "order", [0, 3])
    write(root / "test_order.h5", "order", [1, 2, 4, 5])
    lines = [f"{CATEGORIES[row // 3]}&{'a' if row == 4 else row}&good&0&10" for row in range(6)]
    (root / "Annotations.txt").write_text("\n".join(["Category&VideoID&Quality&StartTime&EndTime", *lines, ""]))
    return root


def imported(source: Path, **options: Any) -> Corpus:
    out = source.parent / "corpus"
    import_corpus(source, out, report=lambda line: None, **options)
    return Corpus(out)


def test_categories_are_topics_lists_are_splits_and_maps_are_averaged(source: Path) -> None:
    corpus = imported(source)
    assert corpus.topics == tuple(sorted(CATEGORIES))
    assert corpus.split.tolist() == ["train", "test", "test", "train", "test", "test"]
    with h5py.File(source / "visual_feature.h5") as file:
        maps = file["avadataset"][1].astype(np.float64)
    # A mean of six float32 values in float64, rounded once: half a unit in the last place of float32.
    np.testing.assert_allclose(corpus.rows(1, "visual"), maps.mean(axis=(1, 2)), rtol=2**-24, atol=0)
    assert corpus.streams["audio"].dtype == "float16"
    assert corpus.streams["visual"].dtype == "float32"
    labels = corpus.labels(1)
    assert labels is not None
    assert labels.score.ravel().tolist() == [1.0] * 5 + [0.0] * 5


def test_a_video_that_is_all_event_is_left_out_and_counted(source: Path) -> None:
    corpus = imported(source)
    spans = {corpus.ids[i].decode(): corpus.rows(i, "span") for i in range(len(corpus))}
    scores = {name: ClipScores(span, -span[:, 0]) for name, span in spans.items()}
    report = judge(corpus, ["Bark"], scores, empty="zero", draws=2).report.measures["ave/trapezoid"]
    assert report.value == 1.0
    assert np.isnan(report.videos["Bark"]["2"])
    assert (report.labellings, report.without_positive) == (2, 1)


def test_a_video_that_comes_again_is_one_of_its_own(source: Path) -> None:
    path = source / "Annotations.txt"
    path.write_text(path.read_text().replace("&a&", "&1&"))
    lines: list[str] = []
    import_corpus(source, source.parent / "corpus", report=lines.append)
    assert "1 videos come again" in lines[0]
    assert len(set(Corpus(source.parent / "corpus").ids)) == 6


def _cut(source: Path) -> None:
    path = source / "labels.h5"
    path.write_bytes(path.read_bytes()[:100])


def _annotated(text: str, other: str) -> Callable[[Path], None]:
    def edit(source: Path) -> None:
        path = source / "Annotations.txt"
        path.write_text(path.read_text().replace(text, other))

    return edit


def _wrong_labels(source: Path) -> None:
    with h5py.File(source / "labels.h5", "r+") as file:
        file["avadataset"][1, 2] = 1


def _not_finite(source: Path) -> None:
    with h5py.File(source / "visual_feature.h5", "r+") as file:
        file["avadataset"][4, 2, 0, 0, 0] = np.nan


def _elsewhere(source: Path) -> None:
    """The features lie in another file, which a virtual dataset shows as if they were here."""
    path = source / "audio_feature.h5"
    path.rename(source / "other.h5")
    with h5py.File(source / "other.h5") as other, h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout(other["avadataset"].shape, other["avadataset"].dtype)
        layout[...] = h5py.VirtualSource(other["avadataset"])
        file.create_virtual_dataset("avadataset", layout)


def _linked(source: Path) -> None:
    path = source / "audio_feature.h5"
    path.rename(source / "other.h5")
    with h5py.File(path, "w") as file:
        file["avadataset"] = h5py.ExternalLink("other.h5", "/avadataset")


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda source: (source / "audio_feature.h5").unlink(), r"audio_feature\.h5: no such file"),
    (lambda source: (source / "test_order.h5").unlink(), r"test_order\.h5: no such file"),
    (_cut, r"labels\.h5: damaged, or not what was expected, AVE's labels\.h5"),
    (lambda source: write(source / "train_order.h5", "order", [6]), r"train_order\.h5: order: .* from 0 to 5"),
    (lambda source: write(source / "train_order.h5", "order", [1]), r"test_order\.h5: row 1: on the train list"),
    (lambda source: write(source / "train_order.h5", "order", [0.5]), r"train_order\.h5: order: expected a list of rows"),
    (lambda source: write(source / "train_order.h5", "rows", [1]), r"train_order\.h5: order: expected a dataset of numbers that lies in this file"),
    (lambda source: write(source / "audio_feature.h5", "avadataset", np.zeros((5, 10, 3))), r"\(5, 10, 3\), expected \(6"),
    (lambda source: write(source / "audio_feature.h5", "avadataset", np.zeros((6, 10))), r"shape \(6, 10\), expected"),
    (_annotated("&a&", "&../a&"), r"Annotations\.txt: line 6: video '\.\./a'"),
    (_annotated("&a&", "&"), r"Annotations\.txt: line 6: expected Category&VideoID"),
    (_elsewhere, r"audio_feature\.h5: avadataset: not stored in this file"),
    (_linked, r"audio_feature\.h5: avadataset: expected a dataset of numbers that lies in this file"),
    (_wrong_labels, r"labels\.h5: video '1' \(row 1\): expected one category"),
    (_not_finite, r"video 'a': visual: NaN or infinite in clip 2"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "said"), FAULTS)
def test_what_cannot_be_used_is_refused_in_a_line_and_nothing_is_written(
    source: Path, edit: Callable[[Path], object], said: str
) -> None:
    edit(source)
    with pytest.raises(InputError, match=said) as refused:
        imported(source)
    assert "\n" not in str(refused.value)
    assert sorted(path.name for path in source.parent.iterdir()) == ["ave"]


def test_the_categories_at_hand_come_out_whole(shared_data: Path, tmp_path: Path) -> None:
    import_corpus(shared_data / "ave", tmp_path / "ave", report=lambda line: None)
    corpus = Corpus(tmp_path / "ave")
    assert (len(corpus), len(corpus.topics)) == (1572, 14)
    both = 0
    for video in np.flatnonzero(corpus.split == "test"):
        labels = corpus.labels(int(video))
        assert labels is not None
        both += 0 < labels.score.sum() < 10
    assert both == 211
