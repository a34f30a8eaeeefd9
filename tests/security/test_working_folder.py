"""What lies in the working folder, among a stranger's videos say, is no part of the program."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from highlight_lit.cli import main
from highlight_lit.data.synthetic import Plan, synthesize
from tests.real_processes import need_launcher

# Python's own, which processes import as they start.
_SHADOWS = ("signal", "pickle", "socket", "struct", "runpy", "selectors")


def _command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command as the shell starts it, with `folder` as its working folder."""
    program = "import sys; del sys.path[0]; from highlight_lit.__main__ import main; sys.exit(main())"
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONSAFEPATH", "WANDB_MODE")}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("extract", ".", "--out", "corpus", "--workers", "2"),
        ("extract", "-m", "videos=.", "out=corpus", "slices=2", "hydra/launcher=joblib"),
    ],
)
def test_a_module_beside_videos_is_not_run_by_processes(tmp_path: Path, words: tuple[str, ...]) -> None:
    pytest.importorskip("av")
    need_launcher(words)
    from tests.media.conftest import write_video

    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", seconds=2)
        (tmp_path / f"{name}.info.json").write_text('{"tags": ["surf"]}')
    for name in _SHADOWS:
        (tmp_path / f"{name}.py").write_text("open('was-run', 'w'); raise SystemExit(3)")
    ended = _command(tmp_path, *words)
    assert not (tmp_path / "was-run").exists()
    assert ended.returncode == 0, ended.stderr
    assert "2 videos extracted" in ended.stdout


@pytest.mark.parametrize("kind", ["latex", "pipe", "not text", "link to nothing"])
def test_settings_of_matplotlib_are_not_read(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "matplotlibrc"
    if kind == "pipe":
        os.mkfifo(settings)
    elif kind == "link to nothing":
        settings.symlink_to("nothing")
    else:
        settings.write_bytes(b"text.usetex: True\n" if kind == "latex" else b"\xff\xfe")
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("highlight-lit: matplotlibrc: settings of Matplotlib in the working folder")


def test_an_offline_run_sends_nothing_where_settings_of_wandb_say(tmp_path: Path) -> None:
    synthesize(tmp_path / "corpus", Plan(topics=3, videos=12, seed=1))
    (tmp_path / "wandb").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "wandb/settings").write_text(f"[default]\nmode = online\nbase_url = {address}\n")
        ended = _command(tmp_path, "train", "data.root=corpus", "topic=topic01", "trainer.max_epochs=1")
        assert ended.returncode == 0, ended.stderr
        assert list(tmp_path.glob("runs/wandb/offline-run-*"))
        server.settimeout(0)
        with pytest.raises(BlockingIOError):  # none has come
            server.accept()
