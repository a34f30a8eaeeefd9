"""What the pages' commands read, as small as it can be: each under the name that the pages use."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np

from highlight_lit.cli import main

TOPICS = ("dog", "gymnastics", "parkour", "skiing")
CLIPS = {True: 20, False: 70}  # of a short and of a long video


def everything(root: Path, videos: SimpleNamespace | None) -> None:
    """Make all inputs in an empty folder; `videos` makes raw ones, where PyAV is there."""
    rng = np.random.default_rng(0)
    _own(root, rng)
    _umt(root, rng)
    _ave(root / "AVE_Dataset", rng)
    _field(root, rng)
    if videos is not None:
        _videos(root, videos)


def _own(root: Path, rng: np.random.Generator) -> None:
    """Own features: short videos with the tag, long ones without; a new one; labels, and another system's scores."""
    rows, labels, scores = [], [], []
    for number in range(12):
        tagged = number % 2 == 1
        clips, name = CLIPS[tagged], f"{'a' if tagged else 'b'}{number}"
        for stream, width in (("visual", 12), ("audio", 8)):
            _save(root / "features" / stream / name, rng.normal(size=(clips, width)) + tagged)
        rows.append((name, clips, "surf" if tagged else "cats"))
        labels += [(name, 2, 5, 1)] if tagged else []
        scores += [(name, clip, clip + 1, clip % 4) for clip in range(clips)]
    _table(root / "videos.csv", ["id", "duration", "tags"], rows)
    _table(root / "labels.csv", ["video", "start", "end", "label"], labels)
    _table(root / "theirs.csv", ["video", "start", "end", "score"], scores)
    np.savez(root / "new.npz", visual=rng.normal(size=(15, 12)), audio=rng.normal(size=(15, 8)))


def _umt(root: Path, rng: np.random.Generator) -> None:
    """YouTube Highlights in UMT's layout: of each topic videos to train on, short and long, and two to judge."""
    source, notes = root / "umt" / "youtube", {}
    lists: dict[str, dict[str, list[str]]] = {topic: {"train": [], "val": []} for topic in TOPICS}
    scores = []
    for topic in TOPICS:
        for number in range(8):
            name, clips = f"{topic}{number}", 12 if number % 2 else 34
            for part, width in (("video_features/{}_rgb", 5), ("video_features/{}_opt", 5), ("audio_features/{}", 6)):
                _save(source / part.format(name), rng.normal(size=(clips, width)).astype(np.float16))
            spans = [[50.0 * clip, 50.0 * clip + 100] for clip in range(clips)]
            match = [clip % 3 - 1 for clip in range(clips)]
            frames = str(50 * clips + 50)
            notes[name] = {"fps": 25.0, "frames": frames, "domain": topic, "clip": spans, "match": match}
            lists[topic]["val" if number > 5 else "train"].append(name)
            scores += [(name, start / 25, end / 25, rng.random()) for start, end in spans]
    (source / "youtube_anno.json").write_text(json.dumps(notes))
    (root / "splits.json").write_text(json.dumps(lists))
    with open(root / "theirs.csv", "a", newline="") as file:
        csv.writer(file).writerows(scores)


def _ave(source: Path, rng: np.random.Generator) -> None:
    """Twelve videos of ten seconds in AVE's own files, half of them barking."""
    source.mkdir()
    event = rng.random((12, 10)) < 0.5
    onehot = np.zeros((12, 10, 3), np.uint8)
    onehot[:6, :, 0], onehot[6:, :, 1], onehot[:, :, 2] = event[:6], event[6:], ~event
    arrays = {"visual_feature": rng.normal(size=(12, 10, 6)).astype(np.float32),
              "audio_feature": rng.normal(size=(12, 10, 5)).astype(np.float32), "labels": onehot}  # fmt: skip
    for name, values in arrays.items():
        with h5py.File(source / f"{name}.h5", "w") as file:
            file["avadataset"] = values
    for name, order in (("train", [0, 1, 2, 3, 6, 7, 8, 9]), ("test", [4, 5, 10, 11])):
        with h5py.File(source / f"{name}_order.h5", "w") as file:
            file["order"] = order
    lines = [f"{'Bark' if row < 6 else 'Truck'}&v{row}&good&0&10" for row in range(12)]
    (source / "Annotations.txt").write_text("\n".join(["Category&VideoID&Quality&StartTime&EndTime", *lines, ""]))


def _field(root: Path, rng: np.random.Generator) -> None:
    """Files of video summarization, QVHighlights' features, and TVSum's table."""
    with h5py.File(root / "eccv16_dataset_tvsum.h5", "w") as file:
        file["video_1/features"], file["video_1/picks"] = rng.normal(size=(20, 4)).astype("f4"), np.arange(0, 300, 15)
        file["video_1/n_frames"], file["video_1/gtscore"] = 300, rng.random(20)
        file["video_1/user_summary"] = np.zeros((20, 300))
    (root / "tags.csv").write_text("id,tags\nvideo_1,VT\n")
    with h5py.File(root / "mr_hisum.h5", "w") as file:
        file["video_9/features"], file["video_9/gtscore"] = rng.normal(size=(7, 4)), rng.random(7)
    for folder, width in (("slowfast_features", 3), ("clip_features", 2), ("pann_features", 4)):
        (root / "qvhighlights" / folder).mkdir(parents=True)
        np.savez(root / "qvhighlights" / folder / "x_0_150.npz", features=rng.normal(size=(75, width)))
    shots = rng.integers(1, 6, (40, 2)).repeat(60, axis=0).T
    (root / "ydata-tvsum50-anno.tsv").write_text("".join(f"a\tVT\t{','.join(map(str, row))}\n" for row in shots))


def _videos(root: Path, made: SimpleNamespace) -> None:
    """Raw videos with their sidecars: short ones with tags, a long one with another."""
    (root / "videos").mkdir()
    for name, seconds, tags in (("clip one", 14, ["surf", "skateboarding"]), ("clip two", 12, ["surf", "skateboarding"]),
                                ("walk", 62, ["dog"])):  # fmt: skip
        made.write_video(root / "videos" / f"{name}.mp4", seconds, fps=2)
        (root / "videos" / f"{name}.info.json").write_text(json.dumps({"id": name, "title": name, "tags": tags}))
    made.write_video(root / "new.mp4", 40, fps=4)


def corpora(root: Path) -> None:
    """The corpora and checkpoints that pages begin with which do not make them."""
    for words in (["import", "npy", "features", "--videos", "videos.csv", "--out", "corpus"],
                  ["import", "umt", "umt/youtube", "--splits", "splits.json", "--out", "youtube"]):  # fmt: skip
        assert main(words) == 0


def _save(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path.with_name(f"{path.name}.npy"), rows if rows.dtype == np.float16 else rows.astype(np.float32))


def _table(path: Path, head: list[str], rows: list[tuple[object, ...]]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
