"""What stands on the page, and what its controls do; the one place that knows gradio."""

from __future__ import annotations

import html
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from highlight_lit.app.guard import HOSTS, PAGES, Guard
from highlight_lit.app.scoring import Scored
from highlight_lit.errors import InputError
from highlight_lit.text import say, shown

MAX_FILE = "2gb"  # of a file that is dropped
_FONT = ["system-ui", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]  # of the machine: none is fetched
_CSS = """
.gradio-container { max-width: 1160px !important; margin: 0 auto !important; }
.notice { margin: 0; padding: 8px 12px; border-left: 4px solid #d97706; overflow-wrap: anywhere; }
iframe.scored { display: block; width: 100%; height: 960px; border: 0; border-radius: 8px; }
iframe.bare { height: 560px; }
@media (max-width: 760px) { iframe.scored { height: 1160px; } iframe.bare { height: 640px; } }
"""

Choices = Callable[[], dict[str, str]]
Score = Callable[[str, Sequence[str], float | None], tuple[Scored, str]]


def serve(port: int, root: Path, choices: Choices, score: Score) -> None:
    """Show the page until a signal comes.

    Args:
        port: Of the loopback.
        root: A folder; `root/gradio` takes what is dropped, `root/pages` has the pages of what was scored.
        choices: Names of checkpoints, and the checkpoints.
        score: Of a checkpoint's name, files and seconds of a clip (None: the field is empty); what came of it, and its page's name in `root/pages`.

    Raises:
        InputError: The port is taken.
    """
    import gradio
    from starlette.middleware import Middleware
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    blocks = _blocks(choices, score)
    files = root / "gradio"
    try:
        blocks.launch(
            server_name=HOSTS[0], server_port=port, share=False, allowed_paths=[], max_file_size=MAX_FILE,
            prevent_thread_lock=True, quiet=True, footer_links=[], run_history=False, ssr_mode=False,
            mcp_server=False, enable_monitoring=False, css=_CSS,
            theme=gradio.themes.Default(primary_hue="blue", font=_FONT, font_mono=["monospace"]),
            app_kwargs={"middleware": [Middleware(Guard, files=files)], "docs_url": None, "redoc_url": None,
                        "routes": [Mount(PAGES, StaticFiles(directory=root / "pages"))]},
        )  # fmt: skip
    except OSError as error:
        raise InputError(f"--port {port}: taken, or not to be had; expected a free one") from error
    try:
        say(f"http://{HOSTS[0]}:{port}/ is for this machine alone; Ctrl-C ends it")
        while True:
            time.sleep(0.2)  # a signal that another thread was given is handled in between
    finally:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        blocks.server.force_exit = True  # open pages are connections that never end by themselves
        blocks.close(verbose=False)


def _blocks(choices: Choices, score: Score) -> Any:
    import gradio

    def offered() -> Any:
        names = list(choices())
        return gradio.Dropdown(choices=names, value=names[0] if names else None, label="Checkpoint")

    class Page(gradio.Blocks):  # type: ignore[misc]
        async def preprocess_data(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return await super().preprocess_data(*args, **kwargs)
            except Exception as error:  # a request as the page, as it is now, sends none: no traceback on the terminal
                raise gradio.Error(
                    "the page and its server do not agree; load the page again", print_exception=False
                ) from error

    def scored(name: str | None, dropped: Sequence[str] | None, clip_seconds: float | None) -> tuple[Any, ...]:
        try:
            if not name:
                raise InputError("no checkpoint is chosen; expected one of the list")
            result, page = score(name, dropped or (), clip_seconds)
        except InputError as error:
            hidden = [gradio.HTML(visible=False), gradio.Video(visible=False), gradio.File(visible=False)]
            return gradio.HTML(notice(str(error)), visible=True), *hidden
        bare = "" if result.reel else " bare"
        frame = f'<iframe class="scored{bare}" src="{PAGES}/{page}" sandbox="allow-scripts" title="Scores"></iframe>'
        reel = gradio.Video(result.reel and str(result.reel), visible=result.reel is not None)
        files = gradio.File([str(file) for file in result.files], visible=True)
        return gradio.HTML(visible=False), gradio.HTML(frame, visible=True), reel, files

    with Page(title="highlight-lit", analytics_enabled=False) as blocks:
        gradio.Markdown(
            "# highlight-lit\nDrop a video, or its features (.npz, .npy, or visual.npy and audio.npy), and see where a detector "
            "finds its highlights."
        )
        with gradio.Row():
            with gradio.Column():
                checkpoint = offered()
                clip = gradio.Number(1.0, label="Seconds of a clip (of features alone)")
                button = gradio.Button("Score", variant="primary")
            drop = gradio.File(label="Video, or features", file_count="multiple", height=220)
        told = gradio.HTML(visible=False, padding=False)
        page = gradio.HTML(visible=False, padding=False)
        with gradio.Row():
            reel = gradio.Video(label="Reel", height=360, visible=False, interactive=False, buttons=[])
            files = gradio.File(label="Download", visible=False, interactive=False, file_count="multiple")
        blocks.load(offered, None, checkpoint, api_name=False)
        gradio.on(
            [button.click, drop.upload], scored, [checkpoint, drop, clip], [told, page, reel, files], api_name="score"
        )
    return blocks


def notice(text: str) -> str:
    """A line of text as HTML: whatever is in it, it stays text."""
    return f'<p class="notice" role="alert">{html.escape(shown(text))}</p>'
