"""A table's tags are separated by ';': a comma stays in its tag, and is told of where it may have been meant to separate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from highlight_lit.data.importers.common.video_table import video_rows
from highlight_lit.errors import InputError
from highlight_lit.media.extraction.sidecar import read_csv


def given(path: Path) -> list[tuple[str, ...]]:
    return [row.tags for row in video_rows(path, durations=False)]


def beside_videos(path: Path) -> list[tuple[str, ...]]:
    return [row.sidecar.tags for row in read_csv(path)]


@pytest.mark.parametrize(("first", "read"), [("id", given), ("video", beside_videos)])
@pytest.mark.parametrize(
    ("cells", "tags", "told"),
    [
        (["dog|cat", "x"], [("dog|cat",), ("x",)], "1 row has a single tag with a '|' in it, such as dog|cat; ';' separates tags: write dog;cat if"),
        (["dog,cat"], [("dog,cat",)], "1 row has a single tag with a comma in it, such as dog,cat; ';' separates tags: write dog;cat if"),
        (["Surf, Sea", "x", "a,b,c"], [("surf, sea",), ("x",), ("a,b,c",)], "2 rows have a single tag with a comma in it, such as surf, sea;"),
        (["a\x1b[2J,b"], [("a [2j,b",)], "such as a [2j,b;"),
        (["new york, ny;dog"], [("new york, ny", "dog")], None),
        (["dog;cat", "dog", ""], [("dog", "cat"), ("dog",), ()], None),
    ],
)  # fmt: skip
def test_a_comma_is_told_of_once_and_changes_no_tag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], first: str,
    read: Callable[[Path], list[tuple[str, ...]]], cells: list[str], tags: list[tuple[str, ...]], told: str | None,
) -> None:  # fmt: skip
    path = tmp_path / "v.csv"
    path.write_text("\n".join([f"{first},tags", *(f'v{n},"{cell}"' for n, cell in enumerate(cells)), ""]))
    assert read(path) == tags
    said = capsys.readouterr().err
    assert said.count("\n") == (told is not None)
    assert told is None or (said.startswith(f"note: {path}: tags: ") and told in said)


@pytest.mark.parametrize(("first", "read"), [("id", given), ("video", beside_videos)])
@pytest.mark.parametrize("letter", ["a", "ß"])
def test_a_tag_of_over_500_characters_is_refused_as_two_could_become_one(
    tmp_path: Path, first: str, read: Callable[[Path], list[tuple[str, ...]]], letter: str
) -> None:
    path = tmp_path / "v.csv"
    longest = letter * (500 // len(letter.casefold()))
    path.write_text(f"{first},tags\nv0,{longest}\n")
    assert read(path) == [(longest.casefold(),)]
    path.write_text(f"{first},tags\nv0,{longest}1\nv1,{longest}2\n")
    with pytest.raises(InputError, match=r"tags: .*\.\.\. has 501 characters; expected at most 500"):
        read(path)
