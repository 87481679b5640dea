"""A stand-in for Statsig that speaks real HTTP on 127.0.0.1: definitions, id lists, events, and every way to fail.

    with serve(specs) as statsig:
        statsig.url                      # for STATSIG_API_URL
        statsig.events_fault = 500       # fail from now on; None: succeed again
        statsig.events                   # the events that arrived, in order

A fault is a status, a word (see `FAULTS`), or a function that is called for each request and returns one of them.
"""

import base64
import gzip
import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.waiting import ENOUGH_S, late

FAULTS = {
    "hang": "takes the request and never answers",
    "drip": "answers with a byte now and then, and never to the end",
    "reset": "cuts the connection",
    "garbage": "answers 200 with a page of HTML",
    "empty": "answers 200 with nothing",
    "lost": "keeps the events and cuts the connection instead of saying so",
}
Fault = int | str | None
Failing = Fault | Callable[[], Fault]
NO_SPECS: dict[str, Any] = {
    "has_updates": True,
    "time": 1,
    "dynamic_configs": [],
    "feature_gates": [],
    "layer_configs": [],
}


@dataclass(frozen=True)
class Request:
    """One received request. `events` are those of its body; `fault` is the failure that answered it, None if none."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    fault: Fault

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(self.body.get("events", ()))


class Statsig:
    """The stand-in's definitions, failures and received requests. A test may change all of them while it runs."""

    def __init__(self, specs: dict[str, Any] | None) -> None:
        self.specs = specs or NO_SPECS
        self.id_lists: dict[str, list[str]] = {}
        self.specs_fault: Failing = None
        self.lists_fault: Failing = None
        self.events_fault: Failing = None
        self.refuses: Callable[[dict[str, Any]], Fault] = lambda event: None
        self.events: list[dict[str, Any]] = []
        self.requests: list[Request] = []
        self.over = threading.Event()
        self._news = threading.Condition()
        self.port = 0

    @property
    def url(self) -> str:
        """The stand-in's address, as a value of STATSIG_API_URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def named(self, *names: str) -> list[dict[str, Any]]:
        """Return the received events of these names."""
        return [event for event in self.events if event["eventName"] in names]

    def counts(self) -> Counter[str]:
        """Return how many times each `event_id` arrived."""
        return Counter(event["metadata"]["event_id"] for event in self.events)

    def wait(self, holds: Callable[[], object], within_s: float = ENOUGH_S) -> None:
        """Wait until a condition holds, as `waiting.until` does. It is checked after every request and never during
        one."""
        deadline = time.monotonic() + within_s
        with self._news:
            while not holds():
                left = deadline - time.monotonic()
                assert left > 0, late(holds, within_s, f"{len(self.events)} events, {len(self.requests)} requests")
                self._news.wait(min(left, 0.1))

    def keep(self, request: Request, arrived: bool) -> None:
        """Store a request, and its events if they arrived."""
        with self._news:
            self.requests.append(request)
            if arrived:
                self.events.extend(request.events)
            self._news.notify_all()


@contextmanager
def serve(specs: dict[str, Any] | None = None, port: int = 0) -> Iterator[Statsig]:
    """Run the stand-in until the block ends, on this port or on a free one."""
    statsig = Statsig(specs)
    handler = type("Handler", (_Handler,), {"statsig": statsig})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads, server.block_on_close = True, False
    statsig.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield statsig
    finally:
        statsig.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def id_of(unit: str) -> str:
    """Return the name that a unit has in an id list: eight characters of its hash."""
    return base64.b64encode(hashlib.sha256(unit.encode()).digest()).decode()[:8]


class _Handler(BaseHTTPRequestHandler):
    statsig: Statsig

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/v1/download_config_specs/"):
            since = int(self.path.partition("sinceTime=")[2] or 0)
            newer = since < self.statsig.specs["time"] or since == 0
            self._answer(self.statsig.specs_fault, self.statsig.specs if newer else {"has_updates": False})
        elif path.startswith("/v1/lists/"):
            lines = "".join(f"+{each}\n" for each in self.statsig.id_lists[path.rpartition("/")[2]])
            self._answer(None, lines.encode())
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        if self.path == "/v1/get_id_lists":
            self._answer(self.statsig.lists_fault, {name: self._list(name) for name in self.statsig.id_lists})
        elif self.path == "/v1/log_event":
            self._answer(self.statsig.events_fault, {"success": True})
        else:
            self._answer(404, {})

    def _list(self, name: str) -> dict[str, Any]:
        size = sum(len(each) + 2 for each in self.statsig.id_lists[name])
        # Statsig names an address other than the configured one
        return {
            "name": name,
            "url": f"https://lists.example/v1/lists/{name}",
            "size": size,
            "creationTime": 1,
            "fileID": name,
        }

    def _answer(self, failing: Failing, content: dict[str, Any] | bytes) -> None:
        body = self._body()
        fault = failing() if callable(failing) else failing
        if body is None:
            body, fault = {}, 400
        for event in body.get("events", ()):
            fault = fault or self.statsig.refuses(event)
        self.statsig.keep(
            Request(self.command, self.path, dict(self.headers), body, fault), arrived=fault in (None, "lost")
        )
        match fault:
            case None:
                self._send(200, content if isinstance(content, bytes) else json.dumps(content).encode())
            case int():
                self._send(fault, b'{"message":"no"}')
            case "hang":
                self.statsig.over.wait(60)
            case "drip":
                self._drip()
            case "reset" | "lost":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            case "garbage":
                self._send(200, b"<html><body>Please sign in</body></html>")
            case "empty":
                self._send(200, b"")
            case _:
                raise ValueError(fault)

    def _drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.statsig.over.wait(0.5):
            self.wfile.write(b" ")

    def _body(self) -> dict[str, Any] | None:
        """Return the request's JSON; None where it is invalid, which for Statsig includes NaN."""
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        try:
            return dict(json.loads(raw or b"{}", parse_constant=_refuse))
        except ValueError:
            return None

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):  # the client is gone, or the stand-in has cut the connection
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Log nothing: `requests` has everything."""


def _refuse(constant: str) -> None:
    raise ValueError(constant)
