"""Scores of a video: what is written, what is read back, and features of other extractors refused."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("av")
from highlight_lit import installation
from highlight_lit.cli import main
from highlight_lit.data.video import Stream
from highlight_lit.errors import InputError
from highlight_lit.inference.detector import Detector
from highlight_lit.inference.raw_video import score_video
from highlight_lit.media.output.scores_writing import write_scores_csv, write_scores_json
from highlight_lit.media.output.segments import Segment
from tests.tolerance import FUNCTION, rounding


def detector(streams: dict[str, Stream] | None = None) -> Detector:
    """One whose network finds bright frames, and counts a clip less where it has no audio."""

    class Network(torch.nn.Module):
        def forward(self, visual, audio, mask, audio_mask):
            assert visual.dtype == torch.float32
            z = 20 * visual[..., 192:208].mean(-1) - 6 - 2.0 * ~audio_mask
            return SimpleNamespace(z=torch.where(mask, z, 0))

    made = streams or {"visual": Stream(512, "classic", "1"), "audio": Stream(128, "classic", "2")}
    return Detector(Network(), "bright", made, Path("x.ckpt"))


@pytest.fixture(scope="module")
def video(tmp_path_factory, made) -> Path:
    """Six seconds that get brighter, the last two of them silent."""
    path = tmp_path_factory.mktemp("video") / "it's one.mp4"
    made.write_video(path, 6, lambda time: made.grey(20 + 40 * int(time + 1e-6)), audio_seconds=4)
    path.with_suffix(".info.json").write_text(json.dumps({"title": "Brighter", "tags": ["Bright", "sky"]}))
    return path


def test_a_video_is_scored_second_by_second(video):
    scores = score_video(video, detector())
    brightness = (20 + 40 * np.arange(6)) / 255
    expected = 20 * brightness - 6 - 2 * np.array([0, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(scores.logit, expected, atol=20 * 5 / 255)  # a lossy frame: 5 of 255 off at most
    np.testing.assert_allclose(
        scores.score, 1 / (1 + np.exp(-scores.logit.astype(float))), atol=rounding(2 * FUNCTION, dtype=torch.float32)
    )
    assert scores.audio_mask.tolist() == [True] * 4 + [False] * 2
    assert (scores.title, scores.tags, scores.topic) == ("Brighter", ("bright", "sky"), "bright")


def test_scores_are_written_with_highlights_and_loudness(video, tmp_path):
    scores = score_video(video, detector())
    write_scores_json(tmp_path / "s.json", scores, [Segment(3, 6, 0.9)])
    write_scores_csv(tmp_path / "s.csv", scores)
    rows = list(csv.DictReader((tmp_path / "s.csv").open()))
    assert [float(row["score"]) for row in rows] == pytest.approx(scores.score.tolist(), rel=0, abs=0.6e-6)
    assert [row["audio_mask"] for row in rows] == ["1"] * 4 + ["0"] * 2
    value = json.loads((tmp_path / "s.json").read_text())
    assert value["highlights"] == [{"start": 3, "end": 6, "score": 0.9}]
    assert value["duration"] == pytest.approx(6.0, abs=0.05)


@pytest.mark.parametrize(
    "streams",
    [
        {"visual": Stream(512, "classic", "0")},
        {"visual": Stream(256, "classic", "1")},
        {"visual": Stream(512, "classic", "1"), "audio": Stream(128, "classic", "7")},
    ],
)
def test_a_checkpoint_of_another_version_of_an_extractor_is_refused(video, streams):
    with pytest.raises(InputError, match="the checkpoint was trained on version"):
        score_video(video, detector(streams))


def test_a_checkpoint_of_a_network_asks_for_its_weights(video):
    with pytest.raises(InputError, match="--visual-weights"):
        score_video(video, detector({"visual": Stream(512, "resnet3d34", "B-0")}))
    with pytest.raises(InputError, match=r"imported visual features \(extractor 'i3d'\)"):
        score_video(video, detector({"visual": Stream(512, "i3d", "")}))


def test_a_reel_can_be_cut_from_scores_made_by_hand(tmp_path, made, video, capsys):
    clips = [{"start": at, "end": at + 1, "score": float(at in (2, 3))} for at in range(6)]
    scores = tmp_path / "hand.json"
    scores.write_text(json.dumps({"format": "highlight-lit scores", "version": 1, "clips": clips}))
    words = [
        "reel",
        str(video),
        "--scores",
        str(scores),
        "--seconds",
        "2",
        "--shortest",
        "2",
        "--out",
        str(tmp_path / "r.mp4"),
    ]
    assert main(words) == 0
    assert "2.00 s of 1 segment\n" in capsys.readouterr().out
    frames, _, _ = made.seen_and_heard(tmp_path / "r.mp4")
    assert [round(value / 40) for _, value in frames[5::25]] == [2, 4]  # 100 and 140


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["score", "{video}", "--checkpoint", "none.ckpt"], "none.ckpt: no such file"),
        (["reel", "{video}", "--scores", "none.json"], "none.json: no such file"),
        (["reel", "{video}", "--scores", "{scores}", "--seconds", "-1"], "--seconds -1.0"),
        (["reel", "{video}", "--scores", "{scores}", "--fade", "-1"], "--fade -1.0"),
        (
            ["reel", "{video}", "--scores", "{scores}", "--fade", "1e-320"],
            "--fade 1e-320: expected 0, or seconds from 0.001 to 10",
        ),
        (["reel", "{video}", "--scores", "none.json", "--out", "{folder}"], "a folder; expected a name for a file"),
        (["reel", "none.mp4", "--scores", "{scores}"], "none.mp4: no such file"),
        (["extract", "none", "--out", "{folder}/c"], "none: no such file or folder"),
        (["extract", "{video}", "--out", "{folder}/c", "--visual", "resnet3d34"], "--visual-weights"),
        (["extract", "{video}", "--out", "{folder}/c", "--slice", "3/2"], "--slice 3/2"),
        (["extract", "{video}", "--out", "{folder}/c", "--workers", "0"], "--workers 0"),
        (["extract", "{video}", "--out", "{video}"], "not a folder"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, video, capsys, words, said):
    scores = tmp_path / "s.json"
    write_scores_json(scores, score_video(video, detector()), [])
    filled = [word.format(video=video, scores=scores, folder=tmp_path) for word in words]
    assert main(filled) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1


@pytest.fixture
def untrained(monkeypatch):
    """`score` with a detector that needs no checkpoint."""
    monkeypatch.setattr("highlight_lit.inference.loading.load.load_detector", lambda *_: detector())


@pytest.mark.parametrize("name", ["v.html", "v.scores.json", "v.timeline.png"])
@pytest.mark.parametrize("how", ["name", "link"])
def test_score_never_writes_over_what_it_reads(tmp_path, video, capsys, untrained, name, how):
    target = tmp_path / name
    target.write_bytes(video.read_bytes())
    given = tmp_path / "v.mp4"
    given.symlink_to(target)
    if how == "name":
        given.unlink()
        given = target.rename(tmp_path / "v.html")
    before = given.read_bytes()
    assert main(["score", str(given), "--checkpoint", "x", "--html"]) == 2
    assert "which this command reads" in capsys.readouterr().err
    assert given.read_bytes() == before
    assert len(list(tmp_path.iterdir())) <= 2


def test_a_checkpoint_is_not_written_over_either(tmp_path, video, capsys, untrained):
    (tmp_path / "it's one.scores.csv").touch()
    words = ["score", str(video), "--checkpoint", str(tmp_path / "it's one.scores.csv"), "--out", str(tmp_path)]
    assert main(words) == 2
    assert "which this command reads" in capsys.readouterr().err


@pytest.mark.parametrize("stem", ["x" * 251, "長" * 83, "ü" * 125])
def test_names_of_outputs_are_shortened_to_what_fits(tmp_path, video, capsys, untrained, stem):
    named = tmp_path / f"{stem}.mp4"
    named.write_bytes(video.read_bytes())
    assert main(["score", str(named), "--checkpoint", "x", "--html"]) == 0
    listed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.suffix for path in listed] == [".json", ".csv", ".png", ".html"]
    assert main(["reel", str(named), "--scores", str(listed[0]), "--seconds", "2"]) == 0
    assert main(["reel", str(named), "--scores", str(listed[1]), "--seconds", "2", "--chapters"]) == 0
    listed += [Path(line.partition(": ")[0]) for line in capsys.readouterr().out.splitlines()]
    assert all(path.name.startswith(stem[:60]) and path.is_file() for path in listed)
    assert len(list(tmp_path.iterdir())) == 7


@pytest.mark.parametrize(
    "words", ["reel v.mp4 --seconds 2 --scores s", "score v.mp4 --checkpoint c", "extract v --out o"]
)
def test_without_pyav_the_verbs_say_what_to_install(words, monkeypatch, capsys):
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    assert main(words.split()) == 2
    assert "needs av: pip install 'highlight-lit[media]'" in capsys.readouterr().err


def test_the_verbs_are_described_without_importing_a_decoder(made):
    code = "import sys; sys.modules['av'] = None; from highlight_lit.cli import main; main(sys.argv[1:])"
    import subprocess

    for verb in ("extract", "score", "reel"):
        assert subprocess.run([sys.executable, "-c", code, verb, "--help"], check=False).returncode == 0


@pytest.mark.parametrize(
    ("streams", "name"),
    [
        ({"visual": Stream(16, "unknown"), "audio": Stream(8, "unknown")}, "visual"),
        ({"visual": Stream(512, "classic", "1"), "audio": Stream(2048, "pann", "umt")}, "audio"),
        ({"audio": Stream(128, "vggish-of-others", "x")}, "audio"),
    ],
)
def test_features_that_were_imported_are_named_as_such(tmp_path: Path, streams: dict[str, Stream], name: str) -> None:
    with pytest.raises(
        InputError, match=rf"x\.ckpt: trained on imported {name} features .*'highlight-lit extract' made"
    ):
        score_video(tmp_path / "none.mp4", detector(streams))
