"""The demo model server: a few models that answer over real HTTP on a loopback port, at the pace of real ones.

Owns the server's thread, its models and their pace. Knows nothing of Parley: clients use it with the OpenAI client like
any other model server. Answers wait in asyncio, so that many run at once.
"""

import asyncio
import random
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lib.demo import wire
from lib.demo.knowledge import README, Knowledge
from lib.demo.wire import DemoAnswer, Refused
from lib.domain.models import CONTROL_MODEL, TEST_MODEL


@dataclass(frozen=True, slots=True)
class Model:
    """A model's behaviour. `first_token_s` and `tokens_per_s` are the ends of the range that an answer's pace is in."""

    thorough: bool
    first_token_s: tuple[float, float]
    tokens_per_s: tuple[float, float]


QUICK = Model(thorough=False, first_token_s=(0.15, 0.4), tokens_per_s=(90, 120))
THOROUGH = Model(thorough=True, first_token_s=(0.5, 0.9), tokens_per_s=(60, 80))
MODELS: Mapping[str, Model] = {CONTROL_MODEL: QUICK, TEST_MODEL: THOROUGH}


@dataclass(frozen=True, slots=True)
class Pace:
    """The waits of one answer."""

    first_token_s: float
    tokens_per_s: float

    def due_s(self, number: int) -> float:
        """Return when the token of this number is sent, in seconds after the question came.

        >>> Pace(first_token_s=0.5, tokens_per_s=100).due_s(20)
        0.7
        """
        return self.first_token_s + number / self.tokens_per_s


class Demo:
    """The server on a thread of its own. `speed` multiplies the models' pace; infinity: no waiting at all.

    `running` counts unfinished answers.
    """

    def __init__(self, speed: float = 1.0, readme: Path = README) -> None:
        self.running = 0
        self._speed = speed
        self._knowledge = Knowledge(readme)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._server = uvicorn.Server(
            uvicorn.Config(self._app(), log_config=None, access_log=False, lifespan="off", ws="none")
        )
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="demo", daemon=True)

    @property
    def base_url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def start(self) -> Self:
        """Start serving. The port is open already, so earlier requests wait and none is refused."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving; unfinished answers break off with an error. Safe to call again."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        self._socket.close()

    def _app(self) -> Starlette:
        routes = [
            Route("/v1/models", self._models),
            Route("/v1/models/{model}", self._model),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]
        handlers: dict[Any, Any] = {Refused: _refused, HTTPException: _not_found}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [wire.described(name) for name in MODELS]})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["model"]
        wire.check_model(name, MODELS)
        return JSONResponse(wire.described(name))

    async def _chat(self, request: Request) -> Response:
        body = wire.checked(await request.body(), MODELS)
        answer, pace = self._answer(body), _pace(body)
        if body.get("stream"):
            usage = bool((body.get("stream_options") or {}).get("include_usage"))
            return StreamingResponse(self._stream(answer, pace, usage), media_type="text/event-stream")
        with self._counted():
            await self._wait(time.monotonic() + pace.due_s(len(answer.pieces)) / self._speed)
        return JSONResponse(wire.whole(answer))

    def _answer(self, body: Mapping[str, Any]) -> DemoAnswer:
        thorough = MODELS[body["model"]].thorough
        text = self._knowledge.answer(wire.question(body), thorough=thorough, seed=body.get("seed"))
        pieces, finish_reason = wire.limited(text, body)
        name, now = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        return DemoAnswer(name, body["model"], now, pieces, finish_reason, wire.prompt_tokens(body))

    async def _stream(self, answer: DemoAnswer, pace: Pace, include_usage: bool) -> AsyncIterator[str]:
        """Yield the answer's frames when they are due; late ones at once, so that the total time is kept."""
        began = time.monotonic()
        with self._counted():
            try:
                for number, frame in enumerate(wire.frames(answer, include_usage)):
                    await self._wait(began + pace.due_s(number) / self._speed)
                    yield frame
            except Refused as refused:
                yield wire.sse({"error": refused.error})

    async def _wait(self, until: float) -> None:
        """Wait for a moment of the monotonic clock; raises `Refused` when the server ends."""
        while (remaining := until - time.monotonic()) > 0 and not self._server.should_exit:
            await asyncio.sleep(min(remaining, 0.1))
        if self._server.should_exit:
            raise Refused(503, "The demo server is ending.")

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


@contextmanager
def serve(speed: float = 1.0, readme: Path = README) -> Iterator[str]:
    """Run the demo server for the duration of the block, and yield its base URL."""
    demo = Demo(speed, readme).start()
    try:
        yield demo.base_url
    finally:
        demo.stop()


def _pace(body: Mapping[str, Any]) -> Pace:
    """Return a pace within the model's ranges, the same for the same question and seed."""
    chance = random.Random(f"{body['model']} {body.get('seed')} {wire.question(body)}")
    model = MODELS[body["model"]]
    return Pace(chance.uniform(*model.first_token_s), chance.uniform(*model.tokens_per_s))


async def _refused(request: Request, refused: Refused) -> Response:
    return JSONResponse({"error": refused.error}, refused.status)


async def _not_found(request: Request, missing: HTTPException) -> Response:
    request_line = f"{request.method} {request.url.path}"
    if missing.status_code == 405:
        hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
        refused = Refused(405, f"Not allowed to {request_line}. {hint}", code="method_not_supported")
    else:
        refused = Refused(missing.status_code, f"Invalid URL ({request_line})", code="unknown_url")
    return JSONResponse({"error": refused.error}, refused.status, missing.headers)
