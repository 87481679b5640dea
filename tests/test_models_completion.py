"""Answers of a model server over real HTTP: whole, odd, broken and late ones."""

import asyncio
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from lib.domain.completion import Completion, Usage
from lib.domain.models import TEST_MODEL
from lib.domain.providers import Provider
from lib.models.catalogue import Catalogue
from lib.models.completion import Models, Timeouts
from lib.models.faults import Fault
from lib.models.parameters import Parameters
from lib.models.stream import Stream
from tests.support.openai_server import (
    CUT,
    DONE,
    HANG,
    RESET,
    Gate,
    Pause,
    Reply,
    Request,
    Server,
    Step,
    answer,
    chunk,
    finish,
    page,
    reset,
    serve,
    silence,
    status,
    stream,
    usage,
)
from tests.support.waiting import ENOUGH_S, until_async

KEY = "sk-test-1234567890abcdef"
QUICK = Timeouts(connect=2, first_token=0.5, between_tokens=0.5, total=9, after_finish=0.3, backoff=0.01)
PATIENT = replace(QUICK, first_token=ENOUGH_S, between_tokens=ENOUGH_S, total=2 * ENOUGH_S)
"""Timeouts of answers that come: they may take as long as a busy machine needs."""
CALM = Timeouts(backoff=0.01)
MODEL = Parameters(TEST_MODEL)
QUESTION = [{"role": "user", "content": "What is the answer?"}]


@pytest.fixture(scope="module")
def module_server() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture
def server(module_server: Server) -> Server:
    """The stand-in, with nothing left over from the test before."""
    module_server.requests.clear()
    module_server._script.clear()
    module_server.script(otherwise=answer("Hello from the stand-in."))
    return module_server


async def read(models: Models, parameters: Parameters = MODEL, fallback: str | None = None, **more: Any) -> Stream:
    """Ask, and read to the end. What was shown piece by piece is what the completion says."""
    answering = models.stream(more.get("messages", QUESTION), parameters, fallback)
    pieces = [piece async for piece in answering]
    assert all(pieces)
    assert "".join(pieces) == answering.completion.text
    return answering


def ask(
    server: Server, parameters: Parameters = MODEL, *, times: int = 1, timeouts: Timeouts = CALM, **more: Any
) -> Any:
    """One question, or several in a row to the same models; the last one's stream."""
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
    """The facts of a question that gets these replies."""
    server.script(*replies)
    completion: Completion = ask(server, **more).completion
    return completion


class TestWholeAnswers:
    def test_arrive_piece_by_piece_with_all_their_facts(self, server: Server) -> None:
        completion = completion_of(server, answer("one two three", model=f"{TEST_MODEL}-2026-09-22"))
        assert completion.text == "one two three"
        assert completion.finish_reason == "stop"
        assert completion.usage == Usage(10, 3, 13, source="server")
        assert completion.served_model == f"{TEST_MODEL}-2026-09-22"
        assert completion.cost_usd == pytest.approx((10 * 2 + 3 * 10) / 1e6)
        assert completion.error is completion.message is completion.parameter_error is None
        assert (completion.retries, completion.dropped_parameters) == (0, ())

    def test_a_piece_is_there_before_the_next_one_is_sent(self, server: Server) -> None:
        gate = Gate()
        server.script(stream("first", gate, "second", finish(), DONE))

        async def run() -> list[str]:
            models, seen = Models(Provider("openai", server.base_url, KEY), CALM), []
            async for piece in models.stream(QUESTION, MODEL):
                seen.append(piece)
                gate.open()
            await models.aclose()
            return seen

        assert asyncio.run(run()) == ["first", "second"]

    def test_times_are_from_the_question_to_the_first_and_the_last_word(self, server: Server) -> None:
        completion = completion_of(
            server, stream(chunk({"role": "assistant"}), Pause(0.1), "a", Pause(0.1), "b", finish(), DONE)
        )
        assert completion.time_to_first_token is not None
        assert 0.1 <= completion.time_to_first_token <= completion.response_time
        assert completion.response_time >= 0.2

    def test_the_request_says_what_was_asked_and_nothing_else(self, server: Server) -> None:
        ask(server, Parameters("large-model", None, {"temperature": 0.5, "seed": 7, "stop": ["END"]}))
        (request,) = server.requests
        assert request.body == {
            "model": "large-model", "messages": QUESTION, "stream": True, "stream_options": {"include_usage": True},
            "temperature": 0.5, "seed": 7, "stop": ["END"],
        }  # fmt: skip
        assert request.headers["authorization"] == f"Bearer {KEY}"

    def test_connections_are_kept_between_answers(self, server: Server) -> None:
        ask(server, times=3)
        assert len({request.connection for request in server.requests}) == 1

    def test_parameter_errors_travel_along(self, server: Server) -> None:
        assert ask(server, Parameters("large-model", error="top_k")).completion.parameter_error == "top_k"

    def test_a_server_without_a_key_is_asked_all_the_same(self, server: Server) -> None:
        async def run() -> Stream:
            models = Models(Provider("openai", server.base_url, None))
            try:
                return await read(models)
            finally:
                await models.aclose()

        assert asyncio.run(run()).completion.finish_reason == "stop"

    def test_a_proxy_in_the_environment_is_not_asked_for_this_machine(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
        assert ask(server).completion.finish_reason == "stop"


class TestOddButWhole:
    @pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
    def test_the_servers_finish_reason_is_kept_and_explained(self, server: Server, reason: str) -> None:
        completion = completion_of(server, stream("Some text", finish(reason), usage(5, 2), DONE))
        assert (completion.text, completion.finish_reason, completion.error) == ("Some text", reason, None)
        assert completion.message

    @pytest.mark.parametrize("reason", ["content_filter", "tool_calls"])
    def test_it_is_kept_without_text_too(self, server: Server, reason: str) -> None:
        completion = completion_of(server, stream(finish(reason), usage(5, 2), DONE))
        assert (completion.text, completion.finish_reason, completion.error) == ("", reason, None)

    def test_an_unknown_finish_reason_is_a_stop(self, server: Server) -> None:
        assert completion_of(server, stream("Hi", finish("eos_token"), DONE)).finish_reason == "stop"

    def test_a_refusal_is_shown(self, server: Server) -> None:
        refusing = stream(chunk({"role": "assistant", "content": None, "refusal": "I can"}),
                          chunk({"refusal": "not."}), finish(), DONE)  # fmt: skip
        completion = completion_of(server, refusing)
        assert (completion.text, completion.finish_reason, completion.error) == ("I cannot.", "refusal", None)

    def test_reasoning_is_not_part_of_the_answer(self, server: Server) -> None:
        thinking = stream(chunk({"reasoning_content": "hm", "content": None}), chunk({"reasoning": "hm"}), "42",
                          finish(), usage(3, 9, completion_tokens_details={"reasoning_tokens": 8},
                                          prompt_tokens_details={"cached_tokens": 2}), DONE)  # fmt: skip
        completion = completion_of(server, thinking)
        assert completion.text == "42"
        assert (completion.usage.reasoning_tokens, completion.usage.cached_tokens) == (8, 2)

    @pytest.mark.parametrize(
        "sign",
        [chunk({"reasoning_content": "hm"}), b": keep-alive\n\n", b"data:\n\n", b"event: ping\ndata: \n\n",
         chunk({"role": "assistant", "content": ""}), b"\n"],
    )  # fmt: skip
    def test_whatever_a_server_sends_is_a_sign_of_life(self, server: Server, sign: Any) -> None:
        alive = [sign, Pause(0.8)] * 4
        patient = replace(QUICK, first_token=3, between_tokens=3)
        assert completion_of(server, stream(*alive, "42", finish(), DONE), timeouts=patient).text == "42"

    def test_a_server_that_only_says_that_it_lives_is_given_up(self, server: Server) -> None:
        alive: Iterable[Step] = itertools.chain.from_iterable(itertools.repeat((b": keep-alive\n\n", Pause(0.05))))
        completion = completion_of(server, Reply(alive), timeouts=replace(QUICK, keep_alive=0.4))
        assert (completion.finish_reason, completion.error) == ("error", "APITimeoutError")
        assert server.requests[0].gone.wait(ENOUGH_S)

    def test_a_model_that_thinks_without_end_is_given_up(self, server: Server) -> None:
        thinking: Iterable[Step] = itertools.chain.from_iterable(
            itertools.repeat((chunk({"reasoning_content": "hm"}), Pause(0.05)))
        )
        completion = completion_of(server, Reply(thinking), timeouts=replace(QUICK, total=0.5))
        assert (completion.finish_reason, completion.error) == ("error", "APITimeoutError")

    def test_tool_calls_are_named(self, server: Server) -> None:
        call = chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}]})
        endings: list[list[Step]] = [[finish("tool_calls"), DONE], [DONE], [finish("stop"), DONE]]
        for ending in endings:
            completion = completion_of(server, stream(call, *ending))
            assert (completion.finish_reason, completion.error) == ("tool_calls", None)

    def test_a_null_finish_reason_and_a_clean_end_are_a_stop(self, server: Server) -> None:
        assert completion_of(server, stream("Hi", DONE)).finish_reason == "stop"

    def test_a_finish_reason_without_done_is_enough(self, server: Server) -> None:
        for last in ((), (CUT,), (RESET,), (b"data: {broken\n\n",), ({"error": {"message": "late"}},)):
            completion = completion_of(server, stream("Hi", finish(), *last))
            assert (completion.text, completion.finish_reason, completion.error) == ("Hi", "stop", None)

    def test_a_server_that_never_hangs_up_does_not_hold_up_the_end(self, server: Server) -> None:
        for last in ((HANG,), (DONE, HANG)):
            completion = completion_of(server, stream("Hi", finish(), *last), timeouts=PATIENT)
            assert completion.finish_reason == "stop"
            assert server.requests[-1].gone.wait(ENOUGH_S)

    def test_odd_chunks_are_read_over(self, server: Server) -> None:
        odd: list[Any] = [
            {"choices": []}, {"choices": None}, {}, chunk(None), chunk({}), chunk({"content": None}),
            {"choices": [None]}, {"choices": [{"index": 0}]}, chunk({"content": 7}),
            b"data: null\n\n", b"data: []\n\n", b": comment\n\n", b"event: ping\nid: 3\nretry: 5\n\n", b"\n\n\n",
            {"choices": [], "usage": None}, {"error": None, "choices": []},
        ]  # fmt: skip
        completion = completion_of(server, stream(*odd, "a", *odd, "b", *odd, finish(), *odd, usage(1, 2), DONE))
        assert (completion.text, completion.finish_reason, completion.error) == ("ab", "stop", None)
        assert completion.usage == Usage(1, 2, 3, source="server")

    def test_events_are_found_however_the_bytes_are_cut(self, server: Server) -> None:
        whole = b"".join(
            b"data:" + json.dumps(chunk({"content": text}), ensure_ascii=False).encode() + b"\r\n\r\n"
            for text in ("Grüße, ", "你好 ", "👋")
        ) + b"data: [DONE]"  # fmt: skip
        bytewise = [whole[i : i + 1] for i in range(len(whole))]
        assert completion_of(server, stream(*bytewise)).text == "Grüße, 你好 👋"
        assert completion_of(server, stream(whole)).text == "Grüße, 你好 👋"

    def test_blank_text_before_the_first_word_waits_for_it(self, server: Server) -> None:
        server.script(stream("\n", " ", "\n", Pause(0.05), "    code", finish(), DONE))
        completion = ask(server).completion
        assert completion.text == "\n \n    code"
        assert completion.time_to_first_token > 0.05


class TestUsage:
    def test_is_estimated_where_the_server_gives_none(self, server: Server) -> None:
        completion = completion_of(server, stream("x" * 40, finish(), DONE))
        assert completion.usage.source == "estimated"
        assert completion.usage.completion_tokens == 10
        assert completion.usage.prompt_tokens == 4 + 5  # "What is the answer?" and the framing of a message
        assert completion.cost_usd == pytest.approx((9 * 2 + 10 * 10) / 1e6)

    def test_is_unknown_and_not_zero_without_any_text(self, server: Server) -> None:
        completion = completion_of(server, status(400))
        assert completion.usage == Usage(source="none")
        assert completion.cost_usd is None

    def test_is_the_servers_where_it_comes_with_every_chunk(self, server: Server) -> None:
        steps = [chunk({"content": "x"}, usage={"prompt_tokens": 5, "completion_tokens": n}) for n in (1, 2, 3)]
        assert completion_of(server, stream(*steps, finish(), DONE)).usage == Usage(5, 3, 8, source="server")

    def test_has_no_cost_for_a_model_without_price(self, server: Server) -> None:
        assert completion_of(server, answer("Hi", model="llama3"), parameters=Parameters("llama3")).cost_usd is None


class TestBrokenStreams:
    BREAKS: ClassVar[dict[str, tuple[tuple[Step, ...], str]]] = {
        "reset": ((RESET,), "APIConnectionError"),
        "cut": ((CUT,), "APIConnectionError"),
        "truncated": ((), "APIConnectionError"),
        "half an event": ((b'data: {"choices": [{"del',), "APIConnectionError"),
        "broken JSON": ((b'data: {"choices": [}\n\n', "more", DONE), "JSONDecodeError"),
        "not UTF-8": ((b'data: {"choices": [{"delta": {"content": "\xff\xfe"}}]}\n\n', DONE), "UnicodeDecodeError"),
        "half characters": (
            (b'data: {"choices": [{"delta": {"content": "\xed\xa0\x80"}}]}\n\n',),
            "UnicodeDecodeError",
        ),
        "error object": (({"error": {"message": "no", "type": "odd"}}, DONE), "APIError"),
        "error of a status": (
            ({"error": {"message": "no", "type": "server_error"}},),
            "InternalServerError",
        ),
        "error text": (({"error": "out of memory"},), "APIError"),
        "old vLLM": (({"object": "error", "message": "no"},), "APIError"),
        "error reason": ((finish("error"), DONE), "APIError"),
        "stall": ((HANG,), "APITimeoutError"),
    }

    @pytest.mark.parametrize("how", BREAKS)
    def test_what_had_arrived_is_kept_as_interrupted(self, server: Server, how: str) -> None:
        steps, error = self.BREAKS[how]
        patient = replace(QUICK, first_token=3, between_tokens=3)
        completion = completion_of(server, stream("Half an", " answer", *steps), timeouts=patient)
        assert (completion.text, completion.finish_reason, completion.error) == ("Half an answer", "interrupted", error)
        assert completion.message and "try again" in completion.message
        assert completion.usage.source == "estimated"
        assert completion.time_to_first_token is not None
        assert len(server.requests) == 1  # never repeated once something was shown

    @pytest.mark.parametrize("how", ["broken JSON", "not UTF-8", "error object"])
    def test_before_the_first_token_it_is_an_error(self, server: Server, how: str) -> None:
        steps, error = self.BREAKS[how]
        completion = completion_of(server, stream(*steps))
        assert (completion.text, completion.finish_reason, completion.error) == ("", "error", error)
        assert completion.message and completion.usage.source == "none"

    def test_a_body_that_ends_with_its_connection_is_truncated_without_done(self, server: Server) -> None:
        assert completion_of(server, stream("Hi", chunked=False)).finish_reason == "interrupted"
        assert completion_of(server, stream("Hi", DONE, chunked=False)).finish_reason == "stop"

    def test_a_line_without_end_is_not_collected_for_ever(self, server: Server, monkeypatch: Any) -> None:
        monkeypatch.setattr("lib.models.sse.MAX_EVENT_BYTES", 100_000)
        completion = completion_of(server, Reply(itertools.repeat(b"data: " + b"x" * 9_999)))
        assert (completion.finish_reason, completion.error) == ("error", "EventTooLong")
        assert server.requests[0].gone.wait(ENOUGH_S)


class TestNothingCameBack:
    REPLIES: ClassVar = {
        "HTML": page("<html><body>Sign in to the network</body></html>"),
        "JSON": page('{"ok": true}', "application/json"),
        "empty": page("", "text/event-stream"),
        "only a role": stream(chunk({"role": "assistant", "content": ""}), finish(), DONE),
        "only a role, cut off": stream(chunk({"role": "assistant"})),
        "only done": stream(DONE),
        "whitespace": stream(" ", "\n\n", "\t", finish(), usage(3, 3), DONE),
        "only usage": stream(usage(3, 0), DONE),
        "only reasoning": stream(chunk({"reasoning_content": "hm"}), finish(), DONE),
    }

    @pytest.mark.parametrize("what", REPLIES)
    def test_an_empty_answer_is_reported(self, server: Server, what: str) -> None:
        completion = completion_of(server, self.REPLIES[what])
        assert (completion.text, completion.finish_reason, completion.error) == ("", "error", "NoAnswer")
        assert completion.message == "No answer came back. Please try again."
        assert completion.time_to_first_token is None
        assert len(server.requests) == 1

    def test_the_operator_reads_what_came_instead(self, server: Server) -> None:
        server.script(page("<html></html>"))
        assert ask(server).cause == "NoAnswer (HTTP 200): no event in text/html"


class TestSilence:
    def test_before_the_head_is_reported_in_time_and_not_repeated(self, server: Server) -> None:
        completion = completion_of(server, silence(), timeouts=QUICK)
        assert (completion.finish_reason, completion.error) == ("error", "APITimeoutError")
        assert completion.message == "The model did not answer in time. Please try again."
        assert 0.5 <= completion.response_time < 2
        assert len(server.requests) == 1 and server.requests[0].gone.wait(ENOUGH_S)

    def test_after_the_head_or_a_role_is_the_same(self, server: Server) -> None:
        for steps in ((HANG,), (chunk({"role": "assistant", "content": ""}), HANG)):
            completion = completion_of(server, stream(*steps), timeouts=QUICK)
            assert (completion.error, completion.retries) == ("APITimeoutError", 0)
            assert completion.response_time >= 0.5
            assert server.requests[-1].gone.wait(ENOUGH_S)

    @pytest.mark.alone
    def test_repeats_do_not_make_it_longer(self, server: Server) -> None:
        completion = completion_of(server, Reply(before=[Pause(0.3), RESET]), silence(), timeouts=QUICK)
        assert (completion.error, completion.retries) == ("APITimeoutError", 1)
        assert completion.response_time < 2

    def test_a_repeat_that_would_come_too_late_is_not_waited_for(self, server: Server) -> None:
        patient = replace(QUICK, first_token=30, between_tokens=30, total=30)
        completion = completion_of(server, status(429, headers={"retry-after": "31"}), timeouts=patient)
        assert (completion.error, completion.retries, len(server.requests)) == ("RateLimitError", 0, 1)

    def test_a_repeat_has_all_the_patience_of_a_first_request(self, server: Server) -> None:
        late = stream(Pause(0.25), "Hi", finish(), DONE)
        assert completion_of(server, stream(finish(), RESET), late, timeouts=PATIENT).text == "Hi"

    def test_a_slow_answer_that_goes_on_is_not_a_silent_one(self, server: Server) -> None:
        slow = [step for word in "abcdefg" for step in (word, Pause(0.5))]
        patient = replace(QUICK, first_token=3, between_tokens=3)
        assert completion_of(server, stream(*slow, finish(), DONE), timeouts=patient).text == "abcdefg"


class TestEndless:
    def test_answers_are_cut_at_the_cap_and_the_connection_closed(self, server: Server) -> None:
        completion = completion_of(server, Reply(itertools.repeat("ten chars ")), max_chars=1_005)
        assert (completion.finish_reason, len(completion.text), completion.error) == ("length", 1_005, None)
        assert completion.message and completion.usage.source == "estimated"
        assert server.requests[0].gone.wait(ENOUGH_S)

    def test_a_million_characters_at_once_are_cut(self, server: Server) -> None:
        completion = completion_of(server, stream("x" * 1_000_000, finish(), DONE))
        assert (completion.finish_reason, len(completion.text)) == ("length", 100_000)

    def test_blank_text_without_end_is_no_answer(self, server: Server) -> None:
        completion = completion_of(server, Reply(itertools.repeat(" " * 100)), max_chars=5_000)
        assert (completion.finish_reason, completion.error) == ("error", "NoAnswer")
        assert server.requests[0].gone.wait(ENOUGH_S)

    def test_drops_are_cut_when_their_time_is_over(self, server: Server) -> None:
        drip: Iterable[Step] = itertools.chain.from_iterable(
            zip(itertools.repeat("x"), itertools.repeat(Pause(0.05)), strict=True)
        )
        completion = completion_of(server, Reply(drip), timeouts=Timeouts(total=0.4))
        assert (completion.finish_reason, completion.error) == ("length", None)
        assert completion.response_time >= 0.4
        assert server.requests[0].gone.wait(ENOUGH_S)


class TestRepeats:
    TRANSIENT: ClassVar = {
        "reset": (reset(), "APIConnectionError"),
        "reset after the head": (stream(RESET), "APIConnectionError"),
        "cut after a role": (stream(chunk({"role": "assistant"}), CUT), "APIConnectionError"),
        "429": (status(429, {"message": "slow down", "code": "rate_limit_exceeded"}), "RateLimitError"),
        "500": (status(500), "InternalServerError"),
        "502 with HTML": (status(502, b"<html>Bad gateway</html>"), "InternalServerError"),
        "503": (status(503, headers={"retry-after": "0"}), "InternalServerError"),
        "529": (status(529), "InternalServerError"),
    }

    @pytest.mark.parametrize("what", TRANSIENT)
    def test_twice_then_well_recovers_by_itself(self, server: Server, what: str) -> None:
        reply, _ = self.TRANSIENT[what]
        completion = completion_of(server, reply, reply, answer("Well again."))
        assert (completion.text, completion.finish_reason, completion.error) == ("Well again.", "stop", None)
        assert (completion.retries, len(server.requests)) == (2, 3)
        assert completion.message is None

    @pytest.mark.parametrize("what", TRANSIENT)
    def test_a_third_failure_is_reported(self, server: Server, what: str) -> None:
        reply, error = self.TRANSIENT[what]
        completion = completion_of(server, reply, reply, reply)
        assert (completion.finish_reason, completion.error, completion.retries) == ("error", error, 2)
        assert completion.message and "try again" in completion.message
        assert len(server.requests) == 3

    def test_refused_connections_are_tried_three_times(self) -> None:
        nobody = Server()
        nobody.base_url = "http://127.0.0.1:9/v1"
        answering = ask(nobody)
        assert (answering.completion.error, answering.completion.retries) == ("APIConnectionError", 2)
        assert answering.completion.message == "The model cannot be reached. Please try again."
        assert "APIConnectionError" in answering.cause

    def test_a_short_retry_after_is_obeyed(self, server: Server) -> None:
        for headers in ({"retry-after": "0.2"}, {"retry-after-ms": "200"}):
            completion = completion_of(server, status(429, headers=headers), answer("Hi"))
            assert (completion.text, completion.retries) == ("Hi", 1)
            assert completion.response_time >= 0.2

    def test_a_long_retry_after_is_reported_at_once(self, server: Server) -> None:
        completion = completion_of(server, status(429, headers={"retry-after": "11"}))
        assert (completion.finish_reason, completion.error) == ("error", "RateLimitError")
        assert completion.message == "The model is busy. Please try again in 11 seconds."
        assert len(server.requests) == 1 and completion.response_time < 11

    @pytest.mark.parametrize(
        "error",
        [
            {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"},
            {"message": "no", "type": "insufficient_quota", "code": None},
            {"message": "You exceeded your current quota, please check your plan and billing details."},
        ],
    )
    def test_an_empty_quota_is_asked_once(self, server: Server, error: dict[str, Any]) -> None:
        completion = completion_of(server, status(429, error))
        assert (completion.error, len(server.requests)) == ("RateLimitError", 1)
        assert completion.message == "The assistant's quota is used up. Please tell the person who invited you."

    def test_no_tester_waits_for_a_server_that_fails_slowly(self) -> None:
        slow = Fault("APIConnectionError")
        assert slow.pause(0, 9.0, 9.0, 0.5) is None
        assert slow.pause(0, 5.0, 5.0, 0.5) == 0.5
        assert slow.pause(1, 10.6, 5.0, 0.5) is None


class TestSetUp:
    @pytest.mark.parametrize(("code", "error"), [(401, "AuthenticationError"), (403, "PermissionDeniedError")])
    def test_a_wrong_key_is_the_operators_matter(self, server: Server, code: int, error: str) -> None:
        server.script(status(code, {"message": f"Incorrect API key provided: {KEY}. Bearer {KEY}, sk-other-98765."}))
        answering = ask(server)
        completion = answering.completion
        assert (completion.finish_reason, completion.error) == ("error", error)
        assert completion.message == "The assistant is not set up correctly. Please tell the person who invited you."
        assert answering.cause.startswith(f"{error} (HTTP {code}): Incorrect API key provided: [secret]")
        assert "sk-" not in answering.cause and len(server.requests) == 1

    def test_neither_keys_nor_questions_that_a_server_echoes_reach_the_operators_line(self, server: Server) -> None:
        server.script(
            status(400, {"message": "cannot say 'What is the answer?' to sk-proj-abc***xyz\nat all" + "!" * 999})
        )
        cause = ask(server).cause
        assert "answer?" not in cause and "sk-" not in cause
        assert "\n" not in cause and len(cause) <= 120

    @pytest.mark.parametrize(
        "words",
        [
            "Cannot answer: why does my knee hurt so", "Input why%20does%20my%20knee%20hurt", "bad: why does my kn...",
            r"{\"messages\": [\"why does my knee hurt so\"]}", "why&#32;does&#32;my knee hurt",
            "it's 'my knee' of 'so'", r"\u0077hy does my \u006bnee hurt", "hurt so: refused",
            "'pain' pain PAIN in pain.",
        ],
    )  # fmt: skip
    def test_what_a_server_repeats_of_a_question_is_in_no_log(self, words: str) -> None:
        fault = Fault("BadRequestError", status=400, codes=("bad_value", "my knee"), text=f"{words} is not valid")
        fault.scrub([], ["Why does my knee hurt so?", "Pain"])
        assert fault.line.startswith("BadRequestError (HTTP 400, bad_value): ") and len(fault.line) < 130
        assert not {"knee", "kn", "pain", "hurt"} & set(re.findall(r"[a-z]+", fault.line.lower()))

    def test_an_unknown_model_is_answered_by_the_default(self, server: Server) -> None:
        missing = {"message": "The model `no-model` does not exist", "code": "model_not_found"}
        for reply in (status(404, missing), status(403, missing), status(404, {"message": "not found"})):
            completion = completion_of(
                server, reply, stream("Hi", finish(), DONE), parameters=Parameters("no-model"), fallback="large-model"
            )
            assert (completion.text, completion.served_model, completion.error) == ("Hi", "large-model", None)
            assert [request.body["model"] for request in server.requests[-2:]] == ["no-model", "large-model"]

    def test_where_no_other_model_answers_it_is_reported(self, server: Server) -> None:
        for fallback, requests in ((None, 1), ("no-model", 1), ("no-model-8", 2)):
            server.requests.clear()
            completion = completion_of(
                server, *[status(404)] * requests, parameters=Parameters("no-model"), fallback=fallback
            )
            assert (completion.finish_reason, completion.error) == ("error", "NotFoundError")
            assert completion.message == "The model is not available. Please tell the person who invited you."
            assert len(server.requests) == requests

    def test_a_conversation_that_is_too_long_is_reported(self, server: Server) -> None:
        long = {
            "message": "maximum context length is 8192 tokens",
            "code": "context_length_exceeded",
            "param": "messages",
        }
        assert "start a new one" in (completion_of(server, status(400, long)).message or "")


def refusing(*names: str, param: bool = True) -> Any:
    """A model that answers 400 as long as one of these parameters is sent."""

    def reply(request: Request) -> Reply:
        for name in names:
            if name in request.body:
                said = f"Unsupported parameter: '{name}' is not supported with this model."
                return status(400, {"message": said, "param": name if param else None, "code": "unsupported_parameter"})
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
        kept = {"max_tokens": 5, "seed": 1, "stop": "END", "reasoning_effort": "low"}
        assert server.requests[-1].body == {"model": "thinker", "messages": QUESTION, "stream": True, **kept}

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
        """Ask, read so many pieces, stop."""
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

    def test_keeps_what_had_arrived_and_closes_the_connection(self, server: Server) -> None:
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


class TestUnsafeText:
    def test_is_cleaned_on_its_way_out(self, server: Server) -> None:
        messages = [
            {"role": "system", "content": "be\x00 kind"},
            {"role": "user", "content": "a\ud800b\ud83d\ude00\x1b[0m"},
        ]
        ask(server, messages=messages)
        assert [message["content"] for message in server.requests[0].body["messages"]] == ["be kind", "a\ufffdb😀[0m"]

    def test_is_cleaned_on_its_way_in(self, server: Server) -> None:
        completion = completion_of(server, stream("a\x00b", "c\ud800d", "\x1b[0m", "\udfff", "\x00", finish(), DONE))
        assert completion.text == "abc\ufffdd[0m\ufffd"
        assert completion.text.encode()

    def test_a_character_in_two_halves_becomes_whole(self, server: Server) -> None:
        assert completion_of(server, stream("so \ud83d", "\ude00", "!", finish(), DONE)).text == "so 😀!"
        assert completion_of(server, stream("so", "\ud83d", finish(), DONE)).text == "so"

    def test_right_to_left_dollars_shortcodes_and_html_pass_as_they_are(self, server: Server) -> None:
        odd = "שלום \u202eabc\u202c $x$ :smile: <script>alert(1)</script>\t\r\n\u2028"
        completion = completion_of(
            server, stream("-", odd, finish(), DONE), messages=[{"role": "user", "content": odd}]
        )
        assert completion.text == "-" + odd
        assert server.requests[0].body["messages"][0]["content"] == odd


class TestListingModels:
    def catalogue(self, server: Server) -> Catalogue:
        async def run() -> Catalogue:
            models = Models(Provider("openai", server.base_url, KEY), QUICK)
            try:
                return await models.catalogue()
            finally:
                await models.aclose()

        return asyncio.run(run())

    def test_gives_their_names(self, server: Server) -> None:
        assert [entry.id for entry in self.catalogue(server).entries] == server.models

    def test_the_log_says_what_is_wrong(self) -> None:
        nobody = Server()
        nobody.base_url = "http://127.0.0.1:9/v1"
        fault = self.catalogue(nobody).fault
        assert fault is not None and "APIConnectionError" in str(fault)


def test_many_answers_run_side_by_side(server: Server) -> None:
    gate = Gate()
    server.script(otherwise=lambda request: stream("one two ", gate, "three four", finish(), usage(1, 4), DONE))

    async def run() -> list[Stream]:
        models = Models(Provider("openai", server.base_url, KEY))
        reading = asyncio.gather(*(read(models) for _ in range(50)))
        await until_async(lambda: len(server.requests) == 50)
        gate.open()
        streams = await reading
        await models.aclose()
        return streams

    assert {answering.completion.text for answering in asyncio.run(run())} == {"one two three four"}


def test_models_can_be_made_before_their_loop_runs(server: Server) -> None:
    models = Models(Provider("openai", server.base_url, KEY))
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(read(models)).completion.finish_reason == "stop"
    loop.run_until_complete(models.aclose())
    loop.close()
