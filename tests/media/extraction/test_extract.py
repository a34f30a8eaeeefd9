"""A folder of videos to a corpus: no video stops it, none is done twice, whatever is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError
from highlight_lit.media.extraction.extract import ExtractionReport, ExtractorChoice, extract_corpus, take_slice
from highlight_lit.media.extraction.find_videos import find_videos
from highlight_lit.media.extraction.sidecar import read_csv
from highlight_lit.media.extraction.workers import Crashed, run_all
from tests.data.test_full_disk import run_with_room_for
from tests.real_processes import running, until

CLASSIC = ExtractorChoice()


@pytest.fixture(scope="module")
def clip(tmp_path_factory, made) -> bytes:
    """A video of two seconds."""
    return made.write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", 2).read_bytes()


@pytest.fixture
def folder(tmp_path, clip) -> Path:
    """Four videos, two with what yt-dlp wrote beside them, and one that is none."""
    root = tmp_path / "videos"
    root.mkdir()
    for name in ("a.mp4", "b.mp4", "-c d's.mp4", "e.mp4"):
        (root / name).write_bytes(clip)
    (root / "bad.mp4").write_text("not a video")
    (root / "notes.txt").write_text("no video either")
    (root / "a.info.json").write_text(
        json.dumps({"id": "xyz", "title": "A <b>run</b>", "tags": ["Dog", "park "], "duration": 2})
    )
    (root / "b.info.json").write_text(json.dumps({"title": "B", "tags": None, "duration": 600.5}))
    return root


def extract(videos: Path | list[Path], root: Path, **more: object) -> ExtractionReport:
    """Extract files or a folder, of which some have no tags."""
    given = videos if isinstance(videos, list) else [videos]
    return extract_corpus(find_videos(given), root, CLASSIC, allow_untagged=True, **more)


def ids(root: Path) -> list[str]:
    return sorted(name.decode() for name in Corpus(root).ids)


def test_a_folder_becomes_a_corpus_and_a_bad_file_is_reported_at_the_end(tmp_path, folder, made):
    done = made.command("extract", folder, "--out", tmp_path / "corpus", "--workers", "2", "--allow-untagged")
    assert done.returncode == 1
    assert "4 videos extracted" in done.stdout
    assert "1 skipped" in done.stdout
    assert "left]" in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("skipped: ")
    assert "bad.mp4: not a video" in last
    assert "Traceback" not in done.stderr
    assert ids(tmp_path / "corpus") == ["-c d's", "b", "e", "xyz"]
    corpus = Corpus(tmp_path / "corpus")
    video = corpus.shards[0].video(corpus.index("xyz"))
    assert (video.title, video.tags, video.duration) == ("A <b>run</b>", ("dog", "park"), pytest.approx(2.0, abs=0.1))
    assert corpus.topics == ("dog", "park")
    assert made.command("verify", tmp_path / "corpus").returncode == 0


def test_a_video_done_is_not_done_again(tmp_path, folder, monkeypatch):
    root = tmp_path / "corpus"
    extract(folder, root)
    before = (root / "shard-00000.h5").read_bytes()
    monkeypatch.setattr("highlight_lit.media.extraction.extract.extract_features", lambda *_: pytest.fail("done again"))
    (folder / "bad.mp4").unlink()
    report = extract(folder, root)
    assert (report.done, report.skipped, report.failed) == (0, 4, [])
    assert (root / "shard-00000.h5").read_bytes() == before


def test_a_corpus_grows_by_the_videos_that_are_new(tmp_path, folder, clip):
    root = tmp_path / "corpus"
    extract([folder / "a.mp4", folder / "b.mp4"], root)
    report = extract(folder, root)
    assert (report.done, report.skipped) == (2, 2)
    assert ids(root) == ["-c d's", "b", "e", "xyz"]


def test_killed_anywhere_it_leaves_whole_files_and_goes_on_from_them(tmp_path, clip, made):
    videos, root = tmp_path / "videos", tmp_path / "corpus"
    videos.mkdir()
    for number in range(12):
        (videos / f"{number:02d}.mp4").write_bytes(clip)
    words = ["extract", str(videos), "--out", str(root), "--workers", "1"]
    run = subprocess.Popen(
        [sys.executable, "-m", "highlight_lit", *words], stderr=subprocess.DEVNULL, start_new_session=True
    )
    parts = root / "parts"
    while run.poll() is None and len(list(parts.glob("[!.]*.h5"))) < 3:
        time.sleep(0.005)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    left = len(list(parts.glob("[!.]*.h5")))
    assert 3 <= left < 12
    again = made.command(*words)
    assert again.returncode == 0
    assert f"{12 - left} videos extracted" in again.stdout
    assert made.command("verify", root).returncode == 0
    assert len(Corpus(root)) == 12
    assert sorted(path.name for path in root.iterdir()) == ["manifest.json", "shard-00000.h5", "sources.json"]


def test_packing_cut_off_after_the_shard_loses_and_doubles_nothing(tmp_path, folder, monkeypatch):
    root = tmp_path / "corpus"

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("highlight_lit.media.extraction.parts.write_manifest", stop)
        with pytest.raises(KeyboardInterrupt):
            extract(folder, root)
    assert len(list((root / "parts").glob("*.h5"))) == 4
    report = extract(folder, root)
    assert (report.done, report.skipped) == (0, 4)
    assert ids(root) == ["-c d's", "b", "e", "xyz"]


def test_slices_together_are_the_whole(tmp_path, folder):
    root = tmp_path / "corpus"
    done = [extract(folder, root, slice_of=f"{number}/3").done for number in (1, 2, 3)]
    assert sum(done) == 4
    assert not (root / "manifest.json").exists()
    report = extract(folder, root)
    assert (report.done, report.skipped) == (0, 4)
    assert ids(root) == ["-c d's", "b", "e", "xyz"]


def test_a_part_that_is_damaged_is_named(tmp_path, folder):
    root = tmp_path / "corpus"
    extract(folder, root, slice_of="1/3")
    part = next((root / "parts").glob("*.h5"))
    part.write_bytes(part.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"parts.[0-9a-f]{24}\.h5: truncated, damaged or not a feature shard"):
        extract(folder, root)


def test_every_video_is_in_one_slice():
    videos = [Path(f"{number}.mp4") for number in range(11)]
    slices = [take_slice(videos, f"{number}/4") for number in range(1, 5)]
    assert sorted(path for each in slices for path in each) == sorted(videos)
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


@pytest.mark.parametrize("wrong", ["0/3", "4/3", "x", "1/0", "1/2/3", "-1/2", "1/\uff12"])
def test_a_slice_that_is_none_is_refused(wrong):
    with pytest.raises(InputError, match="--slice"):
        take_slice([Path("a.mp4")], wrong)


def test_features_of_another_extractor_are_not_mixed_in(tmp_path, folder, monkeypatch):
    root = tmp_path / "corpus"
    extract([folder / "a.mp4"], root)
    monkeypatch.setattr("highlight_lit.media.extractors.classic.ClassicVisual.version", "2")
    with pytest.raises(InputError, match=r"features of visual classic 1.*asked for visual classic 2"):
        extract([folder / "b.mp4"], root)


def test_a_folder_of_something_else_is_left_alone(tmp_path, folder):
    with pytest.raises(InputError, match="not empty and not a corpus"):
        extract([folder / "a.mp4"], folder)


def test_a_sidecar_that_lies_about_the_duration_is_noted_and_the_video_believed(tmp_path, folder):
    report = extract([folder / "b.mp4"], tmp_path / "corpus")
    assert report.failed == []
    assert "the sidecar says 600 s, the video lasts 2 s" in report.notes[0][1]
    assert Corpus(tmp_path / "corpus").duration[0] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not readable"),
        ("[1]", "expected a JSON object"),
        ('{"tags": "dog"}', "tags: 'dog' is not a list of texts"),
        ('{"tags": [1]}', "tags: expected a list of texts"),
        ('{"title": 3}', "title: 3 is not text"),
        ('{"duration": "long"}', "duration: 'long' is not a number"),
        ("[" * 100_000, "not readable"),
    ],
)
def test_a_broken_sidecar_skips_its_video_alone(tmp_path, folder, content, said):
    (folder / "a.info.json").write_text(content)
    report = extract([folder / "a.mp4", folder / "e.mp4"], tmp_path / "corpus")
    assert report.done == 1
    assert said in report.failed[0][1]
    assert "a.info.json" in report.failed[0][1]


def test_a_table_gives_tags_title_and_list(tmp_path, folder):
    table = tmp_path / "tags.csv"
    table.write_text('video,tags,title,split\na.mp4,Dog;cat,"One, two",val\n-c d\'s,,None,train\n')
    extract([folder / "a.mp4", folder / "-c d's.mp4"], tmp_path / "corpus", rows=read_csv(table))
    corpus = Corpus(tmp_path / "corpus")
    video = corpus.shards[0].video(corpus.index("xyz"))
    assert (video.tags, video.title, video.split) == (("dog", "cat"), "One, two", "val")
    assert sorted(corpus.split) == ["train", "val"]


def test_two_videos_of_one_id_are_not_both_taken(tmp_path, folder, clip):
    (folder / "e.mov").write_bytes(clip)  # of one folder and name: no folder tells them apart
    (folder / "sub").mkdir()
    (folder / "sub" / "f.mp4").write_bytes(clip)
    (folder / "sub" / "f.info.json").write_text(json.dumps({"id": "xyz"}))
    report = extract(folder, tmp_path / "corpus")
    assert report.done == 4
    for name in ("e", "xyz"):
        assert any(f"id {name!r}: also that of" in reason for _, reason in report.failed)


def test_names_with_a_dash_follow_two_dashes(tmp_path, folder, made):
    done = made.command("extract", "--out", tmp_path / "corpus", "--", "-c d's.mp4", cwd=folder)
    assert done.returncode == 0
    assert ids(tmp_path / "corpus") == ["-c d's"]


@pytest.mark.parametrize("workers", [1, 2])
def test_features_are_the_same_however_many_processes(tmp_path, folder, workers):
    extract([folder / "a.mp4", folder / "e.mp4"], tmp_path / "one")
    extract([folder / "a.mp4", folder / "e.mp4"], tmp_path / "many", workers=workers)
    one, many = Corpus(tmp_path / "one"), Corpus(tmp_path / "many")
    for stream in ("visual", "audio"):
        np.testing.assert_array_equal(one.rows(0, stream), many.rows(0, stream))


def test_a_process_that_dies_costs_its_item_alone():
    items = ["1 + 1", "__import__('os')._exit(3)", "2 + 2", "1 / 0", "3 + 3"]
    results = dict(run_all(eval, items, workers=2))
    assert set(results) == set(items)
    assert [results["1 + 1"], results["2 + 2"], results["3 + 3"]] == [2, 4, 6]
    assert isinstance(results[items[1]], Crashed)
    assert isinstance(results["1 / 0"], ZeroDivisionError)


def test_names_of_250_bytes_are_extracted_and_stay_different(tmp_path, clip):
    """A sidecar's name would be too long, as would a part's or a temporary one's."""
    folder = tmp_path / "v"
    folder.mkdir()
    names = [f"{'é' * 123}{ending}" for ending in "ab"] + ["滑" * 83, "x" * 251]
    for name in names:
        (folder / f"{name}.mp4").write_bytes(clip)
    report = extract(folder, tmp_path / "corpus")
    assert (report.done, report.failed) == (4, [])
    assert ids(tmp_path / "corpus") == sorted(names)


def test_ids_of_sidecars_that_are_paths_or_too_long_are_made_plain(tmp_path, clip):
    folder = tmp_path / "v"
    folder.mkdir()
    given = {"a": "../../x", "b": "..", "c": "y" * 300 + "1", "d": "y" * 300 + "2", "e": "e\x1b[2J\nf", "f": "   "}
    for name, given_id in given.items():
        (folder / f"{name}.mp4").write_bytes(clip)
        (folder / f"{name}.info.json").write_text(json.dumps({"id": given_id}))
    assert extract(folder, tmp_path / "corpus").done == 6
    found = ids(tmp_path / "corpus")
    assert len(found) == 6
    assert {".._.._x", "__", "e [2J f", "f"} < set(found)
    assert all(len(name) <= 255 and "/" not in name and name.isprintable() for name in found)


def test_what_is_printed_is_one_line_a_video_whatever_its_name(tmp_path, clip, made):
    folder = tmp_path / "v"
    folder.mkdir()
    for name in ("a\x1b[31m\ncorpus: 9 videos extracted", "b\u202eabc", "\udcff", "[red]c"):
        (folder / f"{name}.mp4").write_bytes(clip)
    (folder / "[red]d\x1b[2J.mp4").write_text("not a video")
    done = made.command("extract", folder, "--out", tmp_path / "corpus", "--workers", "1")
    assert done.returncode == 1
    assert done.stdout == f"{tmp_path / 'corpus'}: 4 videos extracted (0.1 min of video), 0 there before, 1 skipped\n"
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert all(line.startswith(("features: ", "note: ", "[", "skipped: ")) for line in done.stderr.splitlines())
    assert "[red]d\\x1b[2J.mp4" in done.stderr
    assert "features: visual classic 1 (512 wide), audio classic 2 (128 wide)" in done.stderr
    assert "note: classic knows nothing of what is shown" in done.stderr
    assert made.command("verify", tmp_path / "corpus").returncode == 0


@pytest.mark.parametrize(
    "content", ['{"duration": %s, "tags": ["surf"]}' % ("1" * 401), '{"duration": NaN}', '{"tags": 5}']
)
def test_what_is_skipped_is_not_in_the_corpus(tmp_path, clip, content):
    folder = tmp_path / "v"
    folder.mkdir()
    for name in "ab":
        (folder / f"{name}.mp4").write_bytes(clip)
    (folder / "a.info.json").write_text(content)
    report = extract_corpus(find_videos([folder]), tmp_path / "corpus", CLASSIC)
    assert len(report.failed) == 1
    assert ids(tmp_path / "corpus") == ["b"]
    assert Corpus(tmp_path / "corpus").topics == ()


@pytest.mark.parametrize("name", ["a.info.json", "c.mp4"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing"])
def test_what_blocks_or_never_ends_is_refused_at_once(tmp_path, clip, name, kind):
    folder = tmp_path / "v"
    folder.mkdir()
    for video in ("a.mp4", "b.mp4"):
        (folder / video).write_bytes(clip)
    path = folder / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else folder / "none")
    start = time.monotonic()
    report = extract(folder, tmp_path / "corpus")
    assert time.monotonic() - start < 30
    if (name, kind) == ("c.mp4", "folder"):
        assert report.failed == []
    else:
        ((_, reason),) = report.failed
        assert name in reason
        assert report.done == (1 if name == "a.info.json" else 2)


def test_a_file_system_without_locks_is_said_in_one_line(tmp_path, folder, monkeypatch, capsys):
    def flock(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    assert main(["extract", str(folder), "--out", str(tmp_path / "corpus"), "--workers", "1", "--allow-untagged"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'corpus'}: its file system has no locks (flock: Function not implemented)" in line


def test_long_lists_are_cut_with_a_count(tmp_path, clip, capsys):
    folder = tmp_path / "v"
    folder.mkdir()
    for number in range(130):
        (folder / f"{number:03d}.mp4").write_text("not a video")
    assert main(["extract", str(folder), "--out", str(tmp_path / "corpus"), "--workers", "1"]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("skipped: ")]
    assert len(lines) == 101
    assert lines[-1] == "skipped: 30 more"
    assert not (tmp_path / "corpus").exists()  # nothing came into being


def test_workers_end_when_the_one_that_started_them_is_killed(tmp_path, clip):
    folder = tmp_path / "v"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.mp4").write_bytes(clip)
    words = ["extract", str(folder), "--out", str(tmp_path / "corpus"), "--workers", "2"]
    run = subprocess.Popen([sys.executable, "-m", "highlight_lit", *words], stderr=subprocess.DEVNULL)
    while run.poll() is None and not list((tmp_path / "corpus" / "parts").glob("[!.]*.h5")):
        time.sleep(0.01)
    workers = children(run.pid)
    assert len(workers) >= 2
    run.kill()
    run.wait()
    until(lambda: not any(running(worker) for worker in workers), seconds=30)


def children(process: int) -> list[int]:
    """Processes that a process started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(folder.name))
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_ends_the_extraction_and_is_no_video_s_fault(folder: Path, tmp_path: Path, workers: int) -> None:
    root = tmp_path / "corpus"
    words = ["extract", str(folder), "--out", str(root), "--allow-untagged", "--workers", str(workers)]
    status, said = run_with_room_for(4096, *words)
    assert status == 2
    assert said.splitlines()[-1] == f"highlight-lit: {root}: cannot be written (File too large); make room"
    assert ".mp4: cannot be written" not in said
    assert not root.exists()
