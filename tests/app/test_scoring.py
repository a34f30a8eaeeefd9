"""What is dropped is scored as `score` scores it, and what is refused is refused in one line. Without gradio."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from highlight_lit.app.command import offered, taken
from highlight_lit.app.guard import Guard, Message, Send
from highlight_lit.app.scoring import Order, Scorer, score
from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from highlight_lit.errors import InputError


@pytest.fixture
def features(tmp_path: Path, corpus: Corpus) -> Path:
    """One video's features in each form."""
    rows = {stream: corpus.rows(0, stream).astype(np.float32) for stream in ("visual", "audio")}
    np.savez(tmp_path / "walk.npz", **rows)
    for stream, array in rows.items():
        np.save(tmp_path / f"{stream}.npy", array)
    return tmp_path


def test_features_are_scored_as_score_does_and_their_page_has_the_curve(runs: Path, features: Path) -> None:
    [checkpoint] = runs.glob("*/last.ckpt")
    words = ["--features", str(features / "walk.npz"), "--clip-seconds", "2", "--checkpoint", str(checkpoint)]
    assert main(["score", *words, "--out", str(features / "theirs")]) == 0
    ours = score(Order(str(checkpoint.parent), (features / "walk.npz",), clip_seconds=2.0), features / "ours")
    assert ours.reel is None
    assert [file.name for file in ours.files] == ["walk.scores.json", "walk.scores.csv", "walk.html"]
    for name in ("walk.scores.json", "walk.scores.csv"):
        assert (features / "ours" / name).read_text() == (features / "theirs" / name).read_text()
    # The order in which the two arrays of a video are dropped does not count.
    for order in (("audio", "visual"), ("visual", "audio")):
        files = tuple(features / f"{stream}.npy" for stream in order)
        pair = score(Order(str(checkpoint), files, clip_seconds=2.0), features / order[0])
        assert pair.files[1].read_text() == ours.files[1].read_text()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), "nothing was dropped; expected one video"),
        (("walk.npz", "visual.npy"), r"2 files \(walk.npz, visual.npy\)"),
        (("visual.npy", "visual.npy"), "2 files"),
        (("wide.npz",), r"wide.npz: visual: float64 of shape \(5, 3\)"),
        (("pickled.npz",), "pickled"),
        (("note.npz",), "note.npz: truncated or not a plain .npz file"),
        (("note.txt",), "trained on imported visual features"),  # whatever is no array is taken for a video
    ],
)
def test_other_files_are_one_line(names: tuple[str, ...], expected: str, runs: Path, features: Path) -> None:
    np.savez(features / "wide.npz", visual=np.zeros((5, 3)), audio=np.zeros((5, 8)))
    np.savez(features / "pickled.npz", visual=np.array([[{}]]))
    for name in ("note.npz", "note.txt"):
        (features / name).write_text("neither")
    if "note.txt" in names:
        pytest.importorskip("av")
    with pytest.raises(InputError, match=expected) as refused:
        score(Order(str(next(runs.iterdir())), tuple(features / name for name in names)), features / "out")
    assert "\n" not in str(refused.value)
    assert not (features / "out").exists()


def test_a_video_without_pyav_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("highlight_lit.installation.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"a.mp4: a video needs av: pip install 'highlight-lit\[media\]'"):
        score(Order("none.ckpt", (tmp_path / "a.mp4",)), tmp_path)


def test_finished_runs_are_offered_by_name_and_given_checkpoints_first(runs: Path) -> None:
    [run] = [path.parent for path in runs.glob("*/record.json")]
    assert offered(["a/last.ckpt"], runs) == {
        "a/last.ckpt": "a/last.ckpt", f"topic01 av seed 0 ({run.name[:8]})": str(run)
    }  # fmt: skip
    assert offered([], runs / "none") == {}


def test_only_what_was_dropped_is_taken(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    (tmp_path / "secret.npz").write_text("secret")
    (uploads / "mine.npz").write_text("mine")
    os.symlink(tmp_path / "secret.npz", uploads / "link.npz")
    for name in ("../secret.npz", "link.npz", "none.npz", "/etc/passwd", "."):
        with pytest.raises(InputError, match="not a file that was dropped"):
            taken(uploads / name, uploads, tmp_path / "job")
    assert taken(uploads / "mine.npz", uploads, tmp_path / "job") == tmp_path / "job" / "mine.npz"
    with pytest.raises(InputError, match="twice"):
        taken(uploads / "mine.npz", uploads, tmp_path / "job")


@pytest.mark.parametrize(
    ("path", "host", "origin", "allowed"),
    [
        ("/", "127.0.0.1:7860", None, True),
        ("/", "localhost:9000", "http://localhost:9000", True),  # through a tunnel
        ("/pages/ab.html", "localhost", None, True),
        ("/gradio_api/queue/join", "127.0.0.1:7860", "http://127.0.0.1:7860", True),
        ("/gradio_api/file=/tmp/own/gradio/a.csv", "127.0.0.1:7860", None, True),
        ("/", "evil.example:7860", None, False),
        ("/", "127.0.0.1.evil.example:7860", None, False),
        ("/", "", None, False),
        ("/gradio_api/upload", "127.0.0.1:7860", "http://evil.example", False),
        ("/gradio_api/upload", "127.0.0.1:7860", "http://127.0.0.1:8000", False),
        ("/gradio_api/upload", "127.0.0.1:7860", "null", False),
        ("/gradio_api/file=/etc/passwd", "127.0.0.1:7860", None, False),
        ("/gradio_api/file=/tmp/own/gradio/../jobs/a", "127.0.0.1:7860", None, False),
        ("/gradio_api/file=/tmp/own/gradiox/a", "127.0.0.1:7860", None, False),
        ("/gradio_api/file=http://example.org/", "127.0.0.1:7860", None, False),
        ("/gradio_api/proxy=http://example.org/", "127.0.0.1:7860", None, False),
        ("/gradio_api/process_recording", "127.0.0.1:7860", None, False),
        ("/gradio_api/component_server", "127.0.0.1:7860", None, False),
        ("/monitoring", "127.0.0.1:7860", None, False),
    ],
)  # fmt: skip
def test_the_server_answers_the_page_alone(path: str, host: str, origin: str | None, allowed: bool) -> None:
    async def app(*_: object) -> None:
        """Never asked."""

    assert Guard(app, Path("/tmp/own/gradio")).allows(path, host, origin) is allowed


@pytest.mark.parametrize("begun", [False, True])
def test_a_request_that_gradio_fails_at_is_a_line(begun: bool, capsys: pytest.CaptureFixture[str]) -> None:
    sent: list[Message] = []

    async def app(scope: Message, _: object, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200})
        raise KeyError("no such\x1b[2J")

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {}

    scope = {"type": "http", "path": "/gradio_api/queue/join", "headers": [(b"host", b"localhost")]}
    asyncio.run(Guard(app, Path("/tmp/own/gradio"))(scope, receive, send))
    assert [message.get("status") for message in sent] == [200 if begun else 400, None]
    expected = r"note: a request for /gradio_api/queue/join was not answered (KeyError: 'no such\x1b[2J')"
    assert capsys.readouterr().err == f"{expected}\n"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, "the field is empty"), (True, "True"), (-1, "-1"), (0, "0"), (3601, "3601"), (float("nan"), "nan"), (10**400, "10+"), ("2", "2"), ([1], r"\[1\]")],
)  # fmt: skip
def test_seconds_of_a_clip_that_are_none_are_a_line(seconds: Any, told: str, runs: Path, features: Path) -> None:
    order = Order(str(next(runs.iterdir())), (features / "walk.npz",), clip_seconds=seconds)
    with pytest.raises(InputError, match=f"^seconds of a clip: {told}; expected a number over 0 and at most 3600$"):
        score(order, features / "out")
    assert not (features / "out").exists()


def test_a_process_that_dies_is_a_line_and_the_next_video_is_scored() -> None:
    with Scorer() as scorer:
        with pytest.raises(InputError, match="the process that scores died"):
            scorer.do(os._exit, 9)
        assert scorer.do(os.getpid) != os.getpid()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--port", "0"], "--port 0: expected a number from 1 to 65535"),
        (["--runs", "none"], "none: no finished run in it"),
        (["--checkpoint", "none.ckpt"], "none.ckpt: no such file"),
    ],
)
def test_what_cannot_be_offered_is_refused_before_the_page(
    words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("need", "_settle"):
        monkeypatch.setattr(f"highlight_lit.app.command.{name}", lambda *_: None)
    assert main(["app", *words]) == 2
    assert capsys.readouterr().err.startswith(f"highlight-lit: {expected}")


def test_without_gradio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("highlight_lit.installation.find_spec", lambda _: None)
    assert main(["app"]) == 2
    assert capsys.readouterr().err == "highlight-lit: app needs gradio: pip install 'highlight-lit[app]'\n"


def test_a_video_gives_player_reel_and_scores(
    small_corpus: Path, tmp_path: Path, quick_train: Callable[..., int]
) -> None:
    pytest.importorskip("av")
    from tests.media.conftest import write_video

    folder = tmp_path / "videos"
    folder.mkdir()
    for name, seconds in (("short", 8), ("long", 62)):
        write_video(folder / f"{name}.mp4", seconds, fps=2)
    (tmp_path / "tags.csv").write_text("video,tags\nshort,dog\nlong,cat\n")
    words = [str(folder), "--tags", str(tmp_path / "tags.csv"), "--workers", "1"]
    assert main(["extract", *words, "--out", str(tmp_path / "corpus")]) == 0
    assert quick_train(f"data.root={tmp_path / 'corpus'}", "topic=dog", "trainer.max_epochs=1") == 0
    [checkpoint] = (tmp_path / "runs").glob("*/last.ckpt")
    shutil.copy(folder / "short.mp4", tmp_path / "new.mp4")
    assert main(["score", str(tmp_path / "new.mp4"), "--checkpoint", str(checkpoint), "--html"]) == 0
    result = score(Order(str(checkpoint), (tmp_path / "new.mp4",)), tmp_path / "ours")
    assert [file.name for file in result.files] == ["new.scores.json", "new.scores.csv", "new.html", "new.reel.mp4"]
    assert result.page.read_bytes() == (tmp_path / "new.html").read_bytes()
    assert result.reel is not None and result.reel.stat().st_size > 1000
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "new.mp4").read_bytes()[:2000])
    with pytest.raises(InputError, match="cut.mp4"):
        score(Order(str(checkpoint), (tmp_path / "cut.mp4",)), tmp_path / "none")
