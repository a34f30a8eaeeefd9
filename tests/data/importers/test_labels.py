"""Own labels: what a table makes of a video's seconds, and the rules that it is held to, wherever it is given."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus, write_corpus
from highlight_lit.data.corpus.faults import faults
from highlight_lit.data.importers.common.label_table import labels_of, read_labels
from highlight_lit.data.video import Labels, Stream, Video

HEADER = "video,start,end,label"


def laid(
    path: Path, text: str, durations: dict[str, float], allow: bool = False
) -> tuple[dict[str, Labels], list[str]]:
    path.write_text(text)
    lines: list[str] = []
    return labels_of(read_labels(path), durations, allow, lines.append), lines


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., tuple[dict[str, Labels], list[str]]]:
    def call(*rows: str, header: str = HEADER, allow: bool = False, **durations: float) -> Any:
        return laid(tmp_path / "labels.csv", "\n".join([header, *rows, ""]), durations, allow)

    return call


def made(root: Path, labels: bool = False) -> Path:
    """A corpus of three videos of 10, 4 and 6.5 s; the last has no tag."""
    rng = np.random.default_rng(0)

    def video(name: str, seconds: float, *tags: str) -> Video:
        start = np.arange(math.ceil(seconds), dtype=float)
        span = np.stack([start, np.minimum(start + 1, seconds)], axis=1)
        own = Labels(span, rng.random((len(span), 1)).astype(np.float32)) if labels else None
        rows = [rng.normal(size=(len(span), width)).astype(np.float16) for width in (4, 3)]
        return Video(
            name, seconds, tags, span, rows[0], rows[1] if name != "b" else None, labels=own, title=f"T {name}"
        )

    videos = [video("a", 10, "surf"), video("b", 4, "surf", "sea"), video("c", 6.5)]
    facts = {"benchmark": "importance"} if labels else {}
    write_corpus(
        root, videos, {"visual": Stream(4), "audio": Stream(3)}, name="own", clip_seconds=1.0, topics=["surf"], **facts
    )
    return root


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*words: object) -> tuple[int, str]:
        status = main([*map(str, words)])
        found = capfd.readouterr()
        return status, found.out + found.err

    return call


def test_highlights_that_are_listed_alone_are_laid_over_seconds(table: Any) -> None:
    labels, lines = table("a,1.5,3.2,1", "a,5.4,5.6,1", a=7.3, b=3)
    assert labels["a"].span.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 7], [7, 7.3]]
    # Half of second 1 is covered, a fifth of second 3; the short one has its middle in second 5.
    assert labels["a"].score[:, 0].tolist() == [0, 1, 1, 0, 0, 1, 0, 0]
    assert "b" not in labels
    assert "highlights (labels 0 and 1) of 1 of 2 videos by 1 annotator: judged by youtube/trapezoid" in lines[0]
    assert "1 videos have highlights listed alone" in lines[1]


def test_segments_that_are_labelled_0_and_1_stay_as_they_are(table: Any) -> None:
    labels, lines = table("a,0,2,0", "a,2,5,1", "a,4,6,0", a=10)
    assert labels["a"].span.tolist() == [[0, 2], [2, 5], [4, 6]]
    assert labels["a"].score[:, 0].tolist() == [0, 1, 0]
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        "1 labels overlap another of their annotator, and stay as they are"
    ]


def test_importance_is_any_number_by_one_annotator_or_many(table: Any) -> None:
    labels, lines = table("a,2,4,-3,y", "a,0,2,1.5,y", "a,0,2,4,x", "a,2,4,5,x", header=f"{HEADER},annotator", a=4)
    assert labels["a"].score.tolist() == [[4, 1.5], [5, -3]]
    assert "importance (numbers) of 1 of 1 videos by 2 annotators each: judged by top5/mininet" in lines[0]


def test_annotators_are_compared_in_one_unicode_form(table: Any) -> None:
    labels, lines = table("a,0,2,1,\u00e9", "a,3,4,1,e\u0301", header=f"{HEADER},annotator", a=5)
    assert labels["a"].score.shape[1] == 1
    assert "by 1 annotator:" in lines[0]


def test_annotators_may_find_other_highlights_and_one_may_find_none(table: Any) -> None:
    labels, _ = table("a,0,2,1,x", "a,1,3,1,y", "b,0,3,0,x", "b,1,2,1,y", header=f"{HEADER},annotator", a=4, b=3)
    assert labels["a"].score.tolist() == [[1, 0], [1, 1], [0, 1], [0, 0]]
    assert labels["b"].score.tolist() == [[0, 0], [0, 1], [0, 0]]


def test_what_ends_a_little_late_is_cut_and_counted(table: Any) -> None:
    labels, lines = table("a,0,2,1", "a,2,5.5,0", a=4)
    assert labels["a"].span.tolist() == [[0, 2], [2, 4]]
    assert lines[1].endswith("1 labels end up to 2 s after their video and are cut to its end")


def test_ids_are_compared_in_one_unicode_form(table: Any) -> None:
    own = unicodedata.normalize("NFD", "é")
    labels, _ = table(f"{unicodedata.normalize('NFC', 'é')},0,1,1", **{own: 2.0})
    assert list(labels) == [own]
    labels, _ = table("\u00e9,1,2,1", "e\u0301,0,1,0", **{own: 2.0})
    assert labels[own].span.tolist() == [[0, 1], [1, 2]]


def test_of_ids_that_differ_by_their_unicode_form_each_gets_its_own_rows(table: Any) -> None:
    both = {"\u00e9": 2.0, "e\u0301": 2.0}
    labels, _ = table("e\u0301,0,2,1", "\u00e9,0,2,0", **both)
    assert {name: label.score.max() for name, label in labels.items()} == {"e\u0301": 1, "\u00e9": 0}
    assert list(table("\u00e9,0,2,1", **both)[0]) == ["\u00e9"]


def test_a_video_that_may_be_two_ids_is_refused(table: Any) -> None:
    both = {"\u1ed9": 2.0, "\u00f4\u0323": 2.0}
    with pytest.raises(
        ValueError, match="labels.csv: video 'o.u0323.u0302': ids in other Unicode forms: '.u1ed9', '.xf4.u0323'; exp"
    ):
        table("o\u0323\u0302,0,2,1", **both)


interval = st.tuples(st.floats(0, 11.9), st.floats(0.05, 12)).map(lambda pair: (pair[0], min(pair[0] + pair[1], 12.0)))


@given(st.lists(interval, min_size=1, max_size=6, unique=True), st.floats(11.95, 12.0))
def test_a_second_is_a_highlight_where_half_of_it_is_covered_or_one_has_its_middle(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[float, float]], duration: float
) -> None:
    text = "\n".join([HEADER, *(f"a,{start!r},{end!r},1" for start, end in found), ""])
    labels, _ = laid(tmp_path_factory.mktemp("l") / "l.csv", text, {"a": duration})
    assert len(labels["a"].span) == 12
    for (begin, stop), score in zip(labels["a"].span, labels["a"].score[:, 0], strict=True):
        points = begin + (stop - begin) * (np.arange(4000) + 0.5) / 4000
        covered = np.mean([any(start <= p < end for start, end in found) for p in points[::8]])
        middle = any(begin <= (start + min(end, duration)) / 2 < stop for start, end in found)
        if abs(covered - 0.5) > 0.02:  # nearer, 500 points do not tell
            assert score == (covered > 0.5 or middle)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["a,0,x,1"], "line 2: video 'a': end: 'x', expected a finite number"),
        (["a,0,1_0,1"], "line 2: video 'a': end: '1_0', expected a finite number"),
        (["a,0,1,\u0661"], "line 2: video 'a': label: '\u0661', expected a finite number"),
        (["a,0,nan,1"], "line 2: video 'a': end: 'nan', expected a finite number"),
        (["a,0,1,inf"], "line 2: video 'a': label: 'inf', expected"),
        (["a,0,1,"], "line 2: video 'a': label: '', expected"),
        (["a,0,1,1e39"], "line 2: video 'a': label: '1e39', expected"),
        (["a,2,2,1"], "line 2: video 'a': start 2 and end 2: expected 0 <= start < end"),
        (["a,3,2,1"], "line 2: video 'a': start 3 and end 2: expected"),
        (["a,-1,2,1"], "line 2: video 'a': start -1 and end 2: expected"),
        (["a,0,1,1", "a,0,1,0"], "video 'a': the segment from 0.00 to 1.00 is labelled twice"),
        (["a,4,5,1", "a,4,6,0"], "video 'a': the segment from 4.00 to 5.00 is labelled twice"),  # one, once they are cut
        (["a,0,1,1", "a,5,6,1"], "video 'a': 1 of 2 labels lie beyond its end at 5.00 s, the first from 5.00 to 6.00"),
        (["a,0,7.1,1"], "video 'a': 1 of 1 labels lie beyond its end at 5.00 s, the first from 0.00 to 7.10"),
        (["z,0,1,1"], "1 labels are of 1 videos that are not here: z; expected ids as 'a'"),
        (["a,0,1,1", "z,0,1,1"], "1 labels are of 1 videos that are not here: z; --allow-unmatched leaves them out"),
        ([], "no label; expected a row for each labelled segment"),
    ],
)  # fmt: skip
def test_a_row_that_breaks_a_rule_is_refused_and_no_corpus_is_touched(
    tmp_path: Path, run: Any, rows: list[str], says: str
) -> None:
    root, path = made(tmp_path / "corpus"), tmp_path / "labels.csv"
    path.write_text("\n".join([HEADER, *rows, ""]))
    # The same rules for a corpus that is there, and for evaluation.
    with pytest.raises(ValueError, match="labels.csv") as refused:
        labels_of(read_labels(path), {"a": 5.0}, False, lambda line: None)
    assert says in str(refused.value)
    before = {path: path.read_bytes() for path in root.iterdir()}
    if "a," not in "".join(rows) or "line 2" in says:
        status, line = run("import", "labels", path, "--into", root)
        assert (status, line.count("\n")) == (2, 1)
    assert {path: path.read_bytes() for path in root.iterdir()} == before


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["a,0,1,2,x", "a,1,2,3,x", "a,0,1,1,y"], "annotators 'x' and 'y' rate other segments; expected a number of each"),
        (["a,0,1,1,x", "a,0,1,0,y", "b,0,1,1,x"], "video 'b': 1 annotators, 2 of video 'a'; expected as many of each video: one who"),
        (["a,0,1,2,x", "a,0,1,3,x"], "video 'a': annotator 'x': the segment from 0.00 to 1.00 is labelled twice"),
    ],
)  # fmt: skip
def test_annotators_that_do_not_fit_together_are_refused(table: Any, rows: list[str], says: str) -> None:
    with pytest.raises(ValueError, match="labels.csv") as refused:
        table(*rows, header=f"{HEADER},annotator", a=5, b=5)
    assert says in str(refused.value)


def test_a_video_of_years_is_refused_before_it_is_cut_into_seconds(table: Any) -> None:
    with pytest.raises(ValueError, match="over 4194304 labels of a second"):
        table("a,0,1,1", a=1e12)


def test_a_corpus_that_is_there_gets_labels_and_keeps_all_else(tmp_path: Path, run: Any) -> None:
    root, path = made(tmp_path / "corpus"), tmp_path / "labels.csv"
    before = {video.id: video for shard in Corpus(root).shards for video in shard}
    path.write_text(f"{HEADER}\na,0,3,1\nb,0,1,1\nc,0,1,1\nz,0,1,1\n")
    assert run("import", "labels", path, "--into", root)[0] == 2
    status, said = run("import", "labels", path, "--into", root, "--allow-unmatched")
    assert status == 0, said
    assert "1 labels are of 1 videos that are not here: z; left out" in said
    assert "1 labelled videos have no tag, or are not on the validation and test lists: they are not judged: c" in said
    assert said.splitlines()[-1] == f"{root}: 21 labelled segments of 3 of 3 videos"
    corpus = Corpus(root)
    assert list(faults(root)) == []
    assert (corpus.manifest["benchmark"], corpus.topics, corpus.manifest["name"]) == ("highlights", ("surf",), "own")
    for shard in corpus.shards:
        for video in shard:
            was = before[video.id]
            assert (video.tags, video.title, video.duration) == (was.tags, was.title, was.duration)
            np.testing.assert_array_equal(video.visual, was.visual)
            np.testing.assert_array_equal(video.audio_mask, was.audio_mask)
            np.testing.assert_array_equal(video.span, was.span)
    assert corpus.labels(0).score[:, 0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]  # type: ignore[union-attr]
    assert len(list(root.iterdir())) == 3


def test_labels_that_are_there_are_replaced_where_that_is_asked_for(tmp_path: Path, run: Any) -> None:
    root, path = made(tmp_path / "corpus", labels=True), tmp_path / "labels.csv"
    path.write_text(f"{HEADER}\na,0,3,1\n")
    status, said = run("import", "labels", path, "--into", root)
    assert (status, said) == (2, f"highlight-lit: {root}: 3 videos have labels already; --replace drops them all\n")
    for _ in range(2):
        status, said = run("import", "labels", path, "--into", root, "--replace")
        assert status == 0, said
    assert Corpus(root).labelled().tolist() == [True, False, False]
    assert len(list(root.iterdir())) == 3


KILLED_AT = """
import os, shutil, signal, sys
from pathlib import Path
from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.data.corpus.faults import faults

root, table = Path(sys.argv[1]), sys.argv[2]
names = ("replace", "rename", "link", "unlink", "fsync", "open", "ftruncate", "truncate")
for cut in range(1, 200):
    copy = root.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy)
    child = os.fork()
    if not child:
        left = [cut]
        for name in names:
            def call(*given, of=getattr(os, name), **further):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return of(*given, **further)
            setattr(os, name, call)
        sys.stdout = sys.stderr = open(os.devnull, "w")
        os._exit(main(["import", "labels", table, "--into", str(copy), "--replace"]))
    status = os.waitpid(child, 0)[1]
    found = list(faults(copy)) if cut % 5 == 0 else []
    print(status, Corpus(copy).fingerprint, len(found))
    again = main(["import", "labels", table, "--into", str(copy), "--replace"])
    print(again, Corpus(copy).fingerprint, sorted(path.suffix for path in copy.iterdir()))
    if status == 0:
        break
"""


@pytest.mark.parametrize("before", ["none", "in the shards", "in a file"])
def test_killed_at_any_moment_a_corpus_has_its_old_labels_or_the_new_ones(tmp_path: Path, before: str) -> None:
    root, path = made(tmp_path / "corpus", labels=before == "in the shards"), tmp_path / "labels.csv"
    if before == "in a file":
        path.write_text(f"{HEADER}\nb,0,1,1\n")
        assert main(["import", "labels", str(path), "--into", str(root)]) == 0
    path.write_text(f"{HEADER}\na,0,3,1\n")
    old = Corpus(root).fingerprint
    ran = subprocess.run([sys.executable, "-c", KILLED_AT, root, path], capture_output=True, text=True, check=True)
    lines = [
        line.split(maxsplit=2) for line in ran.stdout.splitlines() if not line.startswith("/") and ": " not in line
    ]
    killed, again = lines[::2], lines[1::2]
    assert killed[-1][0] == "0"
    new = killed[-1][1]
    assert len(killed) > 5
    assert {status for status, *_ in killed[:-1]} == {str(int(signal.SIGKILL))}
    assert [fingerprint for _, fingerprint, _ in killed] == sorted((f for _, f, _ in killed), key=lambda f: f == new)
    assert {fingerprint for _, fingerprint, _ in killed} == {old, new}
    assert {faulty for *_, faulty in killed} == {"0"}
    # The same command again ends with the new labels, and nothing is left of the one that was killed.
    assert {tuple(line) for line in again} == {("0", new, "['.h5', '.hdf5', '.json']")}


def test_labels_are_replaced_without_the_features_being_written(tmp_path: Path, run: Any) -> None:
    root, path = made(tmp_path / "corpus", labels=True), tmp_path / "labels.csv"
    features = {path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in root.glob("*.h5")}
    path.write_text(f"{HEADER}\na,0,3,1\n")
    assert run("import", "labels", path, "--into", root, "--replace")[0] == 0
    assert {
        path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in root.glob("*.h5")
    } == features


def test_a_file_of_labels_that_is_not_the_listed_one_is_refused(tmp_path: Path, run: Any) -> None:
    root, path = made(tmp_path / "corpus"), tmp_path / "labels.csv"
    path.write_text(f"{HEADER}\na,0,3,1\n")
    assert run("import", "labels", path, "--into", root)[0] == 0
    [file] = root.glob("labels-*.hdf5")
    whole, before = file.read_bytes(), Corpus(root).fingerprint
    path.write_text(f"{HEADER}\na,0,4,1\n")
    assert run("import", "labels", path, "--into", root, "--replace")[0] == 0
    assert Corpus(root).fingerprint != before  # which runs are known by
    [file] = root.glob("labels-*.hdf5")
    file.write_bytes(whole)
    for damage in (lambda: None, lambda: file.write_bytes(whole[:-9]), file.unlink):
        damage()
        assert len(said := list(faults(root))) >= 1
        assert file.name in said[0]
        assert run("verify", root)[0] == 1 or run("verify", root)[0] == 2
        with pytest.raises(ValueError, match=file.name):
            Corpus(root)


@pytest.mark.parametrize(
    "entry", [3, [], {"file": "../labels-0.hdf5", "bytes": 1}, {"file": "labels-0.hdf5"}, {"file": 3, "bytes": 1},
              {"file": "labels-0.hdf5", "bytes": -1}, {"file": "shard-00000.h5/..", "bytes": 1, "digest": ""}],
)  # fmt: skip
def test_what_a_manifest_says_of_labels_is_checked(tmp_path: Path, entry: object) -> None:
    root = made(tmp_path / "corpus")
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**manifest, "labels": entry}))
    with pytest.raises(ValueError, match="labels"):
        Corpus(root)


def test_evaluation_by_a_table_is_evaluation_by_the_corpus_that_got_it(tmp_path: Path, run: Any) -> None:
    root, path, scores = made(tmp_path / "corpus"), tmp_path / "labels.csv", tmp_path / "scores.csv"
    path.write_text(f"{HEADER},annotator\na,0,3,1,x\na,1,4,1,y\nb,2,3,1,x\nb,2,3,0,y\nz,0,1,1,x\n")
    rows = [
        f"{name},{i},{i + 1},{(7 * i) % 5}" for name, clips in (("a", 10), ("b", 4), ("c", 6)) for i in range(clips)
    ]
    scores.write_text("\n".join(["video,start,end,score", *rows, ""]))
    words = ("evaluate", "--corpus", root, "--scores", scores, "--draws", 10, "--out")
    assert run(*words, tmp_path / "e")[0] == 2
    status, said = run(*words, tmp_path / "e", "--labels", path)
    assert status == 0, said
    assert "note: " + str(path) + ": 1 labels are of 1 videos that are not here: z; left out" in said
    assert "by 2 annotators each: judged by youtube/trapezoid" in said
    assert run("import", "labels", path, "--into", root, "--allow-unmatched")[0] == 0
    assert run(*words, tmp_path / "f")[0] == 0
    found = [json.loads((tmp_path / name / "evaluation.json").read_text()) for name in "ef"]
    assert found[0] == found[1]
    assert (found[0]["benchmark"], found[0]["primary"]) == ("highlights", "youtube/trapezoid")
    # Importance has its own measure.
    path.write_text(f"{HEADER}\n" + "".join(f"a,{i},{i + 1},{i}\n" for i in range(10)))
    assert run(*words, tmp_path / "g", "--labels", path)[0] == 0
    assert json.loads((tmp_path / "g" / "evaluation.json").read_text())["primary"] == "top5/mininet"


def test_labels_in_seconds_do_not_meet_spans_in_frames(tmp_path: Path, run: Any) -> None:
    root, path = made(tmp_path / "corpus"), tmp_path / "labels.csv"
    path.write_text(f"{HEADER}\na,0,3,1\n")
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**manifest, "clock": "nominal"}))
    status, said = run("import", "labels", path, "--into", root)
    assert status == 2
    assert "clock: its spans are frames, not seconds" in said


def test_import_npz_takes_a_table(tmp_path: Path, run: Any) -> None:
    (tmp_path / "f/slowfast").mkdir(parents=True)
    np.savez(tmp_path / "f/slowfast/a.npz", features=np.ones((5, 2)))
    (tmp_path / "labels.csv").write_text(f"{HEADER}\na,0,2,1\na,2,4,0\n")
    status, said = run("import", "npz", tmp_path / "f", "--labels", tmp_path / "labels.csv", "--out", tmp_path / "out")
    assert status == 0, said
    assert Corpus(tmp_path / "out").labels(0).score[:, 0].tolist() == [1, 0]  # type: ignore[union-attr]
    # A video without a row in a table lasts as long as its clips, two seconds each.
    (tmp_path / "labels.csv").write_text(f"{HEADER}\na,0,12.1,1\n")
    status, said = run(
        "import", "npz", tmp_path / "f", "--labels", tmp_path / "labels.csv", "--out", tmp_path / "other"
    )
    assert status == 2
    assert "1 of 1 labels lie beyond its end at 10.00 s" in said


def test_import_npy_takes_a_table(tmp_path: Path, run: Any) -> None:
    (tmp_path / "f/visual").mkdir(parents=True)
    for name, clips in (("a", 5), ("b", 3)):
        np.save(tmp_path / f"f/visual/{name}.npy", np.ones((clips, 2), np.float32))
    (tmp_path / "videos.csv").write_text("id,duration,tags\na,5,surf\nb,3,surf\n")
    (tmp_path / "labels.csv").write_text(f"{HEADER}\na,0,2,1\nz,0,1,1\n")
    words = (
        "import",
        "npy",
        tmp_path / "f",
        "--videos",
        tmp_path / "videos.csv",
        "--labels",
        tmp_path / "labels.csv",
        "--out",
    )
    status, said = run(*words, tmp_path / "out")
    assert status == 2
    assert "1 labels are of 1 videos that are not here: z; --allow-unmatched leaves them out" in said
    assert not (tmp_path / "out").exists()
    status, said = run(*words, tmp_path / "out", "--allow-unmatched")
    assert status == 0, said
    corpus = Corpus(tmp_path / "out")
    assert corpus.labels(0).score[:, 0].tolist() == [1, 1, 0, 0, 0]  # type: ignore[union-attr]
    assert corpus.labels(1) is None
    assert corpus.manifest["benchmark"] == "highlights"


def test_labels_that_float32_does_not_tell_apart_are_counted(table: Callable[..., Any]) -> None:
    _, lines = table("a,0,2,16777216", "a,2,4,16777217", "b,0,2,1", "b,2,3,2", a=4, b=3)
    assert "1 videos have labels that differ by less than float32 holds, and tie" in lines[-1]
    _, lines = table("a,0,2,16777215", "a,2,4,16777216", a=4)
    assert not any("tie" in line for line in lines)
