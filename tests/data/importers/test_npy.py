"""A folder of arrays and a csv table: what is taken, and each thing that is refused."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.importers import npy
from highlight_lit.data.video import Labels, Stream, Video
from highlight_lit.errors import InputError
from highlight_lit.media.extraction.sidecar import read_csv
from tests.data.importers import tried
from tests.tolerance import FUNCTION, assert_near

TABLE = 'id,duration,tags,title,split\na,3.5,dog;pet,"One, two",train\nb,61,ski,,val\nc,2,dog,,\n'


def save(source: Path, name: str, rows: np.ndarray[Any, Any]) -> None:
    path = source / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, rows)


def random(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(shape[0]).normal(size=shape).astype(np.float16)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three videos of 4, 61 and 2 clips, the second silent."""
    root = tmp_path / "source"
    for name, clips in (("a", 4), ("b", 61), ("c", 2)):
        save(root, f"visual/{name}", random(clips, 3))
        if name != "b":
            save(root, f"audio/{name}", random(clips, 2))
    (tmp_path / "videos.csv").write_text(TABLE)
    return root


def load(source: Path, **options: Any) -> tuple[Corpus, list[str]]:
    return tried.load(npy, source, **{"videos": source.parent / "videos.csv", **options})


def refused(source: Path, **options: Any) -> str:
    return tried.refused(npy, source, **{"videos": source.parent / "videos.csv", **options})


def labels_corpus(root: Path, name: str = "a", **facts: Any) -> Path:
    labels = Labels(np.array([[0.0, 2.0], [2.0, 4.0]]), np.array([[1.0], [-1.0]], np.float32))
    video = Video(name, 3.5, ("dog",), np.empty((0, 2)), labels=labels)
    write_corpus(root, [video], {}, name="labels", clip_seconds=2.0, benchmark="youtube-highlights", **facts)
    return root


def test_arrays_and_table_become_a_corpus(source: Path) -> None:
    corpus, lines = load(source)
    assert [name.decode() for name in corpus.ids] == ["a", "b", "c"]
    assert corpus.split.tolist() == ["train", "val", ""]
    assert corpus.duration.tolist() == [3.5, 61, 2]
    assert corpus.topics == ("dog", "pet", "ski")
    assert corpus.locate(0)[0].title(0) == "One, two"
    np.testing.assert_array_equal(corpus.rows(0, "visual"), np.load(source / "visual/a.npy"))
    np.testing.assert_array_equal(corpus.rows(2, "audio"), np.load(source / "audio/c.npy"))
    assert [bool(corpus.rows(video, "audio_mask").all()) for video in range(3)] == [True, False, True]
    assert (corpus.manifest["benchmark"], corpus.manifest["name"]) == (None, "source")
    assert lines[-1].endswith(
        "3 videos (1 without audio), 67 clips, 0 labelled segments, 3 topics (dog, pet, ski), 0.02 hours"
    )


def test_the_last_clip_ends_with_the_video(source: Path) -> None:
    corpus, _ = load(source)
    assert_near(corpus.rows(0, "span"), [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [3.0, 3.5]], FUNCTION)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.2, 100), st.sampled_from([0.5, 0.96, 1.0, 2.0]), st.integers(0, 2))
def test_clips_follow_each_other_within_the_video(
    tmp_path_factory: pytest.TempPathFactory, duration: float, seconds: float, lacking: int
) -> None:
    source = tmp_path_factory.mktemp("one") / "source"
    clips = max(1, int(np.ceil(duration / seconds)) - lacking)
    save(source, "visual/a", random(clips, 2))
    (source.parent / "videos.csv").write_text(f"id,duration,tags\na,{duration!r},dog\n")
    corpus, _ = load(source, clip_seconds=seconds)
    span = corpus.rows(0, "span")
    assert_near(span[1:, 0], span[:-1, 1], FUNCTION)
    assert span[-1, 1] <= duration
    assert (np.abs(np.ptp(span[:-1], axis=1) - seconds) < 1e-9).all()


def test_given_spans_count_instead_of_the_clip_length(source: Path) -> None:
    (source.parent / "videos.csv").write_text("id,duration,tags\na,9,dog\n")
    for name in ("visual/b", "visual/c", "audio/c"):
        (source / f"{name}.npy").unlink()
    save(source, "span/a", np.array([[0, 3.0], [1, 4], [2, 5], [6, 9]]))
    corpus, _ = load(source)
    assert corpus.rows(0, "span").tolist() == [[0, 3], [1, 4], [2, 5], [6, 9]]


def test_sound_alone_makes_a_corpus(source: Path) -> None:
    for path in source.glob("visual/*"):
        path.unlink()
    (source / "visual").rmdir()
    save(source, "audio/b", random(61, 2))
    corpus, _ = load(source)
    assert list(corpus.streams) == ["audio"]


def test_topics_may_be_fewer_than_tags(source: Path) -> None:
    corpus, _ = load(source, topics=["dog", "ski"])
    assert corpus.topics == ("dog", "ski")
    assert "no video is tagged 'cat'" in refused(source, topics=["dog", "cat"])
    assert "--topics : empty; expected names of tags" in refused(source, topics=[""])


def test_a_name_that_is_no_utf_8_is_kept_as_far_as_it_can_be(source: Path) -> None:
    corpus, _ = load(source, name=os.fsdecode(b"caf\xe9"))
    assert corpus.manifest["name"] == "caf?"


def test_labels_come_from_another_corpus_with_its_benchmark(source: Path) -> None:
    corpus, lines = load(source, labels=labels_corpus(source.parent / "labels"))
    labels = corpus.labels(0)
    assert labels is not None
    assert labels.score.tolist() == [[1], [-1]]
    assert corpus.labels(1) is None
    assert corpus.manifest["benchmark"] == "youtube-highlights"
    assert "labels of 1 of 3 videos" in lines[0]


def test_labels_at_estimated_rates_are_named_as_such_and_at_nominal_ones_refused(source: Path) -> None:
    estimated = labels_corpus(source.parent / "estimated", clock="estimated")
    corpus, lines = load(source, labels=estimated)
    assert "at estimated frame rates" in lines[0]
    assert corpus.manifest["clock"] == "estimated"
    nominal = labels_corpus(source.parent / "nominal", clock="nominal")
    assert f"{nominal}: clock: its spans are frames" in refused(source, labels=nominal)


def test_labels_of_none_of_the_videos_are_refused(source: Path) -> None:
    other = labels_corpus(source.parent / "labels", "elsewhere")
    assert f"{other}: id: it holds none of the videos" in refused(source, labels=other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,duration\na,4\n", "columns id, duration: expected id, duration, tags and perhaps title, split"),
        ("id,duration,tags,rank\na,4,x,1\n", "columns id, duration, tags, rank: expected"),
        ("id,duration,tags,tags\na,4,x,x\n", "columns id, duration, tags, tags: expected"),
        ("id,duration,tags\na,4\n", "line 2: 2 fields, expected 3"),
        ("id,duration,tags\na,long,x\n", "line 2: video 'a': duration (in seconds): 'long', expected a number above 0"),
        ("id,duration,tags\na,0:34,x\n", "line 2: video 'a': duration (in seconds): '0:34', expected a number above 0"),
        ("id,duration,tags\na,nan,x\n", "line 2: video 'a': duration (in seconds): 'nan'"),
        ("id,duration,tags\na,0,x\n", "line 2: video 'a': duration (in seconds): '0'"),
        ("id,duration,tags\na,1e10,x\n", "line 2: video 'a': duration: 1e+10 s; expected at most 1e+09"),
        ("id,duration,tags,split\na,4,x,dev\n", "line 2: video 'a': split: 'dev'"),
        ("id,duration,tags\na,4,x\na,4,x\n", "line 3: video 'a': id: occurs twice"),
        ("id,duration,tags\n../source/visual/a,4,x\n", "line 2: video '../source/visual/a': id: expected a plain name"),
        ("id,duration,tags\n", "no video"),
        ("", "expected id, duration, tags"),
        ('id,duration,tags\n"a,4,x\n', "not readable as csv"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(source: Path, text: str, expected: str) -> None:
    path = source.parent / "videos.csv"
    path.write_text(text)
    line = refused(source)
    assert line.startswith(str(path))
    assert expected in line


def test_a_table_that_is_missing_or_not_text_is_refused(source: Path) -> None:
    assert "none.csv: no such file" in refused(source, videos=source / "none.csv")
    (source.parent / "videos.csv").write_bytes(b"id,duration,tags\n\xff,1,x\n")
    assert "not UTF-8 text" in refused(source)


def test_rows_without_arrays_and_arrays_without_rows_are_counted_named_and_refused_unless_allowed(source: Path) -> None:
    for name in ("audio/stray", "visual/stray", "visual/B", "visual/._a"):
        save(source, name, random(4, 2))
    table = source.parent / "videos.csv"
    stray = f"3 arrays of {source}: no row in {table}: visual/B.npy, visual/stray.npy, audio/stray.npy"
    assert refused(source) == (
        f"{stray} (B and b differ in case); expected one for each: an id is its arrays' name without .npy; "
        "--allow-unmatched leaves these out"
    )
    (source / "visual/b.npy").unlink()
    lacking = f"1 of 3 videos of {table}: no array in {source / 'visual'}: b"
    assert refused(source).startswith(f"{lacking}; {stray} (")
    corpus, lines = load(source, allow_unmatched=True)
    assert [name.decode() for name in corpus.ids] == ["a", "c"]
    assert lines[:2] == [f"{lacking}; left out", f"{stray}; left out"]


def test_none_that_match_is_refused_even_where_others_may_be_left_out(source: Path) -> None:
    (source.parent / "videos.csv").write_text("id,duration,tags\nx,4,dog\n")
    assert "no array of any video" in refused(source, allow_unmatched=True)
    assert refused(source).endswith("an id is its arrays' name without .npy")  # no flag that would not help


def test_a_table_without_tags_is_said_to_give_no_topic(source: Path) -> None:
    (source.parent / "videos.csv").write_text("id,duration,tags\na,4,\nb,61,\nc,2,\n")
    assert ", no tags, so no topic to train, " in load(source)[1][-1]


@pytest.mark.parametrize(("in_table", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_names_are_compared_in_one_unicode_form(tmp_path: Path, in_table: Any, on_disk: Any) -> None:
    save(tmp_path / "s", f"visual/{unicodedata.normalize(on_disk, 'café')}", random(4, 2))
    row = unicodedata.normalize(in_table, "café,4,é")
    (tmp_path / "videos.csv").write_text(f"id,duration,tags\n{row}\n")
    corpus, _ = load(tmp_path / "s")
    assert corpus.ids[0].decode() == unicodedata.normalize("NFC", "café")
    assert corpus.topics == (unicodedata.normalize("NFC", "é"),)


def test_a_name_that_is_there_in_two_unicode_forms_is_refused(source: Path) -> None:
    for form in ("NFC", "NFD"):
        save(source, f"visual/{unicodedata.normalize(form, 'é')}", random(4, 3))  # type: ignore[arg-type]
    assert "there twice, in two Unicode forms" in refused(source)


@pytest.mark.parametrize(
    ("name", "rows", "clips", "says"),
    [
        ("audio/a", 3, 3, "video 'a': cut to 3 clips: visual/a.npy: 4, audio/a.npy: 3, 3.50 s in clips of 1 s: 4"),
        ("audio/a", 5, 4, "video 'a': cut to 4 clips: visual/a.npy: 4, audio/a.npy: 5"),
        ("audio/a", 6, 4, "video 'a': cut to 4 clips"),
        ("visual/a", 5, 4, "video 'a': cut to 4 clips"),
        ("visual/a", 2, 2, "video 'a': cut to 2 clips"),
        ("visual/b", 63, 61, "video 'b': cut to 61 clips: visual/b.npy: 63, 61.00 s in clips of 1 s: 61"),
    ],
)
def test_one_or_two_rows_too_many_are_cut_with_a_note(
    source: Path, name: str, rows: int, clips: int, says: str
) -> None:
    given = random(rows, 2 if name.startswith("audio") else 3)
    save(source, name, given)
    corpus, lines = load(source)
    index = corpus.index(name[-1])
    assert index is not None
    assert corpus.clips[index] == clips
    np.testing.assert_array_equal(corpus.rows(index, name.partition("/")[0]), given[:clips])
    assert len(lines) == 2
    assert lines[0].startswith(f"{source}: {says}")


def test_many_videos_that_are_cut_are_counted(tmp_path: Path) -> None:
    for i in range(25):
        save(tmp_path / "s", f"visual/{i}", random(5, 2))
    (tmp_path / "videos.csv").write_text("id,duration,tags\n" + "".join(f"{i},4,dog\n" for i in range(25)))
    _, lines = load(tmp_path / "s")
    assert len(lines) == 12
    assert lines[10] == "and 15 more videos were cut to their shortest stream"


def test_features_in_npz_are_named_with_a_line_that_converts_them(source: Path) -> None:
    for path in [*source.glob("visual/*.npy")]:
        np.savez(path.with_suffix(".npz"), features=np.load(path))
        path.unlink()
    line = refused(source)
    assert "there are .npz files" in line
    command = line.partition("convert them: python ")[2]
    assert subprocess.run(f"{sys.executable} {command}", shell=True, check=False).returncode == 0
    corpus, _ = load(source)
    assert len(corpus) == 3


@pytest.mark.parametrize("whole_file", [True, False])
def test_a_pickled_array_is_refused_with_the_line_that_converts_it(source: Path, whole_file: bool) -> None:
    rows = random(61, 3)
    path = source / "visual/b.npy"
    if whole_file:
        path.write_bytes(pickle.dumps(rows))
    else:
        np.save(path, np.array([[*row] for row in rows], dtype=object), allow_pickle=True)
    command = refused(source).partition("trust where it is from: python ")[2]
    assert subprocess.run(f"{sys.executable} {command}", shell=True, check=False).returncode == 0
    corpus, _ = load(source)
    np.testing.assert_array_equal(corpus.rows(1, "visual"), rows)


def test_a_pipe_among_the_arrays_is_never_waited_for(source: Path) -> None:
    (source / "audio/c.npy").unlink()
    os.mkfifo(source / "audio/c.npy")
    assert "audio/c.npy: a pipe; expected an array of audio features" in refused(source)
    os.mkfifo(source.parent / "pipe")
    assert "pipe: a pipe; expected csv" in refused(source, videos=source.parent / "pipe")
    assert f"{source}: a folder; expected csv" in refused(source, videos=source)


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", "a\x1b[2J", "a\x00", "a\u202eb", "a\u2028b", "\x7f"])
def test_an_id_that_could_leave_its_folder_or_move_a_cursor_is_refused(source: Path, name: str) -> None:
    (source.parent / "videos.csv").write_text(f'id,duration,tags\n"{name}",4,dog\n')
    line = refused(source)
    assert "id: expected a plain name" in line
    assert line.isprintable()


@pytest.mark.parametrize("name", ["滑雪 №1", "می‌خواهم", "#1 (a) [b] & c", "..a", "=1+1"])
def test_an_id_in_any_script_is_taken(source: Path, name: str) -> None:
    save(source.parent / "s", f"visual/{name}", random(4, 2))
    (source.parent / "videos.csv").write_text(f'id,duration,tags\n"{name}",4,dog\n')
    corpus, _ = load(source.parent / "s")
    assert corpus.ids[0].decode() == name


@pytest.mark.parametrize(
    ("value", "dtype", "advice"), [(1e300, None, False), (1e6, "float16", True), (-7e4, "float16", True)]
)
def test_a_value_that_cannot_be_stored_is_named(source: Path, value: float, dtype: str | None, advice: bool) -> None:
    rows = random(61, 3).astype(np.float64)
    rows[7, 2] = value
    save(source, "visual/b", rows)
    line = refused(source, dtype=dtype)
    assert f"video 'b': visual: {value:.4g} in clip 7 is a value beyond the range of {dtype or 'float32'}" in line
    assert ("--dtype float32" in line) == advice


def test_a_folder_without_arrays_is_refused(source: Path, tmp_path: Path) -> None:
    assert "nothing: no such folder; expected one with visual/ID.npy" in refused(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert "empty: no visual/ID.npy and no audio/ID.npy" in refused(tmp_path / "empty")


def test_the_folder_of_one_stream_is_refused_with_the_one_to_name(source: Path) -> None:
    table = source.parent / "videos.csv"
    with pytest.raises(InputError, match=f"so name the folder above: {source}$"):
        npy.import_corpus(source / "visual", source.parent / "out", videos=table)
    (source / "visual").rename(source.parent / "all")
    with pytest.raises(InputError, match="expected them in its folders visual and audio$"):
        npy.import_corpus(source.parent / "all", source.parent / "out", videos=table)


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        (
            "audio/a",
            random(1, 2),
            "video 'a': rows disagree by more than 2: visual/a.npy: 4, audio/a.npy: 1, 3.50 s in",
        ),
        ("visual/b", random(61, 4), "visual: video 'b': visual: 4 wide, expected 3 as of video 'a'"),
        (
            "visual/b",
            random(64, 3),
            "video 'b': rows disagree by more than 2: visual/b.npy: 64, 61.00 s in clips of 1 s: 61",
        ),
        ("visual/b", random(30, 3), "61.00 s in clips of 1 s: 61; expected a row a clip: set --clip-seconds"),
        ("visual/b", random(61), "visual: video 'b': visual: b.npy: float16 of shape (61,)"),
        ("visual/b", np.ones((61, 3), int), "visual: video 'b': visual: b.npy: int64"),
        (
            "visual/b",
            np.full((61, 3), np.inf),
            "visual: NaN or infinite in clip 0 and 60 more; expected finite numbers: make its",
        ),
        (
            "visual/b",
            np.full((61, 3), 1e39),
            "video 'b': visual: 1e+39 in clip 0 is a value beyond the range of float32",
        ),
        (
            "span/a",
            np.ones((1, 2)),
            "video 'a': rows disagree by more than 2: visual/a.npy: 4, audio/a.npy: 4, span/a.npy: 1",
        ),
        ("span/a", np.ones((4, 3)), "span: video 'a': span: shape (4, 3), expected (4, 2)"),
        ("span/a", np.array([[0.0, 9]] * 4), "span: video 'a': span: ends at 9.00 s, past the video's 3.50 s"),
        ("span/a", np.array([[1.0, 1]] * 4), "video 'a': span: a start that is negative"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(
    source: Path, name: str, rows: np.ndarray[Any, Any], expected: str
) -> None:
    save(source, name, rows)
    if name == "span/a":  # which all videos have, or none
        (source.parent / "videos.csv").write_text(TABLE.partition("b,")[0])
        for path in (*source.glob("*/b.npy"), *source.glob("*/c.npy")):
            path.unlink()
    assert expected in refused(source)


def test_an_array_whose_shape_is_no_number_is_refused(source: Path) -> None:
    save(source, "visual/b", random(61, 3))
    path = source / "visual/b.npy"
    path.write_bytes(path.read_bytes().replace(b"(61, 3)", b"(True,3)").replace(b"  \n", b" \n"))
    assert "b.npy: truncated or not a plain .npy array (shape (True, 3); expected whole numbers)" in refused(source)


def test_nothing_is_unpickled(source: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (source / "exploded",))

    np.save(source / "visual/b.npy", np.array([[Bomb()]], dtype=object), allow_pickle=True)
    assert "visual: video 'b': visual: b.npy: pickled, which could run anything" in refused(source)
    assert not (source / "exploded").exists()


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 1e-320, 1e-7, 1e13, 1e308])
def test_a_clip_length_that_is_none_is_refused(source: Path, seconds: float) -> None:
    assert "clip_seconds" in refused(source, clip_seconds=seconds)


@pytest.mark.parametrize("seconds", [1e-6, 1.5e-6])
def test_a_clip_length_that_makes_more_clips_than_a_video_may_have_is_refused(source: Path, seconds: float) -> None:
    line = refused(source, clip_seconds=seconds)
    assert f"video 'a': 3.50 s in clips of {seconds:g} s are over 2097152 clips" in line
    assert "set --clip-seconds" in line


@pytest.mark.parametrize("typed", ["Dog;PET", " dog ; pet;DOG", "do\x01g;pet", "d\u00f6g;pet", "STRASSE;straße"])
def test_tags_have_the_form_that_extraction_gives_them(source: Path, typed: str) -> None:
    (source.parent / "videos.csv").write_text(f"id,duration,tags\na,3.5,{typed}\nb,61,Ski\nc,2,\n")
    table = source.parent / "tags.csv"
    table.write_text(f"video,tags\na,{typed}\nb,Ski\n")
    corpus, _ = load(source, topics=["SKI"])
    assert [video.tags for video in corpus.shards[0]] == [*(row.sidecar.tags for row in read_csv(table)), ()]
    assert corpus.topics == ("ski",)


def test_a_corpus_of_before_keeps_its_tags_and_topics(source: Path, tmp_path: Path) -> None:
    video = Video("a", 3.5, ("VT", "Dog"), np.array([[0.0, 1.0]]), visual=np.ones((1, 2), np.float16))
    write_corpus(tmp_path / "old", [video], {"visual": Stream(2)}, name="old", clip_seconds=1.0)
    corpus = Corpus(tmp_path / "old")
    assert corpus.tagged("VT").tolist() == corpus.tagged("Dog").tolist() == [True]
    with pytest.raises(InputError, match="topic=vt: no such topic .*; did you mean VT?"):
        corpus.tagged("vt")
