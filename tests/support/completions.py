"""Questions to a model server over real HTTP, and their completions."""

import asyncio
from dataclasses import replace
from typing import Any

from lib.domain.completion import Completion
from lib.domain.models import TEST_MODEL
from lib.domain.providers import Provider
from lib.models.completion import Models, Timeouts
from lib.models.parameters import Parameters
from lib.models.stream import Stream
from tests.support.openai_server import (
    Server,
)
from tests.support.waiting import ENOUGH_S

KEY = "sk-test-1234567890abcdef"
QUICK = Timeouts(connect=2, first_token=0.5, between_tokens=0.5, total=9, after_finish=0.3, backoff=0.01)
PATIENT = replace(QUICK, first_token=ENOUGH_S, between_tokens=ENOUGH_S, total=2 * ENOUGH_S)
"""Timeouts for answers that a test expects to arrive: they may take as long as a busy machine needs."""
CALM = Timeouts(backoff=0.01)
MODEL = Parameters(TEST_MODEL)
QUESTION = [{"role": "user", "content": "What is the answer?"}]


async def read(models: Models, parameters: Parameters = MODEL, fallback: str | None = None, **more: Any) -> Stream:
    """Ask, read to the end, and check that the pieces make up the completion's text."""
    answering = models.stream(more.get("messages", QUESTION), parameters, fallback)
    pieces = [piece async for piece in answering]
    assert all(pieces)
    assert "".join(pieces) == answering.completion.text
    return answering


def ask(
    server: Server, parameters: Parameters = MODEL, *, times: int = 1, timeouts: Timeouts = CALM, **more: Any
) -> Any:
    """Ask one question, or several in a row to the same models; return the last one's stream."""
    max_chars = more.pop("max_chars", 100_000)

    async def run() -> Stream:
        models = Models(Provider("openai", server.base_url, KEY), timeouts, max_chars)
        try:
            for _ in range(times - 1):
                await read(models, parameters, **more)
            return await read(models, parameters, **more)
        finally:
            await models.aclose()

    return asyncio.run(run())


def completion_of(server: Server, *replies: Any, **more: Any) -> Completion:
    """Ask a question that gets these replies; return its completion."""
    server.script(*replies)
    completion: Completion = ask(server, **more).completion
    return completion
