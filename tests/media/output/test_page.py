"""The page in a real browser: it draws, a click seeks, nothing is loaded, and markup in a title is text."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
from highlight_lit.media.io import decode
from highlight_lit.media.output.page import write_page
from highlight_lit.media.output.segments import Segment, choose_segments
from highlight_lit.media.output.timeline import draw_timeline
from highlight_lit.media.output.video_scores import VideoScores

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS_BROWSER = pytest.mark.skipif(
    CHROMIUM is None, reason="NO CHROMIUM: the page is not looked at (apt-get install chromium)"
)
NASTY = '</script><img src=x onerror="document.title=\'owned\'"><b>bold</b> & "quotes" <!-- @DATA@'


class Browser:
    """A headless Chromium, spoken to over a pipe in its DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        read_end, their_out = os.pipe()
        their_in, self._write_end = os.pipe()
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--mute-audio",
            "--hide-scrollbars",
            "--window-size=1200,900",
        ]
        flags += ["--remote-debugging-pipe", f"--user-data-dir={profile}", "--autoplay-policy=no-user-gesture-required"]
        # It reads from descriptor 3 and writes to 4.
        become = "import os, sys; a, b = map(int, sys.argv[1:3]); os.dup2(a, 103); os.dup2(b, 104);"
        become += " os.dup2(103, 3); os.dup2(104, 4); os.closerange(5, 256); os.execv(sys.argv[3], sys.argv[3:])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", become, str(their_in), str(their_out), str(CHROMIUM), *flags, "about:blank"],
            pass_fds=(their_in, their_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._from, self._count = os.fdopen(read_end, "rb"), 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write_end, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            assert byte, "Chromium ended"
            text += byte
        return json.loads(text)

    def open(self, page: Path, dark: bool = False, width: int = 1200, height: int = 900) -> None:
        self.events.clear()
        self.ask(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.ask("Page.navigate", url=page.as_uri())
        self.wait("document.readyState === 'complete' && document.getElementById('video').readyState >= 3")

    def value(self, expression: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f"never: {expression}"
            time.sleep(0.05)

    def mouse(self, x: float, y: float, *kinds: str) -> None:
        for kind in kinds:
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def screenshot(self, path: Path) -> None:
        self.ask(
            "Runtime.evaluate",
            expression="new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))",
            awaitPromise=True,
        )
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self._session = None
        self.ask("Browser.close")
        self.process.wait(timeout=60)
        self._from.close()
        os.close(self._write_end)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


def scored(
    video: Path, duration: float, title: str = "A dog on a skateboard", tags: tuple[str, ...] = ("dog", "skate")
) -> VideoScores:
    clips = int(duration)
    at = np.arange(clips)
    score = np.clip(
        0.15 + 0.75 * np.exp(-(((at - clips * 0.3) / 2) ** 2)) + 0.6 * np.exp(-(((at - clips * 0.75) / 1.7) ** 2)), 0, 1
    )
    level = -50 + 40 * np.abs(np.sin(np.arange(clips * 8) / 5)).reshape(clips, 8)
    spans = np.stack([at, at + 1], axis=1).astype(float)
    score = score.astype(np.float32)
    return VideoScores(
        video.name, title, tags, "skate", duration, spans, score, score, level.astype(np.float32), np.ones(clips, bool)
    )


def page_of(folder: Path, video: Path, scores: VideoScores) -> Path:
    write_page(folder / "page.html", video, scores, choose_segments(scores.score, scores.span, scores.duration / 4))
    return folder / "page.html"


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory, made) -> Path:
    folder = tmp_path_factory.mktemp("page")
    video = made.write_video(folder / "video.mp4", 12, lambda time: made.grey(20 + 15 * int(time)))
    return page_of(folder, video, scored(video, 12))


def test_what_is_put_into_a_page_is_the_video_that_was_looked_at(tmp_path, made, monkeypatch):
    video = made.write_video(tmp_path / "video.mp4", 2, lambda time: made.grey(20))
    content = base64.b64encode(video.read_bytes()).decode()
    (tmp_path / "secret").write_text("secret")
    real = decode.Source.__init__

    def replaced(*arguments: Any) -> None:
        real(*arguments)
        video.rename(tmp_path / "before")
        video.symlink_to(tmp_path / "secret")

    scores = scored(video, 2)
    monkeypatch.setattr(decode.Source, "__init__", replaced)
    assert content in page_of(tmp_path, video, scores).read_text()


@NEEDS_BROWSER
def test_a_click_on_the_curve_seeks_there(browser, plain_page):
    browser.open(plain_page)
    box = browser.value(
        "(b => [b.left, b.top, b.width, b.height])(document.getElementById('chart').getBoundingClientRect())"
    )
    for share in (0.25, 0.8):
        x = box[0] + 34 + share * (box[2] - 34 - 8)
        browser.mouse(x, box[1] + 60, "mouseMoved", "mousePressed", "mouseReleased")
        browser.wait(f"Math.abs(document.getElementById('video').currentTime - {share * 12}) < 0.05")
        browser.wait("!document.getElementById('video').seeking")
        shown = browser.value(
            "(() => { const c = document.createElement('canvas'); c.width = c.height = 4; const g = c.getContext('2d');"
            " g.drawImage(document.getElementById('video'), 0, 0, 4, 4); return g.getImageData(1, 1, 1, 1).data[0]; })()"
        )
        assert shown == pytest.approx(20 + 15 * int(share * 12), abs=12)  # the frame of that second
    assert browser.value("document.getElementById('said').textContent").startswith("0:09.6")


def saturated(video: Path, seconds: int) -> VideoScores:
    """Scores whose p is 1 to three digits everywhere, and whose logits rise from 9 to 20."""
    logit = np.linspace(9, 20, seconds).astype(np.float32)
    p = (1 / (1 + np.exp(-logit.astype(float)))).astype(np.float32)
    return dataclasses.replace(scored(video, seconds), score=p, logit=logit)


@NEEDS_BROWSER
def test_a_curve_whose_p_is_1_everywhere_can_be_read_and_p_stands_at_the_pointer(browser, tmp_path, made):
    video = made.write_video(tmp_path / "video.mp4", 12)
    scores = saturated(video, 12)
    write_page(tmp_path / "page.html", video, scores, [Segment(0, 4, 1.0), Segment(8, 12, 1.0)])
    for width in (1280, 390):
        browser.open(tmp_path / "page.html", width=width)
        # The height of the curve: the first row, from above, of its colour in a column.
        tops = browser.value(
            "(() => { const c = document.getElementById('chart'), g = c.getContext('2d'); return [0.1, 0.5, 0.85].map(s => {"
            " const x = Math.round(34 + s * (c.clientWidth - 42)), d = g.getImageData(x, 12, 1, 160).data;"
            " for (let y = 0; y < 160; y++) if (d[4 * y + 2] > 150 && d[4 * y] < 100 && d[4 * y + 3] > 150) return y;"
            " return 999; }); })()"
        )
        assert tops[0] > tops[1] + 40 > tops[2] + 80
        box = browser.value("(b => [b.left, b.top, b.width])(document.getElementById('chart').getBoundingClientRect())")
        for x in (36, box[2] - 10):
            browser.mouse(box[0] + x, box[1] + 60, "mouseMoved")
            card = "document.querySelector('.chart').getBoundingClientRect()"
            inside = f"(s => s.left >= {card}.left && s.right <= {card}.right)(document.getElementById('said').getBoundingClientRect())"
            assert browser.value(inside)
        assert "score 1.00, p 1.000" in browser.value("document.getElementById('said').textContent")
        listed = browser.value("[...document.querySelectorAll('#highlights span')].map(s => s.textContent)")
        assert listed == ["score 0.14", "score 0.86"]


@NEEDS_BROWSER
def test_without_a_video_the_curve_stands_alone_and_a_click_moves_its_cursor(browser, tmp_path):
    scores = dataclasses.replace(scored(Path("walk"), 12), loudness=np.zeros((12, 0), np.float32))
    write_page(tmp_path / "page.html", None, scores, [Segment(2, 5, 0.9)])
    browser.events.clear()
    browser.ask("Page.navigate", url=(tmp_path / "page.html").as_uri())
    browser.wait("document.readyState === 'complete' && document.getElementById('chart').width > 300")
    assert browser.value("getComputedStyle(document.getElementById('video')).display") == "none"
    assert browser.value("document.getElementById('level')") is None
    # The curve takes the height that an audio level would: its lowest second lies at the axis of time.
    lowest = browser.value(
        "(() => { const c = document.getElementById('chart'), w = c.width; let last = 0;"
        " const d = c.getContext('2d').getImageData(0, 0, w, c.height).data;"
        " for (let i = 0; i < d.length; i += 4) if (d[i + 2] > 150 && d[i] < 100 && d[i + 3] > 150) last = i / 4 / w;"
        " return c.height - last; })()"
    )
    assert lowest < 30
    box = browser.value("(b => [b.left, b.top, b.width])(document.getElementById('chart').getBoundingClientRect())")
    browser.mouse(box[0] + 34 + 0.5 * (box[2] - 42), box[1] + 60, "mouseMoved", "mousePressed", "mouseReleased")
    browser.wait("document.getElementById('chart').getAttribute('aria-valuetext').startsWith('0:06.0')")
    assert [event for event in browser.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")] == []


@NEEDS_BROWSER
def test_highlights_are_listed_and_marked_and_a_click_plays_them(browser, plain_page):
    browser.open(plain_page)
    data = browser.value("JSON.parse(document.getElementById('data').textContent).highlights")
    buttons = "document.querySelectorAll('#highlights button')"
    assert browser.value(f"{buttons}.length") == len(data) >= 1
    browser.value(f"{buttons}[0].click()")
    browser.wait(f"document.getElementById('video').currentTime > {data[0]['start']} + 0.05")
    browser.wait(f"{buttons}[0].classList.contains('now')")
    middle = (data[0]["start"] + data[0]["end"]) / 2
    mark = browser.value(
        f"(() => {{ const c = document.getElementById('chart'); const x = 34 + {middle} / 12 * (c.clientWidth - 42);"
        " return [...c.getContext('2d').getImageData(Math.round(x), 9, 1, 1).data]; })()"
    )
    assert mark[3] > 0
    assert mark[0] > mark[2] + 80  # amber


@NEEDS_BROWSER
def test_arrow_keys_and_n_move(browser, plain_page):
    browser.open(plain_page)
    browser.value("document.getElementById('chart').focus()")
    browser.key("ArrowRight")
    browser.key("ArrowRight")
    browser.wait("Math.abs(document.getElementById('video').currentTime - 2) < 0.01")
    browser.key("ArrowLeft")
    browser.wait("Math.abs(document.getElementById('video').currentTime - 1) < 0.01")
    browser.key("n")
    start = browser.value("JSON.parse(document.getElementById('data').textContent).highlights[0].start")
    browser.wait(f"Math.abs(document.getElementById('video').currentTime - {start}) < 0.01")


@NEEDS_BROWSER
def test_markup_in_titles_and_tags_is_shown_and_nothing_is_loaded(browser, tmp_path, made):
    video = made.write_video(tmp_path / "video.mp4", 6)
    page = page_of(tmp_path, video, scored(video, 6, NASTY, (NASTY, "plain")))
    browser.open(page)
    assert browser.value("document.querySelector('h1').textContent") == NASTY
    assert browser.value("document.title") == NASTY
    assert browser.value("document.querySelectorAll('.tag')[1].textContent") == NASTY
    assert browser.value("document.querySelectorAll('img, b').length") == 0
    urls = {
        event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"
    }
    assert {url.split(":")[0] for url in urls} <= {"file", "blob", "data"}  # data: the icons of the player itself
    assert [url for url in urls if url.startswith("file")] == [page.as_uri()]
    errors = [event for event in browser.events if event["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert errors == []


@NEEDS_BROWSER
def test_the_policy_keeps_even_a_script_that_got_in_from_loading_anything(browser, plain_page):
    browser.open(plain_page)
    refused = "new Promise(done => { const i = new Image(); i.onload = () => done(false); i.onerror = () => done(true); i.src = 'http://127.0.0.1:9/x.png'; })"
    assert browser.value(refused)
    assert browser.value("fetch('http://127.0.0.1:9/').then(() => false, () => true)")
    blocked = [event for event in browser.events if "Content Security Policy" in json.dumps(event)]
    assert len(blocked) >= 2


@NEEDS_BROWSER
@pytest.mark.parametrize("kind", ["mpeg4 avi", "webm"])
def test_any_video_plays_in_the_page(browser, tmp_path, made, kind, shared_data):
    if kind == "webm":
        video, duration = shared_data / "videos" / "big_buck_bunny_0_30.webm", 30.0
    else:
        video = made.write_video(tmp_path / "old.avi", 6, format="avi", codec="mpeg4", audio_codec="mp2", rate=16_000)
        duration = 6.0
    browser.open(page_of(tmp_path, video, scored(video, duration)))
    assert browser.value("document.getElementById('video').duration") == pytest.approx(duration, abs=0.1)
    browser.value("document.getElementById('video').play().then(() => true)")
    browser.wait("document.getElementById('video').currentTime > 0.3")


@NEEDS_BROWSER
def test_the_page_fits_a_wide_and_a_narrow_window_in_light_and_dark(browser, tmp_path, shared_data):
    video = shared_data / "videos" / "skateboarding_dog.mp4"
    page = page_of(tmp_path, video, scored(video, 14.2))
    folder = Path(os.environ.get("HIGHLIGHT_LIT_SCREENSHOTS", tmp_path))
    for name, dark, width, height in (
        ("light", False, 1200, 900),
        ("dark", True, 1200, 900),
        ("wide", False, 1280, 900),
        ("narrow", False, 390, 900),
    ):
        browser.open(page, dark, width, height)
        browser.value("document.querySelector('#highlights button').click(); document.getElementById('video').pause()")
        browser.wait("!document.getElementById('video').seeking")
        browser.screenshot(folder / f"page-{name}.png")
        assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
        drawn = "(() => { const c = document.getElementById('chart'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        assert (
            browser.value(
                drawn
                + " let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n / (d.length / 4); })()"
            )
            > 0.1
        )


def test_a_page_is_one_file_with_no_address_in_it(plain_page):
    text = plain_page.read_text()
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src 'none'" in text
    assert "@VIDEO@" not in text


def test_the_timeline_shows_what_p_cannot(tmp_path):
    rising = saturated(Path("video.mp4"), 12)
    one = dataclasses.replace(rising, score=np.ones(12, np.float32))
    falling = dataclasses.replace(one, logit=one.logit[::-1].copy())
    for name, scores in (("rising", one), ("falling", falling)):
        draw_timeline(tmp_path / name, scores, [])
    assert (tmp_path / "rising").read_bytes() != (tmp_path / "falling").read_bytes()


def test_the_timeline_is_a_picture_whatever_the_title(tmp_path, made):
    video = tmp_path / "video.mp4"
    for number, title in enumerate(("", "$x^2$ \\frac{", NASTY, "長い " * 80)):
        scores = scored(video, 40, title)
        path = tmp_path / f"{number}.png"
        draw_timeline(path, scores, choose_segments(scores.score, scores.span, 10))
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = (int.from_bytes(path.read_bytes()[at : at + 4], "big") for at in (16, 20))
        assert (width, height) == (1600, 560)


def test_control_characters_of_a_title_are_shown_as_escapes(tmp_path):
    scores = dataclasses.replace(scored(Path("v.mp4"), 4, "a\x1b[2J\u202eb"), topic="t\u202e", tags=("x\u2066",))
    write_page(tmp_path / "p.html", None, scores, [])
    text = (tmp_path / "p.html").read_text()
    assert "<title>a\\x1b[2J\\u202eb</title>" in text
    for written in ("a\\x1b[2J\\u202eb", "t\\u202e", "x\\u2066"):
        assert json.dumps(written) in text
