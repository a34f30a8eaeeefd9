"""The hub is asked once whether it answers, and how large a repository is before any of it is fetched."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from highlight_lit.errors import InputError
from highlight_lit.hub import is_reachable
from highlight_lit.inference.detector import Detector
from highlight_lit.inference.loading.model_folder import WEIGHTS

pytest.importorskip("huggingface_hub", reason="NO HUB TESTED: the extra export is not installed")


@pytest.mark.parametrize(("status", "said"), [(200, True), (404, True), (401, True), (503, False), (None, False)])
def test_a_hub_is_asked_once_whether_it_answers(
    status: int | None, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status or 500)
            self.end_headers()
            self.wfile.write(b'{"id": "me/surf"}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = 9 if status is None else server.server_port  # nobody listens at 9
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        assert is_reachable("me/surf") is said
        server.shutdown()
    assert asked.count("/api/models/me/surf") == (status is not None)


@pytest.mark.parametrize(
    ("size", "free", "says"),
    [
        (
            5 << 30,
            10 << 30,
            r"5,368\.7 MB; expected at most 4,295 MB: if you want it, fetch it with 'hf download me/surf",
        ),
        (None, 10 << 30, "files of unknown size; expected at most 4,295 MB"),
        (-1, 10 << 30, "files of unknown size"),
        (3_000_000, 2_000_000, r"3\.0 MB, and 2\.0 MB are free in .*: make room, or fetch it with"),
    ],
)
def test_a_repository_that_is_too_large_is_refused_before_any_of_it_is_fetched(
    size: int | None, free: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            siblings = [{"rfilename": WEIGHTS, "size": size}, {"rfilename": "other.bin", "size": 1 << 50}]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"id": "me/surf", "sha": "0" * 40, "siblings": siblings}).encode())

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(InputError, match=f"^me/surf: {says}") as refused:
            Detector.load("me/surf")
        server.shutdown()
    assert "\n" not in str(refused.value)
    assert [path.partition("?")[0] for path in asked] == ["/api/models/me/surf"]
    assert not (tmp_path / "cache").exists()
