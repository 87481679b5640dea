"""Answers of a model server over real HTTP: whole and odd ones, their usage, and answers side by side."""

import asyncio
import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from lib.domain.completion import Usage
from lib.domain.models import TEST_MODEL
from lib.domain.providers import Provider
from lib.models.catalogue import Catalogue
from lib.models.completion import Models
from lib.models.parameters import Parameters
from lib.models.stream import Stream
from tests.support.completions import CALM, KEY, MODEL, PATIENT, QUESTION, QUICK, ask, completion_of, read
from tests.support.openai_server import (
    CUT,
    DONE,
    HANG,
    RESET,
    Gate,
    Pause,
    Reply,
    Server,
    Step,
    answer,
    chunk,
    finish,
    status,
    stream,
    usage,
)
from tests.support.waiting import ENOUGH_S, until_async


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

    def test_the_request_has_the_question_and_nothing_else(self, server: Server) -> None:
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
    def test_any_bytes_from_a_server_are_a_sign_of_life(self, server: Server, sign: Any) -> None:
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

    def test_the_log_names_the_problem(self) -> None:
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
