"""What is known of a video is what its sidecar or table says now, not at its first extraction; nothing is decoded again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("av")
from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.video import Video
from highlight_lit.errors import InputError
from highlight_lit.media.extraction import parts
from highlight_lit.media.extraction.extract import ExtractionReport, ExtractorChoice, extract_corpus
from highlight_lit.media.extraction.find_videos import find_videos
from highlight_lit.media.extraction.sidecar import read_csv


@pytest.fixture(scope="module")
def clip(tmp_path_factory, made) -> bytes:
    return made.write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 2).read_bytes()


@pytest.fixture
def folder(tmp_path, clip) -> Path:
    """Three videos, two with sidecars."""
    root = tmp_path / "v"
    root.mkdir()
    for number, name in enumerate("abc"):
        (root / f"{name}.mp4").write_bytes(clip + b"\0\0\0\x08free" * number)
    for name, tags in (("a", []), ("b", ["dog"])):
        (root / f"{name}.info.json").write_text(json.dumps({"id": f"id-{name}", "title": name.upper(), "tags": tags}))
    return root


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """Names of the files that are decoded from now on."""
    names: list[str] = []
    from highlight_lit.media.extraction import extract

    whole = extract.extract_features

    def count(path: Path, *rest: object) -> object:
        names.append(path.name)
        return whole(path, *rest)

    monkeypatch.setattr(extract, "extract_features", count)
    return names


def extract(folder: Path, *rows: str, allow: bool = True, **more: object) -> ExtractionReport:
    table = folder.parent / "t.csv"
    table.write_text("\n".join(["video,tags,title,split", *rows]))
    read = read_csv(table) if rows else []
    root = folder.parent / "corpus"
    return extract_corpus(find_videos([folder]), root, ExtractorChoice(), read, allow_untagged=allow, **more)


def videos(folder: Path) -> dict[str, Video]:
    corpus = Corpus(folder.parent / "corpus")
    return {video.id: video for shard in corpus.shards for video in shard}


def same_features(before: dict[str, Video], after: dict[str, Video]) -> bool:
    return before.keys() == after.keys() and all(
        (getattr(before[name], key) == getattr(after[name], key)).all()
        for name in before
        for key in ("visual", "audio", "audio_mask", "span")
    )


def test_tags_title_and_split_that_were_mended_reach_the_corpus(folder, decoded):
    first = extract(folder)
    before = videos(folder)
    assert (first.done, first.updated, len(decoded)) == (3, 0, 3)
    (folder / "a.info.json").write_text(json.dumps({"id": "id-a", "title": "New", "tags": ["Surf", "park"]}))
    again = extract(folder)
    after = videos(folder)
    assert (again.done, again.skipped, again.updated, len(decoded)) == (0, 3, 1, 3)
    assert (after["id-a"].tags, after["id-a"].title) == (("surf", "park"), "New")
    assert Corpus(folder.parent / "corpus").topics == ("dog", "park", "surf")
    assert same_features(before, after)
    table = extract(folder, "c,surf,C,val", "b,dog,B,train")
    assert (table.done, table.updated, len(decoded)) == (0, 2, 3)
    assert {name: (video.tags, video.split) for name, video in videos(folder).items()} == {
        "id-a": (("surf", "park"), ""),
        "id-b": (("dog",), "train"),
        "c": (("surf",), "val"),
    }
    assert same_features(before, videos(folder))
    assert main(["verify", str(folder.parent / "corpus")]) == 0


def test_what_stays_the_same_is_not_written_again(folder):
    extract(folder)
    root = folder.parent / "corpus"
    before = {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in root.iterdir()}
    assert extract(folder).updated == 0
    assert {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in root.iterdir()} == before


def test_parts_of_an_earlier_slice_get_what_is_known_when_they_are_packed(folder, decoded):
    extract(folder, slice_of="1/1")
    (folder / "b.info.json").write_text(json.dumps({"id": "id-b", "tags": ["cat"]}))
    assert extract(folder).updated == 1
    assert len(decoded) == 3
    assert Corpus(folder.parent / "corpus").topics == ("cat",)


@pytest.mark.parametrize("rows", [(), ("a,surf,,", "b,dog,,", "c,,,")])
def test_a_sidecar_that_comes_or_goes_makes_no_second_video(folder, decoded, rows):
    """The id is a sidecar's; a video that is in the corpus keeps the one it has there."""
    extract(folder, *rows)
    names = set(videos(folder))
    (folder / "a.info.json").unlink()
    (folder / "c.info.json").write_text(json.dumps({"id": "another", "tags": ["park"]}))
    assert extract(folder, *rows).done == 0
    assert set(videos(folder)) == names == {"id-a", "id-b", "c"}
    assert len(decoded) == 3


def test_tags_are_not_lost_where_the_table_is_forgotten(folder):
    rows = ("a,surf,,", "b,dog,,", "c,park,,")
    extract(folder, *rows)
    for path in folder.glob("*.json"):
        path.unlink()
    with pytest.raises(InputError, match=r"3 videos would lose the tags .*\. Give their table \(--tags CSV"):
        extract(folder, allow=False)
    assert Corpus(folder.parent / "corpus").topics == ("dog", "park", "surf")
    assert extract(folder, *rows).updated == 0
    assert extract(folder).updated == 3  # with --allow-untagged
    assert Corpus(folder.parent / "corpus").topics == ()


def test_another_file_of_the_same_name_is_not_taken_for_the_one_in_the_corpus(folder, clip):
    extract(folder)
    other = folder.parent / "other"
    other.mkdir()
    (other / "c.mp4").write_bytes(clip + b"\0\0\0\x08free" * 9)
    (other / "c.info.json").write_text(json.dumps({"tags": ["park"]}))
    report = extract_corpus(find_videos([other]), folder.parent / "corpus", ExtractorChoice())
    ((_, reason),) = report.failed
    assert "id 'c': in the corpus for another file (c.mp4, " in reason
    assert videos(folder)["c"].tags == ()


def test_a_video_that_was_moved_is_the_same(folder, decoded):
    extract(folder)
    (folder / "sub").mkdir()
    (folder / "c.mp4").rename(folder / "sub" / "c.mp4")
    (folder / "a.mp4").rename(folder / "renamed.mp4")
    (folder / "a.info.json").rename(folder / "renamed.info.json")
    report = extract(folder)
    assert (report.done, report.skipped, report.failed, len(decoded)) == (0, 3, [], 3)


def test_a_duration_that_the_sidecar_claims_now_is_compared_now(folder):
    assert extract(folder).notes == []
    (folder / "b.info.json").write_text(json.dumps({"id": "id-b", "tags": ["dog"], "duration": 90}))
    ((path, remark),) = extract(folder).notes
    assert path.name == "b.mp4"
    assert remark == "the sidecar says 90 s, the video lasts 2 s, which counts"


@pytest.mark.parametrize("at", ["write_manifest", "write_sources", "replace", "_write_shard"])
def test_cut_off_while_it_is_brought_up_to_date_it_loses_nothing(folder, monkeypatch, at):
    extract(folder)
    before = videos(folder)
    (folder / "b.info.json").write_text(json.dumps({"id": "id-b", "tags": ["cat"]}))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os if at == "replace" else parts, at, stop)
        with pytest.raises(KeyboardInterrupt):
            extract(folder)
    extract(folder)
    assert videos(folder)["id-b"].tags == ("cat",)
    assert same_features(before, videos(folder))
    assert Corpus(folder.parent / "corpus").topics == ("cat",)
    root = folder.parent / "corpus"
    assert sorted(path.name for path in root.iterdir()) == ["manifest.json", "shard-00000.h5", "sources.json"]


def test_a_sidecar_that_cannot_be_read_any_more_changes_nothing(folder):
    extract(folder)
    (folder / "b.info.json").write_text("{")
    report = extract(folder)
    assert "b.info.json: not readable" in report.failed[0][1]
    assert videos(folder)["id-b"].tags == ("dog",)


def test_on_the_command_line(folder, capsys):
    root = folder.parent / "corpus"
    words = ["extract", str(folder), "--out", str(root), "--workers", "1"]
    assert main(words) == 2
    assert "1 videos have no sidecar, as others have" in capsys.readouterr().err
    assert not root.exists()  # told before anything was done
    assert main([*words, "--allow-untagged"]) == 0
    assert f"{root}: 3 videos extracted (0.1 min of video), 0 there before, 0 skipped" in capsys.readouterr().out
    (folder / "a.info.json").write_text(json.dumps({"id": "id-a", "tags": ["surf"]}))
    (folder / "c.info.json").write_text(json.dumps({"tags": ["surf"]}))
    assert main(words) == 0
    assert "0 videos extracted (0.0 min of video), 3 there before (2 with new tags, title or split), 0 skipped" in (
        capsys.readouterr().out
    )


def tags_of(folder: Path) -> dict[str, tuple[str, ...]]:
    return {name: video.tags for name, video in videos(folder).items()}


def laid(folder: Path, clip: bytes, *names: str) -> None:
    """Videos of one name or another, each of another size."""
    for path in folder.iterdir():
        path.unlink()
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(clip + b"\0\0\0\x08free" * number)


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["a/x.mp4", "b/x.mp4", "b/y.mp4"], ["a_x", "b_x", "y"]),
        (["x.mp4", "b/x.webm"], ["b_x", "v_x"]),
        (["1/a/x.mp4", "2/a/x.mp4"], ["1_a_x", "2_a_x"]),
        (["a/x.mp4", "b/x.mp4", "a_x.mp4"], ["a_x", "v_a_x", "v_b_x"]),  # who does not clash keeps the plain name
        (["a/e\u0301.mp4", "b/\u00e9.mp4"], ["a_\u00e9", "b_\u00e9"]),
    ],
)
def test_videos_of_one_name_are_told_apart_by_their_folders(folder, clip, decoded, names, ids):
    laid(folder, clip, *names)
    rows = [f"{name},tag {number},," for number, name in enumerate(names)]
    report = extract(folder, *rows)
    assert report.failed == []
    assert sorted(tags_of(folder)) == ids
    assert sorted(tags_of(folder).values()) == [(f"tag {number}",) for number in range(len(names))]
    decoded.clear()
    again = extract(folder, *rows)
    assert (again.skipped, again.updated, decoded) == (len(names), 0, [])


@pytest.mark.parametrize("free", [0, 1])
def test_one_folder_of_them_alone_is_known_again(folder, clip, decoded, free):
    """Even where both files have one size."""
    laid(folder, clip, "a/x.mp4", "b/x.mp4")
    (folder / "b" / "x.mp4").write_bytes(clip + b"\0\0\0\x08free" * free)
    rows = ["a/x.mp4,dog,,", "b/x.mp4,cat,,"]
    extract(folder, *rows)
    decoded.clear()
    for one, tag in (("a", "dog"), ("b", "cat")):
        found = find_videos([folder / one])
        table = folder.parent / "one.csv"
        table.write_text(f"video,tags\nx.mp4,{tag} now\n")
        report = extract_corpus(found, folder.parent / "corpus", ExtractorChoice(), read_csv(table))
        assert (report.skipped, report.updated, decoded) == (1, 1, [])
    assert tags_of(folder) == {"a_x": ("dog now",), "b_x": ("cat now",)}


def test_a_video_that_had_the_name_before_keeps_it(folder, clip, decoded):
    laid(folder, clip, "b/x.mp4")
    extract(folder, "b/x.mp4,dog,,")
    (folder / "a").mkdir()
    (folder / "a" / "x.mp4").write_bytes(clip + b"\0\0\0\x08free" * 5)
    decoded.clear()
    for _ in range(2):
        assert extract(folder, "b/x.mp4,dog,,", "a/x.mp4,cat,,").failed == []
    assert decoded == ["x.mp4"]
    assert tags_of(folder) == {"x": ("dog",), "a_x": ("cat",)}


def test_slices_tell_them_apart_alike(folder, clip):
    laid(folder, clip, "a/x.mp4", "b/x.mp4")
    (folder / "b" / "x.mp4").write_bytes(clip)
    for which in ("2/2", "1/2", None):
        assert extract(folder, "a/x.mp4,dog,,", "b/x.mp4,cat,,", slice_of=which).failed == []
    assert tags_of(folder) == {"a_x": ("dog",), "b_x": ("cat",)}


@pytest.mark.parametrize("at", [None, "write_manifest", "write_sources", "_write_shard"])
def test_own_labels_stay_when_tags_are_mended(folder, decoded, monkeypatch, at):
    extract(folder)
    root, table = folder.parent / "corpus", folder.parent / "labels.csv"
    table.write_text("video,start,end,label\nid-a,0,1,0.5\nid-a,1,1.9,3\n")
    assert main(["import", "labels", str(table), "--into", str(root)]) == 0
    (folder / "a.info.json").write_text(json.dumps({"id": "id-a", "title": "New", "tags": ["Surf"]}))

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if at is not None:  # killed as the corpus is brought up to date
        with monkeypatch.context() as patch:
            patch.setattr(parts, at, stop)
            with pytest.raises(KeyboardInterrupt):
                extract(folder)
    extract(folder)
    corpus = Corpus(root)
    assert "surf" in corpus.topics
    assert sorted(path.suffix for path in root.iterdir()) == [".h5", ".hdf5", ".json", ".json"]
    labels = corpus.labels(corpus.index("id-a"))
    assert labels.score[:, 0].tolist() == [0.5, 3]
    assert (corpus.manifest["benchmark"], corpus.manifest["extracted"], len(decoded)) == ("importance", True, 3)
