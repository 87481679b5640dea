"""A stand-in for an OpenAI server: real HTTP on a free port of this machine, with every answer scripted by the test.

    with serve() as server:
        server.script(status(500), stream("Hel", "lo", finish(), usage(3, 2), DONE))
        ... ask server.base_url ...
        assert server.requests[0].body["model"] == TEST_MODEL
        assert server.requests[1].gone.wait(1)      # the client closed the connection before the answer was complete

A stream is an iterable of steps: text (a chunk with that content), a dict (a whole chunk), bytes (sent unchanged),
`Pause`, a `Gate` that the test opens, or one of HANG, RESET and CUT. It may be endless (a generator).
"""

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lib.domain.models import CONTROL_MODEL, TEST_MODEL


class End(Enum):
    """A failure of the connection as a step of a reply."""

    HANG = "say nothing more until the client goes away"
    RESET = "reset the connection"
    CUT = "close the connection in the middle of the body"


HANG, RESET, CUT = End
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Pause:
    """A step that sends nothing for `seconds`."""

    seconds: float


class Gate:
    """A step that sends nothing until the test opens the gate or the client disconnects. Many replies may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        with self._lock:
            self._opened = True
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    async def wait(self) -> None:
        event = asyncio.Event()
        with self._lock:
            if self._opened:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()


Step = str | dict[str, Any] | bytes | Pause | Gate | End


@dataclass
class Reply:
    """The response to one request: steps `before` its head, the head, then the steps of its body. With `chunked` False
    the end of the connection is the end of the body, as in HTTP/1.0."""

    steps: Iterable[Step] = ()
    before: Iterable[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "text/event-stream"})
    chunked: bool = True


@dataclass
class Request:
    """One received request. `gone` is set if the client closes before the reply is `complete`; `at` is monotonic."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: int
    at: float = field(default_factory=time.monotonic)
    gone: threading.Event = field(default_factory=threading.Event)
    complete: threading.Event = field(default_factory=threading.Event)

    @property
    def messages(self) -> list[tuple[str, str]]:
        """The role and the text of each message."""
        return [(message["role"], message["content"]) for message in self.body["messages"]]


Script = Reply | Callable[[Request], Reply]


def chunk(delta: Mapping[str, Any] | None, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    """Return one chunk of a chat completion."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "choices": [choice], **more}


def finish(reason: str = "stop") -> dict[str, Any]:
    """Return the chunk with the finish reason of an answer."""
    return chunk({}, reason)


def usage(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    """Return the chunk without choices that ends a stream with `include_usage`."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "choices": [], "usage": counts}


def stream(*steps: Step, **more: Any) -> Reply:
    """Return a streamed answer of exactly these steps."""
    return Reply(steps, **more)


def whole(*steps: Step) -> Reply:
    """Return a streamed answer of these steps, with a regular end."""
    return stream(*steps, finish(), usage(10, 5), DONE)


def answer(text: str, *, pace: float = 0.0, model: str | None = None) -> Reply:
    """Return a complete answer, one word a chunk, `pace` seconds apart, with its usage."""
    words = [word + " " for word in text.split(" ")[:-1]] + text.split(" ")[-1:]
    named = {"model": model} if model else {}
    steps: list[Step] = [chunk({"role": "assistant", "content": "", "refusal": None}, **named)]
    for word in words:
        steps += [Pause(pace), chunk({"content": word}, **named)] if pace else [chunk({"content": word}, **named)]
    return Reply([*steps, finish(), usage(10, len(words)), DONE])


def status(code: int, error: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
    """Return an error answer. `error` is the value of "error" in its body, or the whole body if it is bytes."""
    body = error if isinstance(error, bytes) else json.dumps({"error": error or {"message": f"status {code}"}}).encode()
    return Reply([body], status=code, headers={"content-type": "application/json", **(headers or {})})


def page(body: str, content_type: str = "text/html") -> Reply:
    """Return a response with status 200 that is no stream."""
    return Reply([body.encode()], headers={"content-type": content_type})


def silence() -> Reply:
    """Return a reply that never begins, on a connection that stays open."""
    return Reply(before=[HANG])


def reset() -> Reply:
    """Return a reply that resets the connection once the question has been read."""
    return Reply(before=[RESET])


HELLO = answer("Hello from the stand-in.")


class Server:
    """A test's handle of a running stand-in."""

    def __init__(self) -> None:
        self.base_url = ""
        self.models = [CONTROL_MODEL, TEST_MODEL, "small-model", "large-model"]
        self.requests: list[Request] = []
        self.listings: list[Request] = []
        """Requests for the list of models, which operators' pages send in the background."""
        self.listing_status = 200
        """The status of every request for the list of models."""
        self.listing: Reply | None = None
        """The whole response to those requests, in place of a list of `models`."""
        self.shutdowns: dict[str, str] = {}
        self.contexts: dict[str, int] = {}
        self._script: list[Script] = []
        self._otherwise: Script = HELLO
        self._connections = 0

    def script(self, *replies: Script, otherwise: Script | None = None) -> None:
        """Set the responses to the next questions, in order, and to all after them (by default a healthy answer).

        A function gets the request and gives the reply.
        """
        self._script.extend(replies)
        self._otherwise = otherwise or self._otherwise

    def forget(self) -> None:
        """Delete the received requests and the script."""
        self.requests.clear()
        self.listings.clear()
        self._script.clear()
        self._otherwise = HELLO

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until the client closes it or a reply ends it."""
        self._connections += 1
        connection, request = self._connections, None
        try:
            while True:
                request = await _read(reader, connection)
                (self.listings if request.path.endswith("/models") else self.requests).append(request)
                await _send(self._reply(request), request, reader, writer)
                request.complete.set()
        except (ConnectionAbortedError, asyncio.CancelledError):
            pass  # a reply or the end of the server closed the connection
        except (ConnectionError, asyncio.IncompleteReadError):
            if request and not request.complete.is_set():
                request.gone.set()
        finally:
            writer.close()

    def _reply(self, request: Request) -> Reply:
        if request.path.endswith("/models"):
            if self.listing:
                return self.listing
            if self.listing_status != 200:
                return status(self.listing_status)
            listed = [
                {"id": name, "object": "model", "created": 1, "shutdown_date": self.shutdowns.get(name)}
                | ({"max_model_len": self.contexts[name]} if name in self.contexts else {})
                for name in self.models
            ]
            body = json.dumps({"object": "list", "data": listed}).encode()
            return Reply([body], headers={"content-type": "application/json"})
        script = self._script.pop(0) if self._script else self._otherwise
        return script(request) if callable(script) else script


async def _read(reader: asyncio.StreamReader, connection: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ", 2)
    fields = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, json.loads(body) if body else None, connection)


async def _send(reply: Reply, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for step in reply.before:
        await _step(step, reader, writer, chunked=False)
    headers = {**reply.headers, **({"transfer-encoding": "chunked"} if reply.chunked else {"connection": "close"})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {reply.status} Status\r\n{lines}\r\n".encode())
    for step in reply.steps:
        await _step(step, reader, writer, chunked=reply.chunked)
    if reply.chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    if not reply.chunked:
        request.complete.set()
        raise ConnectionAbortedError


async def _step(step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, chunked: bool) -> None:
    match step:
        case Pause(seconds):
            await _while_connected(reader, asyncio.sleep(seconds))
        case Gate():
            await _while_connected(reader, step.wait())
        case End.HANG:
            await _while_connected(reader, asyncio.Event().wait())
        case End.RESET:
            await writer.drain()
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise ConnectionAbortedError
        case End.CUT:
            await writer.drain()
            raise ConnectionAbortedError
        case _:
            data = _bytes(step)
            writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            await writer.drain()


def _bytes(step: Any) -> bytes:
    if isinstance(step, bytes):
        return step
    body = chunk({"content": step}) if isinstance(step, str) else step
    return b"data: " + json.dumps(body).encode() + b"\n\n"


async def _while_connected(reader: asyncio.StreamReader, waiting: Any) -> None:
    """Wait; raise ConnectionResetError if the client closes the connection meanwhile."""
    wait, left = asyncio.ensure_future(waiting), asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({wait, left}, return_when=asyncio.FIRST_COMPLETED)
        if left.done() and not left.result():
            raise ConnectionResetError
    finally:
        wait.cancel()
        left.cancel()
        await asyncio.gather(wait, left, return_exceptions=True)


@contextmanager
def serve(encrypted: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a stand-in on a thread of its own until the block ends; with `encrypted` it speaks HTTPS."""
    server, loop, stop = Server(), asyncio.new_event_loop(), asyncio.Event()
    ready = threading.Event()

    async def main() -> None:
        listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, limit=2**26, ssl=encrypted)
        scheme, port = "https" if encrypted else "http", listening.sockets[0].getsockname()[1]
        server.base_url = f"{scheme}://127.0.0.1:{port}/v1"
        ready.set()
        await stop.wait()
        listening.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), name="openai stand-in")
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
