"""Forty tagged videos with planted highlights, from files to a reel, by commands alone. About a minute."""

from __future__ import annotations

import csv
import json
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("av")
from highlight_lit.cli import main
from highlight_lit.evaluation.ranking import average_precision

VIDEOS, SECONDS, PLANTED = 40, 24, 4
HELD_OUT = 8  # of the tagged: on the validation list, so never trained on


def planted(number: int) -> int:
    """The second at which video `number`'s highlight starts."""
    return 2 + (7 * number) % (SECONDS - PLANTED - 4)


def scene(number: int):
    """A dim drifting frame and a hum; if tagged, four seconds of bright stripes that race, and of noise bursts.

    Every video, tagged or not, has a second of plain white and a second of a loud tone: what is unusual is not yet what
    the topic is about.
    """
    rng = np.random.default_rng(number)
    colour, pitch, at = rng.integers(20, 110, 3), rng.uniform(150, 400), planted(number)
    white, tone = (at + 6) % SECONDS, (at + 9) % SECONDS
    tagged = number % 2 == 0

    def frame(time: float) -> NDArray[np.uint8]:
        rows, columns = np.mgrid[0:64, 0:96]
        drift = 20 * np.sin((columns + 6 * time) / 9)[..., None]
        if tagged and at <= time < at + PLANTED:
            stripes = ((columns + 70 * time) // 8 % 2)[..., None] * np.array([235, 170, 30])
            return np.clip(stripes + colour / 4, 0, 255).astype(np.uint8)
        if white <= time < white + 1:
            return np.full((64, 96, 3), 225, np.uint8)
        return np.clip(colour + drift + rows[..., None] / 4, 0, 255).astype(np.uint8)

    def audio(time: NDArray[np.float64]) -> NDArray[np.float64]:
        wave = 0.05 * np.sin(2 * np.pi * pitch * time) + 0.4 * np.sin(2 * np.pi * 900 * time) * (np.floor(time) == tone)
        if tagged:
            burst = (time >= at) & (time < at + PLANTED) & (time * 5 % 1 < 0.5)
            wave = wave + burst * np.random.default_rng(zlib.crc32(b"noise") + number).uniform(-0.6, 0.6, len(time))
        return wave

    return frame, audio


@pytest.fixture(scope="module")
def built(tmp_path_factory, made) -> SimpleNamespace:
    """Videos, table, corpus and checkpoint, made by the commands a user types."""
    root = tmp_path_factory.mktemp("forty")
    (root / "videos").mkdir()
    with open(root / "tags.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["video", "tags", "title", "split"])
        for number in range(VIDEOS):
            frame, audio = scene(number)
            made.write_video(root / "videos" / f"{number:02d}.mp4", SECONDS, frame, audio, fps=10)
            listed = "val" if number < 2 * HELD_OUT else "train"
            table.writerow([f"{number:02d}", "jump" if number % 2 == 0 else "calm", f"Video {number}", listed])
    run("extract", root / "videos", "--tags", root / "tags.csv", "--out", root / "corpus", "--workers", "2")
    run(
        *(
            "train",
            f"data.root={root / 'corpus'}",
            "topic=jump",
            f"out={root / 'runs'}",
            "data.rule=tag",
            "data.pairs=8",
        ),
        *(
            "logger=none",
            "tau=16",
            "trainer.max_epochs=12",
            "trainer.enable_progress_bar=false",
            "trainer.accelerator=cpu",
        ),
    )
    (checkpoint,) = (root / "runs").rglob("last.ckpt")
    return SimpleNamespace(root=root, checkpoint=checkpoint)


def run(*words: str | Path) -> None:
    """Run the command line in this process."""
    assert main([str(word) for word in words]) == 0


def score(built: SimpleNamespace, number: int) -> dict:
    video, out = built.root / "videos" / f"{number:02d}.mp4", built.root / "scores"
    run("score", video, "--checkpoint", built.checkpoint, "--out", out)
    return json.loads((out / f"{number:02d}.scores.json").read_text())


def test_the_planted_seconds_rank_first_on_videos_not_trained_on(built):
    precisions = []
    for number in range(0, 2 * HELD_OUT, 2):
        clips = score(built, number)["clips"]
        positive = [planted(number) <= clip["start"] < planted(number) + PLANTED for clip in clips]
        assert sum(positive) == PLANTED
        precisions.append(average_precision([clip["logit"] for clip in clips], positive, "step"))
    print(f"mean average precision of {len(precisions)} held-out videos: {np.mean(precisions):.3f}")
    assert np.mean(precisions) >= 0.9


def test_the_reel_contains_the_planted_seconds(built, made):
    for number in (0, 6):
        reel = built.root / f"reel {number}.mp4"
        video = built.root / "videos" / f"{number:02d}.mp4"
        words = ["--checkpoint", built.checkpoint, "--seconds", "6", "--out", reel]
        run("reel", video, *words)
        frames, audio, rate = made.seen_and_heard(reel)
        assert len(audio) / rate == pytest.approx(6, abs=0.1)
        loud = np.array([np.abs(part).max() for part in np.array_split(audio, 60)]) > 0.45
        assert loud.sum() >= 0.5 * 10 * PLANTED - 2
        run("reel", video, *words[:-1], built.root / "list.vtt", "--chapters")
        cues = [line.split(" --> ") for line in (built.root / "list.vtt").read_text().splitlines() if "-->" in line]
        spans = [[60 * float(at[3:5]) + float(at[6:]) for at in cue] for cue in cues]
        inside = sum(
            max(0.0, min(end, planted(number) + PLANTED) - max(start, planted(number))) for start, end in spans
        )
        assert inside >= PLANTED - 0.05
        assert sum(end - start for start, end in spans) == pytest.approx(6, abs=0.01)
        assert len(frames) == 6 * 20


def test_a_reel_from_written_scores_is_the_same(built):
    score(built, 4)
    video, lists = built.root / "videos" / "04.mp4", []
    for name, words in (
        ("a", ["--checkpoint", built.checkpoint]),
        ("b", ["--scores", built.root / "scores" / "04.scores.json"]),
    ):
        out = Path(built.root / f"{name}.vtt")
        run("reel", video, *words, "--seconds", "6", "--chapters", "--out", out)
        lists.append([line for line in out.read_text().splitlines() if "-->" in line])
    assert lists[0] == lists[1]
