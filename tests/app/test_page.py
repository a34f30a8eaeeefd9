"""The page as a process serves it: asked by gradio's own client, looked at in Chromium, and stopped."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gradio", reason="NO GRADIO: the page is not tried (pip install 'highlight-lit[app]')")
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from highlight_lit.cli import main
from highlight_lit.data.corpus import Corpus
from tests.media.output.test_page import NEEDS_BROWSER, Browser
from tests.real_processes import Command, until


def free_port() -> int:
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        return int(given.getsockname()[1])


class Server:
    """`highlight-lit app`, up, with its temporary folder in a folder of its own."""

    def __init__(self, runs: Path, temporary: Path) -> None:
        self.port, self.temporary = free_port(), temporary
        self.address = f"http://127.0.0.1:{self.port}"
        further = {"TMPDIR": str(temporary), "GRADIO_ALLOWED_PATHS": "/etc", "GRADIO_SERVER_NAME": "0.0.0.0"}
        further |= {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        self.command = Command("app", "--runs", str(runs), "--port", str(self.port), environment=further)
        until(lambda: self.command.process.poll() is not None or self.status("/") == 200)

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> str:
        """What is answered, to its end."""
        request = urllib.request.Request(self.address + path, data=body, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return str(opener.open(request, timeout=60).read().decode())

    def status(self, path: str, **headers: str) -> int:
        request = urllib.request.Request(self.address + path, headers=headers)
        try:
            return int(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20).status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@pytest.fixture(scope="module")
def walk(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    corpus = Corpus(small_corpus)
    path = tmp_path_factory.mktemp("features") / "walk.npz"
    np.savez(path, visual=corpus.rows(0, "visual"), audio=corpus.rows(0, "audio"))
    return path


@pytest.fixture(scope="module")
def server(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(runs, tmp_path_factory.mktemp("temporary"))
    yield started
    started.command.kill()


@pytest.fixture(scope="module")
def client(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(server.address, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


def shown(value: Any) -> str:
    """The text of an HTML component, which comes as it is or as an update."""
    return str(value.get("value") if isinstance(value, dict) else value)


def score(client: Client, runs: Path, *files: Any) -> tuple[Any, ...]:
    [run] = [path.parent.name for path in runs.glob("*/record.json")]
    return client.predict(f"topic01 av seed 0 ({run[:8]})", list(files), 1.0, api_name="/score")


def test_features_are_scored_and_all_files_come_back(client: Client, server: Server, runs: Path, walk: Path) -> None:
    _, page, _, files = score(client, runs, handle_file(str(walk)))
    source = re.search(r'src="(/pages/\w+\.html)" sandbox="allow-scripts"', shown(page))
    assert source and server.status(source[1]) == 200
    paths = [Path(path) for path in (files["value"] if isinstance(files, dict) else files)]
    assert [path.name for path in paths] == ["walk.scores.json", "walk.scores.csv", "walk.html"]
    [checkpoint] = runs.glob("*/last.ckpt")
    words = ["--features", str(walk), "--checkpoint", str(checkpoint), "--out", str(paths[0].parent)]
    ours = paths[1].read_text()
    assert main(["score", *words]) == 0
    assert (paths[0].parent / "walk.scores.csv").read_text() == ours


def test_a_wrong_file_is_a_line_on_the_page(client: Client, runs: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", visual=np.zeros((5, 3)), audio=np.zeros((5, 8)))
    told = shown(score(client, runs, handle_file(str(tmp_path / "wide.npz")))[0])
    text = html.unescape(re.sub("<[^>]*>", "", told))
    assert text == "wide.npz: visual: float64 of shape (5, 3); expected (clips, 12)"
    (tmp_path / "empty.npy").touch()
    told = shown(score(client, runs, handle_file(str(tmp_path / "empty.npy")))[0])
    assert "visual: empty.npy: truncated" in told
    assert "highlight-lit-app-" not in told  # where that folder is does not concern the page


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../../../../../etc/passwd",
        "{gradio}/../../../../../../../../etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:{port}/config",
        "/gradio_api/file=/etc/passwd",
    ],
)
def test_a_request_that_names_another_file_reads_none(path: str, server: Server, runs: Path) -> None:
    """As no page sends it: gradio's client would upload the file, and then it is the user's own."""
    [folder] = server.temporary.glob("highlight-lit-app-*")
    before = {path for path in folder.rglob("*") if path.is_file()}
    named = path.format(gradio=folder / "gradio", port=server.port)
    payload = {"path": named, "orig_name": "walk.npz", "meta": {"_type": "gradio.FileData"}}
    [run] = [path.parent.name for path in runs.glob("*/record.json")]
    order = {"data": [f"topic01 av seed 0 ({run[:8]})", [payload], 1.0], "fn_index": 1, "session_hash": "by-hand"}
    headers = {"Content-Type": "application/json"}
    server.ask("/gradio_api/queue/join", json.dumps(order).encode(), **headers)
    told = server.ask("/gradio_api/queue/data?session_hash=by-hand")
    assert '"success":false' in told or "not a file that was dropped" in told
    assert "root:" not in told
    assert {path for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/pages/../jobs",
        "/pages/..%2F..%2F..%2Fetc%2Fpasswd",
        "/pages/%2Fetc%2Fpasswd",
        "/static/..%2F..%2F..%2F..%2F..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "/gradio_api/file={gradio}/../../../../../../etc/passwd",
        "/gradio_api/file={gradio}/..%2F..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd",
    ],
)
def test_no_path_leads_out_of_the_folder(path: str, server: Server) -> None:
    [folder] = server.temporary.glob("highlight-lit-app-*")
    assert server.status(path.format(gradio=folder / "gradio")) in (400, 403, 404)


def test_a_name_that_is_a_path_stays_in_the_folder(server: Server) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="../../../../escaped.npz"\r\n\r\nx\r\n--b--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    server.ask("/gradio_api/upload", body, **headers)
    [folder] = server.temporary.glob("highlight-lit-app-*")
    assert [path.is_relative_to(folder / "gradio") for path in server.temporary.rglob("*escaped*")] == [True]


def test_other_sites_and_names_are_refused(server: Server) -> None:
    assert server.status("/", Host=f"evil.example:{server.port}") == 403
    assert server.status("/", Origin="http://evil.example") == 403
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    here = [fields[1] for fields in listening if fields[3] == "0A" and fields[1].endswith(f":{server.port:04X}")]
    assert here == [f"0100007F:{server.port:04X}"]  # 127.0.0.1, little-endian


@NEEDS_BROWSER
def test_in_a_browser_features_are_dropped_and_the_curve_is_there(server: Server, walk: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    browser = Browser(tmp_path / "profile")
    try:
        folder = Path(os.environ.get("HIGHLIGHT_LIT_SCREENSHOTS", tmp_path))
        browser.ask("Page.navigate", url=server.address)
        browser.wait("!!document.querySelector('input[type=file]')", 60)
        root = browser.ask("DOM.getDocument")["root"]["nodeId"]
        drop = browser.ask("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
        # What a stranger's file says is text, to HTML and to gradio's templates.
        nasty = "<img src=x onerror=document.title='owned'>${document.title='owned'}{{value}}"
        with zipfile.ZipFile(tmp_path / "nasty.npz", "w") as archive:
            archive.writestr(nasty, b"")
        browser.ask("DOM.setFileInputFiles", nodeId=drop, files=[str(tmp_path / "nasty.npz")])
        browser.wait("!!document.querySelector('.notice')", 60)
        expected = f"nasty.npz: has {nasty}; expected the keys visual and audio"
        assert browser.value("document.querySelector('.notice').textContent") == expected
        assert browser.value("document.title") == "highlight-lit"
        browser.value("document.querySelector('[aria-label=\"Clear\"]').click()")
        browser.wait("!!document.querySelector('input[type=file]')")
        root = browser.ask("DOM.getDocument")["root"]["nodeId"]
        drop = browser.ask("DOM.querySelector", nodeId=root, selector="input[type=file]")["nodeId"]
        browser.ask("DOM.setFileInputFiles", nodeId=drop, files=[str(walk)])
        browser.wait("!!document.querySelector('iframe.scored')", 60)
        assert browser.value("document.querySelector('.notice')") is None
        for width in (1280, 390):
            browser.ask(
                "Emulation.setDeviceMetricsOverride", width=width, height=1400, deviceScaleFactor=1, mobile=False
            )
            browser.screenshot(folder / f"app-{width}.png")
            assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
        asked = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
        assert asked
        assert [url for url in asked if not url.startswith((f"{server.address}/", "data:", "blob:"))] == []
        text = browser.value("document.documentElement.outerHTML")
        assert (
            re.findall(r'<(?:link|script|img|iframe)[^>]*(?:href|src)="(?:https?:)?//(?!127\.0\.0\.1)[^"]*', text) == []
        )
        faults = [event for event in browser.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
        assert faults == []
        browser.ask("Page.navigate", url=browser.value("document.querySelector('iframe.scored').src"))
        browser.wait("document.readyState === 'complete' && document.getElementById('chart')?.width > 300")
        tall = "(() => { const c = document.getElementById('chart'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        blue = " let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i + 2] > 150 && d[i] < 100 && d[i + 3] > 150; return n; })()"
        browser.wait(f"{tall}{blue} > 300")
        assert browser.value("document.querySelector('h1').textContent") == "walk"
    finally:
        browser.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing(number: signal.Signals, runs: Path, walk: Path, tmp_path: Path) -> None:
    server = Server(runs, tmp_path)
    client = Client(server.address, verbose=False, download_files=str(tmp_path.parent))
    # A page that was open when the server was another one: an answer, and no traceback on the terminal.
    with pytest.raises(AppError, match="^the page and its server do not agree; load the page again$"):
        client.predict("gone", [handle_file(str(walk))], 1.0, api_name="/score")
    order = {"data": [], "fn_index": 99, "session_hash": "old"}
    with pytest.raises(urllib.error.HTTPError, match="400"):
        server.ask("/gradio_api/queue/join", json.dumps(order).encode(), **{"Content-Type": "application/json"})
    score(client, runs, handle_file(str(walk)))  # its process is there, and the client's stream is open
    os.kill(server.command.process.pid, number)
    status, lines = server.command.ends()
    assert status == 128 + number
    assert lines[0].startswith(server.address)
    assert lines[1] == "note: a request for /gradio_api/queue/join was not answered (KeyError: 99)"
    assert lines[2:] == [f"highlight-lit: stopped by {number.name}; the same command starts again"]
    assert server.command.left() == []
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_a_line(server: Server, runs: Path, tmp_path: Path) -> None:
    further = {"TMPDIR": str(tmp_path)}
    status, lines = Command("app", "--runs", str(runs), "--port", str(server.port), environment=further).ends()
    assert status == 2
    assert lines == [f"highlight-lit: --port {server.port}: taken, or not to be had; expected a free one"]
    assert list(tmp_path.iterdir()) == []
