"""README's commands that import files of the field and own labels, as they are written, in order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import h5py
import numpy as np
import pytest

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus

README = Path(__file__).parents[3] / "README.md"


def commands(title: str) -> list[list[str]]:
    section = README.read_text().split(f"\n### {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return [shlex.split(line) for line in re.findall(r"^\$ highlight-lit (.*)$", "".join(blocks), re.MULTILINE)]


def files(root: Path) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(root / "eccv16_dataset_tvsum.h5", "w") as file:
        picks = np.arange(0, 300, 15)
        file["video_1/features"], file["video_1/picks"] = rng.normal(size=(20, 4)).astype("f4"), picks
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
    (root / "features/visual").mkdir(parents=True)
    for name in "ab":
        np.save(root / f"features/visual/{name}.npy", rng.normal(size=(9, 4)))
    (root / "videos.csv").write_text("id,duration,tags\na,9,surf\nb,9,surf\n")
    (root / "labels.csv").write_text("video,start,end,label\na,2,5,1\nb,0,1,1\n")
    rows = [f"{name},{i},{i + 1},{i % 4}" for name in "ab" for i in range(9)]
    (root / "theirs.csv").write_text("\n".join(["video,start,end,score", *rows, ""]))


def test_each_command_ends_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in commands("Files that this field has on disk"):
        assert main(words) == 0, words
    assert {path.name: len(Corpus(path).topics) for path in (Path("summaries"), Path("hisum"), Path("qvhighlights-corpus"))} == {
        "summaries": 1, "hisum": 1, "qvhighlights-corpus": 1,
    }  # fmt: skip
    assert (
        main(["import", "npy", "features", "--videos", "videos.csv", "--out", "corpus"]) == 0
    )  # as the section before says
    found = commands("Own labels")
    assert [words[0] for words in found] == ["import", "import", "evaluate"]
    for words in found:
        assert main(words) == 0, words
    labelled, corpus = Corpus(Path("labelled")), Corpus(Path("corpus"))
    for video in range(2):
        one, other = labelled.labels(video), corpus.labels(video)
        assert one is not None and other is not None
        np.testing.assert_array_equal(one.score, other.score)
