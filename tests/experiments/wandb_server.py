"""A stand-in for W&B's server: it takes what is sent, as far as views and runs go, and keeps it."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

VIEWER = {
    "id": "1",
    "username": "me",
    "entity": "me",
    "flags": "{}",
    "teams": {"edges": []},
    "email": "",
    "admin": False,
}


class Server(ThreadingHTTPServer):
    """Listens on a free port of this machine.

    Attributes:
        views: Variables of each view that was saved.
        runs: Names of the runs that were made, and of those whose history arrived.
        history: What each run logged, a mapping a step.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.views: list[dict[str, Any]] = []
        self.runs: set[str] = set()
        self.streamed: set[str] = set()
        self.history: dict[str, list[dict[str, Any]]] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What makes wandb talk to this server."""
        return {"WANDB_BASE_URL": f"http://127.0.0.1:{self.server_port}", "WANDB_API_KEY": "a" * 40}

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """To a GraphQL request."""
        if "upsertView" in query:
            self.views.append(variables)
            return {"upsertView": {"view": {"id": "1", "name": f"nw-{len(self.views)}-v"}, "inserted": True}}
        if "upsertBucket" in query:
            self.runs.add(variables["name"])
            project = {"id": "1", "name": variables["project"], "entity": {"id": "1", "name": "me"}}
            bucket = {"id": "1", "name": variables["name"], "config": "{}", "project": project, "historyLineCount": 0}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "createArtifact" in query:  # has it already, so that no file of it is sent
            kept = {"id": "1", "state": "COMMITTED", "artifactSequence": {"latestArtifact": {"id": "1"}}}
            return {"createArtifact": {"artifact": kept}}
        return {"viewer": VIEWER, "createRunFiles": {"runID": "1", "uploadHeaders": [], "files": []}}


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer: dict[str, Any] = {}
        if self.path == "/graphql":
            asked = json.loads(body)
            answer = {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
        elif self.path.endswith("/file_stream"):
            run = self.path.split("/")[-2]
            self.server.streamed.add(run)
            rows = json.loads(body).get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            self.server.history.setdefault(run, []).extend(map(json.loads, rows))
        said = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *said: object) -> None:
        """Say nothing."""
