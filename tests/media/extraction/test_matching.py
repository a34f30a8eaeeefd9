"""No label is lost in silence: rows, sidecars and videos find their partners, or are named before the work."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("av")
from highlight_lit.errors import InputError
from highlight_lit.media.extraction import matching
from highlight_lit.media.extraction.find_videos import Listing, find_videos
from highlight_lit.media.extraction.matching import match
from highlight_lit.media.extraction.parts import Known
from highlight_lit.media.extraction.sidecar import Sidecar, TagRow, read_csv
from highlight_lit.media.extraction.survey import Survey, survey

NFC, NFD = (unicodedata.normalize(form, "Köln été.mp4") for form in ("NFC", "NFD"))


def make(root: Path, *names: str, **sidecars: dict) -> Path:
    """A folder with files of these names, and sidecars by the names of their videos."""
    root.mkdir(exist_ok=True)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    for name, content in sidecars.items():
        (root / f"{name}.info.json").write_text(json.dumps(content))
    return root


def look(root: Path, *rows: str, known: dict[str, Known] | None = None, allow: bool = False) -> Survey:
    """A survey of a folder, with a table of (video, tags) if there are rows."""
    table = root.parent / "tags.csv"
    table.write_text("video,tags\n" + "".join(f'"{row}",tag{number}\n' for number, row in enumerate(rows)))
    return survey(find_videos([root]), read_csv(table) if rows else [], known or {}, allow)


def tags(found: Survey) -> dict[str, str]:
    return {name: ";".join(sidecar.tags) for name, sidecar in found.now.items()}


@pytest.mark.parametrize(
    ("file", "row"),
    [
        ("surf/s1.mp4", "s1.mp4"),
        ("surf/s1.mp4", "s1"),
        ("surf/s1.mp4", "surf/s1.mp4"),
        ("surf/s1.mp4", "surf/s1"),
        ("surf/s1.mp4", "./surf/s1.mp4"),
        ("surf/s1.mp4", "v/surf/s1.mp4"),
        ("surf/s1.mp4", "../v//surf/./s1.mp4"),
        ("surf/s1.mp4", "dog/../surf/s1.mp4"),
        ("surf/s1.mp4", "surf\\s1.mp4"),
        ("surf/s1.mp4", ".\\surf\\s1"),
        ("surf/s1.mp4", "{root}/surf/s1.mp4"),
        ("surf/s1.mp4", "/elsewhere/videos/s1.mp4"),
        ("surf/s1.mp4", "D:\\videos\\s1.mp4"),
        ("surf/s1.mp4", "S1.MP4"),
        ("Surf/S1.MP4", "surf/s1.mp4"),
        ("a\\b.mp4", "a\\b.mp4"),
        ("clip 1.5x.mp4", "clip 1.5x"),
        (NFC, NFD),
        (NFD, NFC),
        (f"{NFD[:5]}/{NFC}", f"{NFC[:4]}/{NFD}"),
        ("ÜBUNG.mp4", unicodedata.normalize("NFD", "übung.mp4")),
    ],
)
def test_a_row_finds_its_video_by_name_and_by_path(tmp_path, file, row):
    found = look(make(tmp_path / "v", file), row.format(root=tmp_path / "v"))
    assert list(tags(found).values()) == ["tag0"]
    assert found.notes == []


def test_absolute_paths_of_another_machine_are_compared_from_where_they_differ(tmp_path):
    root = make(tmp_path / "v", "surf/1.mp4", "dog/1.mkv")
    assert look(root, "/old/data/surf/1.mp4", "/old/data/dog/1.mkv", allow=True).now
    rows = match(find_videos([root]), read_csv(tmp_path / "tags.csv"))
    assert {path.parent.name: sidecar.tags for path, sidecar in rows.sidecars.items()} == {
        "surf": ("tag0",),
        "dog": ("tag1",),
    }


def test_an_absolute_path_through_a_link_is_the_same_file(tmp_path):
    make(tmp_path / "real", "v/surf/s1.mp4", "v/dog/s1.mp4")
    (tmp_path / "data").symlink_to(tmp_path / "real" / "v")
    rows = [f"{tmp_path}/data/surf/s1.mp4", f"{tmp_path}/data/dog/s1.mp4"]
    table = tmp_path / "tags.csv"
    table.write_text(f"video,tags\n{rows[0]},surf\n{rows[1]},dog\n")
    matched = match(find_videos([tmp_path / "real" / "v"]), read_csv(table))
    assert {path.parent.name: sidecar.tags for path, sidecar in matched.sidecars.items()} == {
        "surf": ("surf",),
        "dog": ("dog",),
    }


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a", "b"], ["1 videos have neither a row of the table nor a sidecar (", "v/c.mp4)"]),
        (["a", "b", "c", "d"], ["tags.csv: 1 rows name no video (line 5: 'd')"]),
        (["a", "b", "c.webm"], ["1 rows name no video (line 4: 'c.webm')", "neither a row"]),
        (["x/a.mp4", "b", "c"], ["1 rows name no video (line 2: 'x/a.mp4')", "v/a.mp4)"]),
        (["a", "b", "c", *(f"n{n}" for n in range(40))], ["40 rows name no video", "'n4' and 35 more)"]),
        (["a", "b", "c\nd\x1b[2J"], ["1 rows name no video (line 5: 'c\\nd\\x1b[2J')"]),
    ],
)
def test_what_finds_no_partner_is_named_before_the_work_unless_it_is_allowed(tmp_path, rows, said):
    root = make(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4")
    with pytest.raises(InputError, match="--allow-untagged") as error:
        look(root, *rows)
    assert all(part in str(error.value) for part in said)
    notes = " ".join(look(root, *rows, allow=True).notes)
    assert all(part in notes for part in said)


def test_a_folder_without_any_tags_is_a_choice_and_said(tmp_path):
    found = look(make(tmp_path / "v", "a.mp4", "b.mp4"))
    assert tags(found) == {"a": "", "b": ""}
    assert found.notes == ["2 videos without a sidecar or a table have no tags: negatives for every topic"]


def test_a_video_without_a_sidecar_among_others_is_named(tmp_path):
    root = make(tmp_path / "v", "a.mp4", "b.mp4", a={"tags": ["dog"]})
    with pytest.raises(InputError, match=r"1 videos have no sidecar, as others have \(.*b\.mp4\)"):
        look(root)
    assert tags(look(root, allow=True)) == {"a": "dog", "b": ""}
    assert tags(look(root, "b")) == {"a": "dog", "b": "tag0"}  # a row for those without a sidecar is enough


@pytest.mark.parametrize(("file", "sidecar"), [(NFC, NFD), (NFD, NFC), ("A.MP4", "a.mp4"), ("a.mp4", "A.mp4")])
def test_a_sidecar_is_found_in_any_unicode_form_and_case(tmp_path, file, sidecar):
    found = look(make(tmp_path / "v", file, **{sidecar[:-4]: {"tags": ["dog"]}}))
    assert list(tags(found).values()) == ["dog"]


def test_a_sidecar_of_another_case_is_not_given_to_two(tmp_path):
    root = make(tmp_path / "v", "a.mp4", "A.mp4", a={"tags": ["dog"]})
    with pytest.raises(InputError, match=r"1 videos have no sidecar, as others have \(.*A\.mp4\)"):
        look(root)


def test_a_sidecar_that_belongs_to_no_video_is_named(tmp_path):
    root = make(tmp_path / "v", "a.mp4", a={}, gone={"tags": ["dog"]})
    with pytest.raises(InputError, match=r"1 sidecars belong to no video \(.*gone\.info\.json\)"):
        look(root)


def test_sidecars_of_playlists_and_of_what_is_left_out_are_explained(tmp_path):
    root = make(tmp_path / "v", "a.mp4", "b.f137.mp4", "c.mp4.part", "d.mp4", "d.mp4.aria2", a={}, b={}, c={}, d={})
    make(root, **{"All of it [PL1]": {"_type": "playlist"}})
    assert tags(look(root)) == {"a": ""}
    assert look(root).notes == [f"4 left out (unfinished downloads): {', '.join(str(root / name) for name in ('b.f137.mp4', 'c.mp4.part', 'd.mp4', 'd.mp4.aria2'))}"]  # fmt: skip


def test_a_link_has_the_sidecar_of_the_video_it_leads_to(tmp_path):
    make(tmp_path / "disk", "b.mp4", b={"tags": ["dog"]})
    root = make(tmp_path / "v")
    (root / "001.mp4").symlink_to(tmp_path / "disk" / "b.mp4")
    assert tags(look(root)) == {"001": "dog"}


def test_a_row_that_names_two_videos_is_refused_until_others_tell_them_apart(tmp_path):
    root = make(tmp_path / "v", "surf/s1.mp4", "dog/s1.mp4")
    for row in ("s1.mp4", "s1", "S1.MP4", "/x/s1.mp4"):
        with pytest.raises(InputError, match=r"line 2: .* names 2 videos \(.*dog/s1\.mp4, .*surf/s1\.mp4\)"):
            look(root, row, allow=True)
    matched = match(find_videos([root]), read_csv(_table(tmp_path, "surf/s1.mp4,surf", "s1,dog")))
    assert {path.parent.name: sidecar.tags[0] for path, sidecar in matched.sidecars.items()} == {
        "surf": "surf",
        "dog": "dog",
    }


def _table(folder: Path, *rows: str) -> Path:
    (folder / "t.csv").write_text("\n".join(["video,tags", *rows]))
    return folder / "t.csv"


def test_two_rows_of_one_video_are_refused(tmp_path):
    root = make(tmp_path / "v", "s1.mp4")
    with pytest.raises(InputError, match=r"line 3: 'v/s1\.mp4' names .*s1\.mp4, as does .*line 2"):
        look(root, "s1", "v/s1.mp4")


def test_videos_that_would_lose_their_tags_are_named(tmp_path):
    root = make(tmp_path / "v", "a.mp4", "b.mp4")
    known = {"a": Known(("dog",), 1.0), "b": Known((), 1.0)}
    with pytest.raises(InputError, match=r"1 videos would lose the tags they have in the corpus \(.*a\.mp4\)"):
        look(root, known=known)
    assert tags(look(root, known=known, allow=True)) == {"a": "", "b": ""}


def test_a_row_counts_for_a_video_in_the_corpus_whose_file_is_gone(tmp_path):
    root = make(tmp_path / "v", "a.mp4")
    assert tags(look(root, "a", "gone.mp4", known={"gone": Known((), 1.0)})) == {"a": "tag0", "gone": "tag1"}
    with pytest.raises(InputError, match="1 rows name no video"):
        look(root, "a", "other/gone.mp4", known={"gone": Known((), 1.0)})  # another file of that name, perhaps


def test_a_video_keeps_its_id_with_a_table_and_without(tmp_path):
    root = make(tmp_path / "v", "a.mp4", a={"id": "xyz", "tags": ["dog"]})
    assert tags(look(root)) == {"xyz": "dog"}
    assert tags(look(root, "a")) == {"xyz": "tag0"}
    assert tags(look(root, known={"a": Known((), 1.0)})) == {"a": "dog"}  # extracted before it had a sidecar


def test_names_without_a_printable_character_are_refused(tmp_path):
    root = make(tmp_path / "v", "\n\x1b.mp4", "a.mp4")
    (reason,) = look(root).faults.values()
    assert "no printable character" in reason


@pytest.mark.parametrize("row", ["{}/video", "/elsewhere/{}/video", "/elsewhere/{}/other/video.mp4"])
def test_a_table_of_many_folders_with_the_same_names_is_not_compared_row_by_video(
    row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row with each video would take hours for a hundred thousand."""
    count = 300
    videos = [Path(f"/nowhere/{number}/video.mp4") for number in range(count)]
    rows = [TagRow("line", row.format(number), Sidecar()) for number in range(count)]
    looked = 0
    for module, name in ((matching, "_without_ending"), (os.path, "realpath")):
        true = getattr(module, name)

        def counted(path: str, true: Callable[[str], str] = true) -> str:
            nonlocal looked
            looked += 1
            return true(path)

        monkeypatch.setattr(module, name, counted)
    found = match(Listing(videos=videos), rows)
    monkeypatch.undo()
    assert len(found.rows) + len(found.sidecars) == count
    assert looked < 20 * count
