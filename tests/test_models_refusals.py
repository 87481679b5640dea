"""Parameters that a model server refuses, and answers that are stopped, over real HTTP."""

import asyncio
from typing import Any, ClassVar

import pytest

from lib.domain.completion import Completion
from lib.domain.providers import Provider
from lib.models.completion import Models
from lib.models.parameters import Parameters
from tests.support.completions import CALM, KEY, MODEL, QUESTION, ask, completion_of, read
from tests.support.openai_server import (
    HANG,
    Reply,
    Request,
    Server,
    answer,
    chunk,
    silence,
    status,
    stream,
)
from tests.support.waiting import ENOUGH_S, until_async


def refusing(*names: str, param: bool = True) -> Any:
    """Return a function that answers with status 400 while the request has one of these parameters."""

    def reply(request: Request) -> Reply:
        for name in names:
            if name in request.body:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                return status(
                    400, {"message": message, "param": name if param else None, "code": "unsupported_parameter"}
                )
        return answer("Hi")

    return reply


class TestRefusedParameters:
    OPTIONS: ClassVar = {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 5,
        "seed": 1,
        "stop": "END",
        "reasoning_effort": "low",
    }

    @pytest.mark.parametrize("param", [True, False])
    def test_are_dropped_one_by_one(self, server: Server, param: bool) -> None:
        server.script(otherwise=refusing("top_p", "temperature", "stream_options", param=param))
        completion = ask(server, Parameters("thinker", None, self.OPTIONS)).completion
        assert (completion.text, completion.error, completion.retries) == ("Hi", None, 0)
        assert completion.dropped_parameters == ("temperature", "top_p", "stream_options")
        assert len(server.requests) == 4
        options = {"max_tokens": 5, "seed": 1, "stop": "END", "reasoning_effort": "low"}
        assert server.requests[-1].body == {"model": "thinker", "messages": QUESTION, "stream": True, **options}

    def test_are_remembered_for_that_model_only(self, server: Server) -> None:
        server.script(otherwise=refusing("temperature"))
        completion = ask(server, Parameters("thinker", None, self.OPTIONS), times=2).completion
        assert completion.dropped_parameters == ("temperature",)
        assert len(server.requests) == 3

        async def other() -> None:
            models = Models(Provider("openai", server.base_url, KEY))
            await read(models, Parameters("thinker", None, {"temperature": 1}))
            before = len(server.requests)
            await read(models, Parameters("thinker-2", None, {"temperature": 1}))
            assert len(server.requests) == before + 2
            await models.aclose()

        asyncio.run(other())

    def test_are_dropped_once_each(self, server: Server) -> None:
        stubborn = status(400, {"message": "temperature is wrong", "param": "temperature"})
        completion = completion_of(
            server, stubborn, stubborn, stubborn, parameters=Parameters("thinker", None, {"temperature": 1})
        )
        assert (completion.error, len(server.requests)) == ("BadRequestError", 2)
        assert completion.dropped_parameters == ("temperature",)

    @pytest.mark.parametrize(
        "error",
        [
            {"message": "seed: invalid messages", "param": "messages"},
            {"message": "messages[0].content is wrong", "param": "messages[0].content"},
            {"message": "model is wrong", "param": "model"},
            {"message": "the stopper is seedy"},
            {"message": "unknown", "param": "top_k"},
        ],
    )
    def test_what_was_not_a_parameter_of_ours_is_reported(self, server: Server, error: dict[str, Any]) -> None:
        completion = completion_of(server, status(400, error), parameters=Parameters("large-model", None, self.OPTIONS))
        assert (completion.error, completion.dropped_parameters) == ("BadRequestError", ())
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        ("code", "body"),
        [
            (400, b'{"detail": "Unknown field seed"}'),
            (400, b'{"error": "seed: extra inputs are not permitted"}'),
            (400, b"Unrecognized request argument supplied: seed"),
            (422, b'{"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}'),
            (400, b'{"object": "error", "message": "seed is not supported", "param": null, "code": 40001}'),
        ],
    )
    def test_are_recognised_in_other_servers_words(self, server: Server, code: int, body: bytes) -> None:
        completion = completion_of(server, status(code, body), parameters=Parameters("m", None, self.OPTIONS))
        assert (completion.text[:5], completion.dropped_parameters) == ("Hello", ("seed",))

    def test_drops_a_refused_model_and_a_busy_server_come_together(self, server: Server) -> None:
        server.script(status(404), status(500), status(400, {"message": "no", "param": "seed"}), answer("Hi"))
        answering = ask(server, Parameters("no-model", None, {"seed": 1}), fallback="thinker")
        completion = answering.completion
        assert (completion.text, completion.retries, completion.dropped_parameters) == ("Hi", 1, ("seed",))
        assert completion.served_model == "thinker" and "HTTP 400" in answering.cause


class TestStopping:
    def stopped(self, server: Server, *steps: Any, wait_for: int, how: str) -> Completion:
        """Ask, read `wait_for` pieces, stop by `how`, and return the completion."""
        server.script(stream(*steps) if steps else silence())

        async def run() -> Completion:
            models = Models(Provider("openai", server.base_url, KEY), CALM)
            answering, seen = models.stream(QUESTION, MODEL), []
            enough = asyncio.Event()

            async def follow() -> None:
                async for piece in answering:
                    seen.append(piece)
                    if len(seen) == wait_for:
                        enough.set()
                        if how == "aclose":
                            break
                await answering.aclose()

            task = asyncio.create_task(follow())
            await until_async(lambda: enough.is_set() or (wait_for == 0 and server.requests))
            if how == "cancel":
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await asyncio.to_thread(server.requests[0].gone.wait, ENOUGH_S)
            await models.aclose()
            return answering.completion

        return asyncio.run(run())

    def test_keeps_the_text_so_far_and_closes_the_connection(self, server: Server) -> None:
        for how in ("cancel", "aclose"):
            server.requests.clear()
            completion = self.stopped(server, "Half an", " answer", HANG, wait_for=2, how=how)
            assert (completion.text, completion.finish_reason) == ("Half an answer", "stopped")
            assert completion.error is completion.message is None
            assert completion.usage.source == "estimated" and completion.cost_usd

    def test_before_the_first_token_leaves_nothing(self, server: Server) -> None:
        for steps in ((), (HANG,), (chunk({"role": "assistant"}), HANG)):
            server.requests.clear()
            completion = self.stopped(server, *steps, wait_for=0, how="cancel")
            assert (completion.text, completion.finish_reason, completion.error) == ("", "stopped", None)
            assert completion.usage.source == "none" and completion.time_to_first_token is None

    def test_between_two_attempts_asks_no_more(self, server: Server) -> None:
        server.script(otherwise=status(429, headers={"retry-after": "5"}))

        async def run() -> Completion:
            models = Models(Provider("openai", server.base_url, KEY))
            answering = models.stream(QUESTION, MODEL)
            task = asyncio.ensure_future(anext(aiter(answering)))
            await until_async(lambda: server.requests and server.requests[0].complete.is_set())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await models.aclose()
            return answering.completion

        completion = asyncio.run(run())
        assert (completion.finish_reason, len(server.requests)) == ("stopped", 1)

    def test_a_stream_that_was_never_read_is_stopped_and_asked_nothing(self, server: Server) -> None:
        async def run() -> Completion:
            models = Models(Provider("openai", server.base_url, KEY))
            answering = models.stream(QUESTION, MODEL)
            await answering.aclose()
            await models.aclose()
            return answering.completion

        assert asyncio.run(run()).finish_reason == "stopped"
        assert not server.requests
