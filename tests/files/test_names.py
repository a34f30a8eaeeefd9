"""Names of outputs."""

from __future__ import annotations

from pathlib import Path

from highlight_lit.files import output_name


def test_names_of_outputs_fit_and_stay_apart(tmp_path: Path) -> None:
    assert output_name("walk", "reel.mp4") == "walk.reel.mp4"
    for stem in ("ü" * 120, "x" * 251, "長" * 84, "\udcff" * 250):
        names = {output_name(stem + tail, ending) for tail in ("", "y") for ending in ("scores.json", "scores.csv")}
        assert len(names) == 4
        for name in names:
            (tmp_path / name).touch()
    assert output_name("x" * 247, "reel.mp4").startswith("x" * 237 + "~")
