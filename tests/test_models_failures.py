"""Failures of a model server over real HTTP: broken, empty, silent and endless answers, repeats, and a bad set-up."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from lib.models.completion import Timeouts
from lib.models.faults import Fault
from lib.models.parameters import Parameters
from tests.support.completions import KEY, PATIENT, QUICK, ask, completion_of
from tests.support.openai_server import (
    CUT,
    DONE,
    HANG,
    RESET,
    Pause,
    Reply,
    Server,
    Step,
    answer,
    chunk,
    finish,
    page,
    reset,
    silence,
    status,
    stream,
    usage,
)
from tests.support.waiting import ENOUGH_S, slowness


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
    def test_the_text_so_far_is_kept_as_interrupted(self, server: Server, how: str) -> None:
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


class TestSilence:
    def test_before_the_head_is_reported_and_not_repeated(self, server: Server) -> None:
        completion = completion_of(server, silence(), timeouts=QUICK)
        assert (completion.finish_reason, completion.error) == ("error", "APITimeoutError")
        assert completion.message == "The model did not answer in time. Please try again."
        assert completion.response_time >= 0.5
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
        assert completion.response_time < 2 * slowness()

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
    def test_a_question_that_a_server_repeats_is_in_no_log(self, words: str) -> None:
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
