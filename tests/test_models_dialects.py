"""Every row of the table of dialects, by an error as that server sends it, and the answer that follows."""

import asyncio
import json
from typing import Any

import pytest

from lib.domain.completion import Completion
from lib.domain.providers import Provider
from lib.models.completion import Models, Timeouts
from lib.models.dialects import DIALECTS, Meaning, meaning_of
from lib.models.echoes import own_words
from lib.models.faults import Fault
from lib.models.parameters import Parameters
from tests.support.dialect_errors import EXAMPLES, Example, error, google, vllm
from tests.support.openai_server import DONE, Reply, Request, Server, answer, finish, status, stream

BOTH_WAYS: dict[tuple[str, int], Meaning] = {
    ("gemini quota", 0): "busy", ("gemini quota", 1): "quota", ("gemini quota", 2): "quota",
}  # fmt: skip
"""The meanings of a row whose limits end soon (busy) or not (quota)."""
WORDS = {
    "bad_key": "The assistant is not set up correctly.", "quota": "The assistant's quota is used up.",
    "no_model": "The model is not available.", "context_full": "The conversation is too long for the model.",
    "busy": "The model is busy. Please try again", "loading": "The model is still being loaded.",
    "filtered": "The model's content filter stopped this question.",
}  # fmt: skip
ALL = [(row, at) for row in DIALECTS for at in range(len(EXAMPLES[row.name]))]
HELLO = [{"role": "user", "content": "Hello there, what is the answer?"}]
SYSTEM = [{"role": "system", "content": "Be kind."}, *HELLO]


@pytest.fixture
def server(model: Server) -> Server:
    model.forget()
    return model


def refusal(example: Example) -> Reply:
    code, body = example
    return Reply(
        [body if isinstance(body, bytes) else json.dumps(body).encode()],
        status=code, headers={"content-type": "application/json"},
    )  # fmt: skip


PATIENCE_S = 5.0
"""Shorter than any delay that these servers ask for before a repeat."""


def ask(
    server: Server,
    messages: list[dict[str, str]],
    *replies: Any,
    fallback: str | None = None,
    times: int = 1,
    options: dict[str, Any] | None = None,
    first_token: float = PATIENCE_S,
) -> Completion:
    server.script(*replies)

    async def run() -> Completion:
        models = Models(
            Provider("openai", server.base_url, "a-key-of-ours"), Timeouts(first_token=first_token, backoff=0.01)
        )
        try:
            for _ in range(times):
                stream = models.stream(messages, Parameters("asked", None, options or {}), fallback)
                async for _ in stream:
                    pass
            return stream.completion
        finally:
            await models.aclose()

    return asyncio.run(run())


def test_every_row_has_its_example_and_its_source() -> None:
    assert {row.name for row in DIALECTS} == EXAMPLES.keys()
    assert len({row.name for row in DIALECTS}) == len(DIALECTS)
    assert all(len(row.source) > 10 for row in DIALECTS)


@pytest.mark.parametrize(("row", "at"), ALL, ids=lambda value: getattr(value, "name", str(value)))
def test_a_row_matches_that_servers_error(row: Any, at: int) -> None:
    code, body = EXAMPLES[row.name][at]
    error_body = body.get("error", body) if isinstance(body, dict) else body
    fault = Fault.reported(error_body.decode() if isinstance(error_body, bytes) else error_body, "Error", code)
    assert row.matches(code, fault.codes, own_words(fault.text))
    assert meaning_of(code, fault.codes, own_words(fault.text)) == row.meaning


@pytest.mark.parametrize(("row", "at"), ALL, ids=lambda value: getattr(value, "name", str(value)))
def test_a_refusal_is_understood(row: Any, at: int, server: Server) -> None:
    """Check over HTTP the remedy where there is one, and the tester's text where there is none."""
    meaning = BOTH_WAYS.get((row.name, at), row.meaning)
    reply = refusal(EXAMPLES[row.name][at])
    if meaning == "no_model":
        done = ask(server, HELLO, reply, answer("From the default."), fallback="other")
        assert (done.text, server.requests[-1].body["model"]) == ("From the default.", "other")
    elif meaning == "system_role":
        done = ask(server, SYSTEM, reply, answer("Hi"))
        assert (done.text, done.dropped_parameters) == ("Hi", ("system_prompt",))
    elif meaning == "parameter":
        done = ask(server, HELLO, reply, answer("Hi"), options={"temperature": 0.5})
        assert (done.text, done.dropped_parameters) == ("Hi", ("temperature",))
    else:
        done = ask(server, HELLO, *[reply] * 300, first_token=2 if meaning == "loading" else PATIENCE_S)
        assert done.text == "" and (done.message or "").startswith(WORDS[meaning])
        assert (done.finish_reason, done.error is None) == (
            ("content_filter", True) if meaning == "filtered" else ("error", False)
        )
        soon = Fault.reported(EXAMPLES[row.name][at][1]).retry_after is None
        assert (len(server.requests) > 1) == (meaning in ("busy", "loading") and soon)


def test_the_same_words_inside_a_stream_mean_the_same(server: Server) -> None:
    """Some servers send status 200 before they find the error."""
    for name, message in (("openai key", "bad_key"), ("openai quota", "quota")):
        _, body = EXAMPLES[name][0]
        assert (ask(server, HELLO, stream(body)).message or "").startswith(WORDS[message])
    done = ask(server, HELLO, stream(error("no", code="model_not_found")), answer("Hi"), fallback="other")
    assert (done.text, done.served_model) == ("Hi", "other")
    assert (ask(server, HELLO, stream(error("no", code="invalid_api_key"))).error) == "AuthenticationError"


def test_a_system_prompt_goes_in_front_of_the_first_question_from_then_on(server: Server) -> None:
    def reply(request: Request) -> Reply:
        refused = any(message["role"] == "system" for message in request.body["messages"])
        return status(400, {"message": "System role not supported"}) if refused else answer("Hi")

    server.script(otherwise=reply)
    done = ask(server, SYSTEM, times=2)
    assert (done.text, done.dropped_parameters) == ("Hi", ("system_prompt",))
    assert len(server.requests) == 3
    assert server.requests[-1].body["messages"] == [{"role": "user", "content": f"Be kind.\n\n{HELLO[0]['content']}"}]


TOO_LARGE = (
    "'max_tokens' or 'max_completion_tokens' is too large: 3000. This model's maximum context length is 4096 tokens "
    "and your request has 2000 input tokens (3000 > 4096 - 2000)."
)


def test_a_days_limit_without_a_delay_is_a_quota(server: Server) -> None:
    reply = refusal((429, {"message": "Too many tokens per day, please wait before trying again."}))
    assert (ask(server, HELLO, reply).message or "").startswith(WORDS["quota"]) and len(server.requests) == 1


def test_a_failed_dependency_is_asked_again(server: Server) -> None:
    reply = refusal((424, {"error": "Request failed during generation", "error_type": "generation"}))
    assert ask(server, HELLO, reply, answer("Hi")).retries == 1


def test_a_templates_own_words_count(server: Server) -> None:
    reply = status(500, {"message": "not callable:\n{{ raise_exception('System role not supported') }}"})
    assert ask(server, SYSTEM, reply, answer("Hi")).dropped_parameters == ("system_prompt",)


REFUSED: list[tuple[str, int, Any]] = [
    ("presence_penalty", 400, {"code": "invalid", "error": "Argument not supported on this model: presencePenalty"}),
    ("presence_penalty", 400, google(400, "Penalty is not enabled for models/x", "INVALID_ARGUMENT")),
    ("reasoning_effort", 400, {"error": "Model x does not support parameter reasoningEffort."}),
    ("reasoning_effort", 400, google(400, "Thinking level LOW is not supported for this model.", "INVALID_ARGUMENT")),
    ("reasoning_effort", 400, google(400, "Budget 0 is invalid. This model only works in thinking mode.", "INVALID")),
    ("reasoning_effort", 400, error('"llama3" does not support thinking')),
    ("reasoning_effort", 400, error("invalid reasoning value: 'max' (must be \"high\", \"medium\" or \"low\")")),
    ("reasoning_effort", 400, error("Unsupported value", param="reasoning.effort")),
    ("reasoning_effort", 400, error('[{"code": "invalid_value", "path": ["reasoning_effort"], "message": "Invalid"}]')),
    ("top_p", 400, error("`top_p` is deprecated for this model.")),
    ("top_p", 400, error("For this model top_p is no longer supported.")),
    ("top_p", 400, error("<400> InternalError.Algo.InvalidParameter: The value of TopP should be in (0, 1)")),
    ("temperature", 400, error("Temperature should be in [0.0, 2.0)")),
    ("max_tokens", 400, google(400, "It has a maxOutputTokens value of 9 but the range is from 1 to 5.", "INVALID")),
    ("seed", 400, error("Invalid value", param="body.seed")),
    ("seed", 400, error("Invalid value", param="/seed")),
    ("seed", 400, {"errors": [{"message": "it is not allowed", "path": ["seed"]}]}),
    ("seed", 400, google(400, "Bad", "INVALID_ARGUMENT", {"fieldViolations": [{"field": "seed"}]})),
    ("seed", 501, error("seed is not implemented")),
    ("verbosity", 500, error("Completions.create() got an unexpected keyword argument 'verbosity'")),
    ("verbosity", 200, {"error": "verbosity is not supported"}),
]  # fmt: skip
OPTIONS = {"seed": 7, "temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.5, "verbosity": "low",
           "reasoning_effort": "max", "max_tokens": 9}  # fmt: skip


@pytest.mark.parametrize(("name", "code", "body"), REFUSED)
def test_a_parameter_is_found_however_the_server_spells_it(name: str, code: int, body: Any, server: Server) -> None:
    done = ask(server, HELLO, refusal((code, body)), answer("Hi"), options=OPTIONS)
    assert (done.text, done.dropped_parameters, done.retries) == ("Hi", (name,), 0)


def test_the_other_limit_in_camel_case_is_a_name_too(server: Server) -> None:
    reply = refusal((400, error("this model is not supported MaxTokens, please use MaxCompletionTokens")))
    assert ask(server, HELLO, reply, answer("Hi"), options={"max_tokens": 5}).renamed_parameters == ("max_tokens",)


@pytest.mark.parametrize(
    "message",
    ['Invalid request body: {"model": "m", "temperature": 0.5, "verbosity": "low", "messages": []} is malformed',
     "1 validation error: {'loc': ('body',), 'input': {'temperature': 0.5, 'seed': 7}, 'ctx': {'e': ValueError('x')}}"],
)  # fmt: skip
def test_a_repeated_request_names_no_parameter(message: str, server: Server) -> None:
    done = ask(server, HELLO, refusal((400, error(message))), options=OPTIONS)
    assert (done.text, done.dropped_parameters, len(server.requests)) == ("", (), 1)


def test_the_models_name_as_the_parameter_is_a_model_that_is_not_there(server: Server) -> None:
    reply = refusal((400, error("Bad value", param="model", code="invalid_value")))
    assert ask(server, HELLO, reply, answer("Hi"), fallback="other").served_model == "other"


class TestAFullContext:
    TURNS = [
        {"role": role, "content": f"{role} {turn}"} for turn in range(8) for role in ("user", "assistant")
    ] + HELLO  # fmt: skip

    def taking(self, most: int, message: str = "maximum context length is 10 tokens") -> Any:
        def reply(request: Request) -> Reply:
            if len(request.body["messages"]) > most:
                return status(400, {"message": message, "code": "context_length_exceeded"})
            return answer("Hi")

        return reply

    def test_is_asked_again_with_the_newer_half_of_the_history(self, server: Server) -> None:
        server.script(otherwise=self.taking(5))
        assert ask(server, [SYSTEM[0], *self.TURNS]).text == "Hi"
        sent = [message["content"] for message in server.requests[-1].body["messages"]]
        assert sent[0] == "Be kind." and sent[-1] == HELLO[0]["content"]
        assert sent[1:-1] == [message["content"] for message in self.TURNS[-len(sent[1:]) : -1]]

    def test_is_reported_when_only_the_question_is_left(self, server: Server) -> None:
        server.script(otherwise=self.taking(0))
        done = ask(server, self.TURNS)
        assert done.message == "The conversation is too long for the model. Please start a new one."
        assert len(server.requests[-1].body["messages"]) == 1

    def test_takes_the_limit_from_this_one_request_only(self, server: Server) -> None:
        def reply(request: Request) -> Reply:
            size = len(request.body["messages"][0]["content"])
            if "max_tokens" in request.body and size > 100:
                return refusal((400, vllm(TOO_LARGE)))
            return answer("Hi")

        server.script(otherwise=reply)

        async def run() -> list[Completion]:
            models, done = Models(Provider("openai", server.base_url)), []
            for size in (10, 200, 10):
                asked = [{"role": "user", "content": "x" * size}]
                stream = models.stream(asked, Parameters("m", None, {"max_tokens": 3000}))
                async for _ in stream:
                    pass
                done.append(stream.completion)
            await models.aclose()
            return done

        assert [one.dropped_parameters for one in asyncio.run(run())] == [(), ("max_tokens",), ()]
        assert ["max_tokens" in request.body for request in server.requests] == [True, True, False, True]


class TestALimitOfTwoNames:
    def test_is_sent_under_the_other_one_from_then_on(self, server: Server) -> None:
        for asked, wanted in (("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")):
            server.forget()

            def reply(request: Request, asked: str = asked, wanted: str = wanted) -> Reply:
                message = f"Unsupported parameter: '{asked}' is not supported with this model. Use '{wanted}' instead."
                return status(400, {"message": message, "param": None}) if asked in request.body else answer("Hi")

            server.script(otherwise=reply)
            done = ask(server, HELLO, times=2, options={asked: 5, "seed": 1})
            assert (done.text, done.dropped_parameters, done.renamed_parameters) == ("Hi", (), (asked,))
            assert len(server.requests) == 3 and server.requests[-1].body[wanted] == 5

    def test_is_left_out_where_neither_is_taken(self, server: Server) -> None:
        def reply(request: Request) -> Reply:
            for name in ("max_tokens", "max_completion_tokens"):
                if name in request.body:
                    return status(400, {"message": f"Unknown field {name}"})
            return answer("Hi")

        server.script(otherwise=reply)
        done = ask(server, HELLO, options={"max_tokens": 5})
        assert (done.text, done.dropped_parameters, done.renamed_parameters) == ("Hi", ("max_tokens",), ())

    def test_a_value_that_is_refused_says_nothing_of_other_values(self, server: Server) -> None:
        def reply(request: Request) -> Reply:
            if request.body.get("temperature", 1) > 1:
                return status(400, {"message": "temperature: must be at most 1", "param": "temperature"})
            return answer("Hi")

        server.script(otherwise=reply)

        async def run() -> list[tuple[str, ...]]:
            models, dropped = Models(Provider("openai", server.base_url)), []
            for value in (1.5, 0.5, 1.5):
                stream = models.stream(HELLO, Parameters("m", None, {"temperature": value}))
                async for _ in stream:
                    pass
                dropped.append(stream.completion.dropped_parameters)
            await models.aclose()
            return dropped

        assert asyncio.run(run()) == [("temperature",), (), ("temperature",)]
        assert len(server.requests) == 4


def test_a_filter_in_the_middle_ends_the_answer(server: Server) -> None:
    done = ask(server, HELLO, stream("So far", error("no", code="content_filter"), finish(), DONE))
    assert (done.text, done.finish_reason, done.error) == ("So far", "content_filter", None)
