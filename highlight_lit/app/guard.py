"""What the server of the page answers: the page's own requests, from this machine, and nothing else.

gradio has many addresses that this page does not need; some of them fetch from the network or read other files.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path, PurePosixPath
from typing import Any

from highlight_lit.text import say

PAGES = "/pages"
HOSTS = ("127.0.0.1", "localhost")  # any other name is a stranger's that leads here, as DNS rebinding does
_EXACT = {"/", "/config", "/theme.css", "/favicon.ico", "/manifest.json"}
_API = ("info", "startup-events", "upload", "upload_progress", "queue/join", "queue/data", "cancel", "reset")
_BELOW = ("/static/", "/assets/", f"{PAGES}/", "/gradio_api/heartbeat/")
_FILE = "/gradio_api/file="
# Nothing is loaded from elsewhere, and no other site may show the page in a frame. gradio's templates are scripts.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """An ASGI middleware.

    Args:
        app: What it stands before.
        files: Folder of the files that may be fetched.
    """

    def __init__(self, app: App, files: Path) -> None:
        self.app, self.files = app, files

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer 403, or pass a request on and add the policy to the answer."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] != "http" or not self.allows(scope["path"], headers.get(b"host", ""), headers.get(b"origin")):
            return await _refuse(send, 403)
        begun = False
        policy = POLICY + "; sandbox allow-scripts" * scope["path"].startswith(f"{PAGES}/")

        async def answer(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                further = [(b"content-security-policy", policy.encode()), (b"referrer-policy", b"no-referrer")]
                message["headers"] = [*message.get("headers", []), *further]
            await send(message)

        try:
            await self.app(scope, receive, answer)
        except Exception as error:  # gradio's, at what its own page does not send: a line here, no traceback
            fault = f"{type(error).__name__}: {error}"
            say(f"note: a request for {scope['path']} was not answered ({fault})", file=sys.stderr)
            await (send({"type": "http.response.body"}) if begun else _refuse(send, 400))

    def allows(self, path: str, host: str, origin: str | None) -> bool:
        """Whether a request is one of the page's own.

        Args:
            path: Of its address, decoded.
            host: Its header; the port may be another one, of a tunnel.
            origin: Its header; None where there is none.
        """
        if host.rpartition(":")[0] not in HOSTS and host not in HOSTS:
            return False
        if origin is not None and origin != f"http://{host}":
            return False  # another site's page has sent it
        if path.startswith(_FILE):
            file = PurePosixPath(path.removeprefix(_FILE))
            return ".." not in file.parts and file.is_relative_to(self.files)
        return path in _EXACT or path.startswith(_BELOW) or path.removeprefix("/gradio_api/") in _API


async def _refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"not of this page"})
