"""A corpus that is opened: its index, who is positive, and that it holds what its manifest lists."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from highlight_lit.data.corpus import Corpus, write_corpus, write_manifest
from highlight_lit.data.corpus.faults import faults
from highlight_lit.data.stores.resident import ResidentStore
from highlight_lit.data.video import Stream, Video
from highlight_lit.errors import InputError
from tests.data.shards.forge import forge_rows

STREAMS = {"visual": Stream(4), "audio": Stream(3)}
MakeVideo = Callable[..., Video]


def write(root: Path, videos: list[Video], **options: object) -> Corpus:
    write_corpus(root, videos, STREAMS, name="test", clip_seconds=1.0, **options)  # type: ignore[arg-type]
    return Corpus(root)


def test_many_shards_read_as_one_corpus(tmp_path: Path, several: list[Video]) -> None:
    corpus = write(tmp_path / "c", several, shard_bytes=100)
    assert len(corpus.shards) == len(several)
    assert [name.decode() for name in corpus.ids] == [video.id for video in several]
    assert corpus.clips.tolist() == [len(video.span) for video in several]
    assert corpus.tagged("dog").tolist() == [True, True, False, False, True]
    for index, video in enumerate(several):
        assert corpus.index(video.id) == index
        np.testing.assert_array_equal(corpus.rows(index, "span"), video.span)
        assert video.visual is not None
        np.testing.assert_allclose(
            corpus.rows(index, "visual"), video.visual, rtol=2**-11, atol=2**-25
        )  # half precision
    assert corpus.index("nobody") is None
    assert corpus.topics == ("cat", "dog", "pet")


def test_the_duration_rule_takes_short_tagged_against_long_untagged(tmp_path: Path, several: list[Video]) -> None:
    corpus = write(tmp_path / "c", several)
    positive, negative = corpus.weak_labels("dog", "duration", "lists")
    assert (positive.tolist(), negative.tolist()) == ([0], [2])
    positive, negative = corpus.weak_labels("dog", "tag", "transductive")
    assert (positive.tolist(), negative.tolist()) == ([0, 1, 4], [2, 3])
    assert corpus.evaluation_videos("dog").tolist() == [4]


@pytest.mark.parametrize(
    ("topic", "rule", "says"),
    [
        ("cat", "duration", "topic=cat: no positive video .* under data.rule=duration"),
        ("fish", "tag", "topic=fish: no such topic in .*; it has cat, dog, pet"),
    ],
)
def test_a_topic_that_cannot_be_trained_is_refused(
    tmp_path: Path, several: list[Video], topic: str, rule: str, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        write(tmp_path / "c", several).weak_labels(topic, rule, "lists")


def test_a_topic_without_negatives_is_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    with pytest.raises(InputError, match="topic=dog: no negative video"):
        write(tmp_path / "c", [make_video()]).weak_labels("dog", "tag", "lists")


def test_a_truncated_shard_is_refused_on_opening(tmp_path: Path, several: list[Video]) -> None:
    write(tmp_path / "c", several)
    path = tmp_path / "c" / "shard-00000.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"shard-00000\.h5: \d+ bytes, the manifest says \d+"):
        Corpus(tmp_path / "c")
    path.unlink()
    with pytest.raises(InputError, match="no such file, though the manifest lists it"):
        Corpus(tmp_path / "c")


# What is replaced, and by what: arrays of the same shape, so that the file keeps its size.
REPLACED: dict[str, Callable[[Any], Any]] = {
    "visual": lambda rows: -rows,
    "audio_mask": lambda mask: 1 - mask,
    "visual_sums": lambda sums: sums ^ np.uint64(1),
    "duration": lambda seconds: seconds + 1,
    "split": lambda lists: lists[::-1],
    "tag_index": lambda tags: tags[::-1],
    "id": lambda ids: ids[::-1],
    "label_score": lambda scores: -scores,
    "span": lambda seconds: seconds + 1,
    "title_bytes": lambda title: title[::-1],
}


@pytest.mark.parametrize("what", REPLACED)
@pytest.mark.parametrize("same_time", [True, False])
def test_a_shard_replaced_by_another_of_its_size_under_the_old_manifest_is_noticed(
    tmp_path: Path, several: list[Video], what: str, same_time: bool
) -> None:
    before = write(tmp_path / "c", several).fingerprint
    path = tmp_path / "c" / "shard-00000.h5"
    status = path.stat()
    with h5py.File(path, "r+") as file:
        file[what][...] = np.ascontiguousarray(REPLACED[what](file[what][:]))
    if what in ("visual", "audio_mask"):
        forge_rows(path, what, {})
    assert path.stat().st_size == status.st_size
    if same_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(InputError, match=r"shard-00000\.h5: changed or replaced since manifest\.json was written"):
        Corpus(tmp_path / "c")
    assert all(str(path) in fault for fault in faults(tmp_path / "c"))
    assert list(faults(tmp_path / "c"))
    write_manifest(tmp_path / "c", "test")
    assert Corpus(tmp_path / "c").fingerprint != before


def test_the_same_shards_elsewhere_and_later_are_the_same_corpus(tmp_path: Path, several: list[Video]) -> None:
    before = write(tmp_path / "c", several).fingerprint
    (tmp_path / "c").rename(tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").iterdir():
        os.utime(path, (0, 0))
    assert Corpus(tmp_path / "elsewhere").fingerprint == before
    manifest = json.loads((tmp_path / "elsewhere" / "manifest.json").read_text())
    (tmp_path / "elsewhere" / "manifest.json").write_text(json.dumps({**manifest, "benchmark": "tvsum"}))
    assert Corpus(tmp_path / "elsewhere").fingerprint != before


def damage(root: Path, dataset: str, change: Callable[[h5py.Dataset], None]) -> None:
    """Change a shard as another program might have written it: the manifest lists it as it is."""
    with h5py.File(root / "shard-00000.h5", "r+") as file:
        change(file[dataset])
    write_manifest(root, "test")


def test_rows_that_are_not_finite_stop_training_by_name(tmp_path: Path, several: list[Video]) -> None:
    write(tmp_path / "c", several)
    forge_rows(tmp_path / "c" / "shard-00000.h5", "visual", {(35, 1): np.nan})
    write_manifest(tmp_path / "c", "test")
    says = r"shard-00000\.h5: video 'long dog' \(row 1\): visual: NaN or infinite in clip 5"
    assert any(re.search(says, fault) for fault in faults(tmp_path / "c"))
    with pytest.raises(InputError, match=says):
        ResidentStore(Corpus(tmp_path / "c"), np.array([1]), ("visual",))


def test_a_video_of_zero_clips_is_refused_by_name(tmp_path: Path, several: list[Video]) -> None:
    write(tmp_path / "c", several)

    def empty(offsets: h5py.Dataset) -> None:
        offsets[1] = 0

    damage(tmp_path / "c", "offsets", empty)
    with pytest.raises(InputError, match="video 'short dog': span: zero clips"):
        Corpus(tmp_path / "c")
    assert any("video 'short dog' (row 0): span: zero clips" in fault for fault in faults(tmp_path / "c"))


def test_shards_whose_lists_are_numbers_of_several_types_read_as_one_corpus(
    tmp_path: Path, several: list[Video]
) -> None:
    root = tmp_path / "c"
    expected = write(root, several, shard_bytes=100).split.tolist()
    for number, dtype in ((0, "u8"), (1, "i8")):  # together they make floats
        with h5py.File(root / f"shard-{number:05d}.h5", "r+") as file:
            codes = file["split"][:]
            del file["split"]
            file["split"] = codes.astype(dtype)
    write_manifest(root, "c")
    assert Corpus(root).split.tolist() == expected


def test_a_corpus_that_another_process_is_writing_is_left_to_it(tmp_path: Path, make_video: Callable[..., Any]) -> None:
    streams, root = {"visual": Stream(4), "audio": Stream(3)}, tmp_path / "c"
    (left := tmp_path / ".c.partial").mkdir()
    (left / "shard-00007.h5").write_text("of one that was killed")

    def videos() -> Any:
        yield make_video()
        with pytest.raises(InputError, match="c: another process is writing it; expected one at a time"):
            write_corpus(root, [make_video()], streams, name="c", clip_seconds=1.0)

    write_corpus(root, videos(), streams, name="c", clip_seconds=1.0)
    assert list(faults(root)) == []
    assert sorted(path.name for path in root.iterdir()) == ["manifest.json", "shard-00000.h5"]
    assert list(tmp_path.iterdir()) == [root]
