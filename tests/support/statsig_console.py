"""A stand-in for Statsig's Console API on 127.0.0.1: experiments and metrics of one project, by key and version.

with serve("console-abc") as console:
    console.address                  # instead of https://statsigapi.net
    console.objects                  # (kind, id) -> the body that created it
    console.fault = 429              # from now on
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

VERSION = "20240601"
REQUIRED = {"experiments": ("name",), "metrics": ("name", "type")}
METRIC_TYPES = ("ratio", "mean", "sum", "event_count_custom")


@dataclass(frozen=True)
class Request:
    """One received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Console:
    """The project's objects and requests. `fault` is its failure: a status, "redirect", "garbage", or None."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.mutations = 900  # changes left; Statsig allows one project 900 in 15 minutes
        self.fault: int | str | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serve(key: str) -> Iterator[Console]:
    """Run the stand-in until the block ends."""
    console = Console(key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"console": console}))
    server.daemon_threads, server.block_on_close = True, False
    console.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield console
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    console: Console

    def do_GET(self) -> None:
        if kind := self._admitted():
            name = unquote(self.path.rpartition("/")[2])
            found = self.console.objects.get((kind, name))
            self._answer(200 if found else 404, {"message": "read", "data": found} if found else {"message": "no such"})

    def do_POST(self) -> None:
        kind = self._admitted()
        if kind is None:
            return
        body = self.console.requests[-1].body
        missing = [name for name in REQUIRED[kind] if name not in body]
        if missing or (kind == "metrics" and body["type"] not in METRIC_TYPES):
            self._answer(400, {"status": 400, "message": f"Invalid request: {missing}"})
        elif self.console.mutations <= 0:
            self._answer(429, {"status": 429, "message": "Too many requests"})
        else:
            self.console.mutations -= 1
            name = body.get("id") or body["name"]
            self.console.objects[kind, name if kind == "experiments" else f"{body['name']}::{body['type']}"] = body
            self._answer(201, {"message": "created", "data": body})

    def do_PUT(self) -> None:
        """Start an experiment."""
        if self._admitted():
            *_, name, verb = unquote(self.path).split("/")
            found = self.console.objects.get(("experiments", name))
            self._answer(200 if found and verb == "start" else 404, {"message": verb})

    def _admitted(self) -> str | None:
        """Note the request; return the kind of object that it names. Where it fails, answer it and return None."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        self.console.requests.append(Request(self.command, self.path, dict(self.headers), body))
        sent = {name.lower(): value for name, value in self.headers.items()}
        if self.console.fault == "redirect":
            self.send_response(302)
            self.send_header("Location", f"{self.console.address}/elsewhere")
            self.end_headers()
        elif self.console.fault == "garbage":
            self._send(200, b"<html>")
        elif isinstance(self.console.fault, int):
            self._answer(self.console.fault, {"status": self.console.fault, "message": "no"})
        elif sent.get("statsig-api-key") != self.console.key:
            said = f"This endpoint only accepts an active CONSOLE key. Key: {sent.get('statsig-api-key')}"
            self._answer(401, {"status": 401, "message": said})
        elif sent.get("statsig-api-version") != VERSION:
            self._answer(400, {"status": 400, "message": "Unknown version"})
        else:
            return self.path.split("/")[3]
        return None

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        self._send(status, json.dumps(content).encode())

    def _send(self, status: int, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        """Log nothing: `requests` has everything."""
