"""A folder is looked through by stated rules: what is taken, followed, left out, and that all of it is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("av")
from highlight_lit.errors import InputError
from highlight_lit.media.extraction import find_videos as folders
from highlight_lit.media.extraction.find_videos import HIDDEN, OWN, TWICE, UNFINISHED, find_videos
from highlight_lit.media.io.movie import MovieWriter


def make(root: Path, *names: str) -> Path:
    """A folder with files of these names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    return root


def names(root: Path, paths: list[Path]) -> list[str]:
    return [str(path.relative_to(root)) for path in paths]


def test_videos_are_found_by_their_endings_in_a_stated_order(tmp_path):
    make(tmp_path, "b.MP4", "a.mkv", "sub/c.webm", "notes.txt", "b.info.json", "sub/c.INFO.JSON", "clips.mp4/d.mov")
    found = find_videos([tmp_path])
    assert names(tmp_path, found.videos) == ["a.mkv", "b.MP4", "clips.mp4/d.mov", "sub/c.webm"]
    assert (found.sidecars[tmp_path], found.sidecars[tmp_path / "sub"]) == (["b.info.json"], ["c.INFO.JSON"])
    assert (found.left_out, found.faults, found.notes()) == ({}, [], [])


def test_a_file_that_is_named_is_taken_whatever_its_name(tmp_path):
    make(tmp_path, ".a.f137.mp4", "b.reel.mp4", "c.bin")
    given = [tmp_path / name for name in (".a.f137.mp4", "b.reel.mp4", "c.bin")]
    assert find_videos([*given, given[0]]).videos == given


def test_nothing_found_is_said_with_what_was_left_out(tmp_path):
    with pytest.raises(InputError, match="no video in there"):
        find_videos([tmp_path])
    with pytest.raises(InputError, match="no such file or folder"):
        find_videos([tmp_path / "none"])
    make(tmp_path, "a.mp4.part")
    with pytest.raises(InputError, match=r"no video in there.*1 left out \(unfinished downloads\): .*a\.mp4\.part"):
        find_videos([tmp_path])


@pytest.mark.parametrize(
    "name",
    [
        "._a.mp4", ".Trashes/old.mp4", ".Trash-1000/files/old.mp4", "$RECYCLE.BIN/x.mp4", "@eaDir/a.mp4/x.mp4",
        "lost+found/#1.mp4", "sub/System Volume Information/a.mp4", "__MACOSX/._a.mp4", "#recycle/a.mp4",
    ],
)  # fmt: skip
def test_hidden_files_and_bins_are_left_out_and_counted(tmp_path, name):
    found = find_videos([make(tmp_path, "a.mp4", name)])
    assert names(tmp_path, found.videos) == ["a.mp4"]
    assert len(found.left_out.pop(HIDDEN)) == 1
    assert found.left_out == {}


def test_a_hidden_folder_that_is_named_is_looked_through(tmp_path):
    assert len(find_videos([make(tmp_path / ".videos", "a.mp4")]).videos) == 1


@pytest.mark.parametrize(
    "name",
    [
        "b.f137.mp4", "b.f251-drc.webm", "b.fhls-720p.mp4", "b.f30080.mp4", "b.mp4.part", "b.f137.mp4.part",
        "b.mp4.part-Frag12", "b.mp4.ytdl", "b.temp.mp4", "b.temp.mkv", "b.mp4.crdownload",
    ],
)  # fmt: skip
def test_downloads_that_are_not_finished_are_left_out_and_counted(tmp_path, name):
    found = find_videos([make(tmp_path, "a.mp4", name)])
    assert names(tmp_path, found.videos) == ["a.mp4"]
    assert names(tmp_path, found.left_out[UNFINISHED]) == [name]
    assert found.notes() == [f"1 left out (unfinished downloads): {tmp_path / name}"]
    assert folders.whole_name(name) == "b"


@pytest.mark.parametrize("name", ["race.f1.mp4", "a.part.mp4", "b.partial.mp4", "temp.mp4", "f137.mp4", "a.reels.mp4"])
def test_names_that_only_look_a_little_like_it_are_taken(tmp_path, name):
    assert names(tmp_path, find_videos([make(tmp_path, name)]).videos) == [name]


def test_a_video_that_aria2_is_still_writing_is_left_out(tmp_path):
    found = find_videos([make(tmp_path, "a.mp4", "b.mp4", "b.mp4.aria2")])
    assert names(tmp_path, found.videos) == ["a.mp4"]
    assert names(tmp_path, found.left_out[UNFINISHED]) == ["b.mp4", "b.mp4.aria2"]


def test_our_own_reels_are_left_out_whatever_their_name(tmp_path, made):
    from fractions import Fraction

    from highlight_lit.media.io.decode import Source
    from highlight_lit.media.output.reel import cut_reel
    from highlight_lit.media.output.segments import Segment

    video = made.write_video(tmp_path / "a.mp4", 3)
    cut_reel(video, [Segment(0.0, 1.0)], tmp_path / "a.reel.mp4")
    cut_reel(video, [Segment(0.0, 1.0)], tmp_path / "best of.mp4")
    (tmp_path / "sub").mkdir()
    with Source(video) as source, MovieWriter(tmp_path / "sub" / "small copy.mp4", source, Fraction(10)) as movie:
        for piece in source.pieces():
            if hasattr(piece.frame, "pict_type"):
                movie.add_frame(piece.frame)
    made.write_video(tmp_path / "z.mp4", 1)
    found = find_videos([tmp_path])
    assert names(tmp_path, found.videos) == ["a.mp4", "z.mp4"]
    assert names(tmp_path, found.left_out[OWN]) == ["a.reel.mp4", "best of.mp4", "sub/small copy.mp4"]


@pytest.mark.parametrize("head", [b"", b"\0" * 64, b"\0\0\0\x01moov", b"\xff\xff\xff\xffftyp", b"\0\0\0\x08free" * 100])
def test_a_head_that_is_none_is_left_to_the_decoder(tmp_path, head):
    (tmp_path / "a.mp4").write_bytes(head)
    assert len(find_videos([tmp_path]).videos) == 1


def test_links_to_folders_are_followed_once_and_loops_end(tmp_path):
    videos, disk = make(tmp_path / "v", "a.mp4", "sub/b.mp4"), make(tmp_path / "disk2", "c.mp4", "deep/d.mp4")
    (videos / "more").symlink_to(disk)
    (videos / "again").symlink_to(disk)
    (videos / "sub" / "up").symlink_to(videos)
    (disk / "deep" / "round").symlink_to(disk)
    found = find_videos([videos])
    assert names(videos, found.videos) == ["a.mp4", "sub/b.mp4", "again/c.mp4", "again/deep/d.mp4"]
    assert names(videos, found.followed) == ["again"]
    assert sorted(names(videos, found.left_out[TWICE])) == ["again/deep/round", "more", "sub/up"]
    assert found.notes()[0] == f"1 links to folders followed: {videos / 'again'}"


def test_a_link_to_a_video_is_taken_unless_the_video_is(tmp_path):
    videos, disk = make(tmp_path / "v", "a.mp4"), make(tmp_path / "disk2", "b.mp4")
    (videos / "0.mp4").symlink_to(videos / "a.mp4")
    (videos / "1.mp4").symlink_to(disk / "b.mp4")
    found = find_videos([videos])
    assert names(videos, found.videos) == ["a.mp4", "1.mp4"]
    assert names(videos, found.left_out[TWICE]) == ["0.mp4"]


def test_a_folder_given_twice_is_walked_once(tmp_path):
    make(tmp_path, "sub/a.mp4", "b.mp4")
    assert names(tmp_path, find_videos([tmp_path / "sub", tmp_path, tmp_path / "b.mp4"]).videos) == [
        "sub/a.mp4",
        "b.mp4",
    ]


def test_what_cannot_be_looked_into_is_named(tmp_path, monkeypatch):
    make(tmp_path, "a.mp4", "secret/b.mp4", "e/x.mp4")
    os.mkfifo(tmp_path / "c.mp4")
    (tmp_path / "d.mp4").symlink_to(tmp_path / "nowhere")
    (tmp_path / "disk3").symlink_to("/not/mounted")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    whole = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find_videos([tmp_path])
    assert names(tmp_path, found.videos) == ["a.mp4", "e/x.mp4"]
    said = {path.name: reason for path, reason in found.faults}
    assert sorted(said) == ["c.mp4", "d.mp4", "disk3", "loop", "secret"]
    assert "a pipe; expected a video" in said["c.mp4"]
    assert "no such file" in said["d.mp4"]
    assert "a link to nothing" in said["disk3"]
    assert "secret: folder cannot be read (Permission denied)" in said["secret"]
