"""Streams as gateways send them, over real HTTP: the end of answers, text, thinking, and cost."""

import asyncio
import itertools
import json
import time
from typing import Any

import pytest

from lib.domain.completion import Completion, Usage
from lib.domain.pieces import Anew
from lib.domain.providers import Provider
from lib.models.completion import Models, Timeouts
from lib.models.parameters import Parameters
from tests.support.openai_server import (
    CUT,
    DONE,
    HANG,
    RESET,
    Pause,
    Reply,
    Server,
    answer,
    chunk,
    finish,
    page,
    stream,
    usage,
)
from tests.support.waiting import ENOUGH_S

QUICK = Timeouts(connect=2, first_token=5, between_tokens=5, after_finish=2, total=30, backoff=0.01)
BUSY = b'{"code": 503, "message": "slot busy"}'
QUESTION = [{"role": "user", "content": "What is the answer?"}]
JSON = "application/json"


@pytest.fixture
def server(model: Server) -> Server:
    model.forget()
    return model


def ask(server: Server, *replies: Reply, times: int = 1, timeouts: Timeouts = QUICK) -> tuple[Completion, list[str]]:
    """Ask this many times; return the last answer with its pieces."""
    server.script(*replies)

    async def run() -> tuple[Completion, list[str]]:
        models = Models(Provider("openai", server.base_url), timeouts)
        try:
            for _ in range(times):
                asked = models.stream(QUESTION, Parameters("m"))
                pieces = [piece async for piece in asked]
            return asked.completion, pieces
        finally:
            await models.aclose()

    return asyncio.run(run())


def text_chunk(text: str, reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    return chunk({"content": text}, reason, **more)


class TestTheEnd:
    @pytest.mark.parametrize("reason", ["stop", "STOP", "null", "", "eos"])
    def test_is_not_the_first_finish_reason(self, server: Server, reason: str) -> None:
        words = [step for word in "abcdef" for step in (text_chunk(word, reason), Pause(0.2))]
        for last in ((DONE,), ()):
            done, _ = ask(server, stream(*words, *last, finish()))
            assert (done.text, done.finish_reason, done.error) == ("abcdef", "stop", None)
            assert done.response_time >= 1.0

    def test_comes_when_nothing_follows_the_last_word(self, server: Server) -> None:
        began = time.monotonic()
        done, _ = ask(server, stream(text_chunk("a"), Pause(0.4), text_chunk("b"), Pause(0.4), text_chunk("c"), HANG))
        assert (done.text, done.finish_reason, done.error) == ("abc", "stop", None)
        assert 0.8 <= done.response_time <= time.monotonic() - began - QUICK.after_finish
        assert server.requests[0].gone.wait(ENOUGH_S)

    def test_is_not_an_earlier_finish_reason_where_the_stream_breaks(self, server: Server) -> None:
        for last, error in (
            (RESET, "APIConnectionError"),
            ({"error": {"message": "no", "code": 502}}, "InternalServerError"),
        ):
            done, _ = ask(server, stream(text_chunk("a"), text_chunk("b"), last))
            assert (done.text, done.finish_reason, done.error) == ("ab", "interrupted", error)

    def test_has_the_last_reason_that_says_something(self, server: Server) -> None:
        for first, last, expected in (("stop", "MAX_TOKENS", "length"), ("length", "stop", "length")):
            done, _ = ask(server, stream(text_chunk("a", first), text_chunk("b", None), finish(last), DONE))
            assert done.finish_reason == expected

    @pytest.mark.parametrize(
        ("reason", "expected"),
        [("FinishReason.MAX_TOKENS", "length"), ("model_context_window_exceeded", "length"), ("max-tokens", "length"),
         ("ERROR_LIMIT", "length"), ("content_filter: PROHIBITED_CONTENT", "content_filter"),
         ("content-filter", "content_filter"), ("guardrail_intervened", "content_filter"),
         ("ERROR_TOXIC", "content_filter"), ("end_turn", "stop"), ("COMPLETE", "stop"), ("FinishReason.STOP", "stop")],
    )  # fmt: skip
    def test_has_its_reason_in_the_words_of_every_server(self, server: Server, reason: str, expected: str) -> None:
        done, _ = ask(server, stream("Some text", finish(reason), DONE))
        assert (done.text, done.finish_reason, done.error) == ("Some text", expected, None)


class TestOddFrames:
    @pytest.mark.parametrize(
        "frame", [b"data: heartbeat\n\n", b'event: ping\ndata: {"type": "ping"}\n\n', b"data: keep-alive\n\n",
                  b"event: ping\ndata: ping\n\n", b"data: true\n\n"],
    )  # fmt: skip
    def test_of_plain_words_are_heartbeats(self, server: Server, frame: bytes) -> None:
        done, _ = ask(server, stream(frame, "a", frame, "b", frame, finish(), frame, DONE))
        assert (done.text, done.finish_reason, done.error) == ("ab", "stop", None)

    def test_of_plain_words_alone_are_the_operators_cause(self, server: Server) -> None:
        server.script(stream(b"data: Internal Server Error\n\n"))

        async def run() -> str | None:
            models = Models(Provider("openai", server.base_url), QUICK)
            asked = models.stream(QUESTION, Parameters("m"))
            assert [piece async for piece in asked] == []
            await models.aclose()
            return asked.cause

        assert asyncio.run(run()) == "NoAnswer (HTTP 200): the stream had no answer: Internal Server Error"

    def test_carry_no_answer_and_break_none(self, server: Server) -> None:
        odd: list[Any] = [b"data:\n\n", b"data: \n\n", b"event: ping\ndata: \n\n", b": hi\n\n", b"data\n\n",
                          chunk(None), {"choices": [{"delta": {"content": None}}]}]  # fmt: skip
        done, _ = ask(server, stream(*odd, "a", *odd, "b", *odd, finish(), DONE))
        assert (done.text, done.finish_reason, done.error) == ("ab", "stop", None)

    def test_a_byte_order_mark_and_choices_without_index(self, server: Server) -> None:
        first = b'\xef\xbb\xbfdata: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
        assert ask(server, stream(first, finish(), DONE))[0].text == "Hi"

    @pytest.mark.parametrize(
        "frame",
        [b"error: " + BUSY + b"\n\n", b"event: error\ndata: " + BUSY + b"\n\n",
         b'event: error\ndata: {"error": ' + BUSY + b"}\n\n", b'data: {"error": ' + BUSY + b"}\n\n",
         b'{"error": ' + BUSY + b"}\n\n", b'data: [{"error": ' + BUSY + b"}]\n\n",
         b'data: {"error": {"code": "503", "message": "slot busy"}}\n\n',
         b'data: {"choices": [{"error": ' + BUSY + b', "finish_reason": "error"}]}\n\n'],
    )  # fmt: skip
    def test_an_error_is_read_wherever_it_stands(self, server: Server, frame: bytes) -> None:
        done, _ = ask(server, stream("Half", frame))
        assert (done.finish_reason, done.error, done.text) == ("interrupted", "InternalServerError", "Half")
        done, _ = ask(server, stream(frame), answer("Well again."))
        assert (done.text, done.retries) == ("Well again.", 1)

    def test_an_error_without_shape_is_an_error(self, server: Server) -> None:
        for frame in (b"event: error\ndata: out of memory\n\n", b"event: error\n\n", b"error: boom\n\n"):
            done, _ = ask(server, stream("Half", frame))
            assert (done.finish_reason, done.error) == ("interrupted", "APIError")

    @pytest.mark.parametrize(
        ("body", "words"),
        [('{"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}', "The assistant's quota"),
         ('{"code": "invalid_api_key", "message": "no", "request_id": "r"}', "The assistant is not set up"),
         ('{"code": "model_not_found", "message": "no"}', "The model is not available")],
    )  # fmt: skip
    def test_a_body_that_is_an_error_by_its_code_alone_is_one(self, server: Server, body: str, words: str) -> None:
        done, _ = ask(server, page(body, JSON))
        assert done.finish_reason == "error" and (done.message or "").startswith(words)


class TestWholeBodies:
    BODY = (
        '{\n "object": "chat.completion", "model": "m-1", "choices": [{"index": 0, "message": {"role": "assistant",'
        '\n "content": "A whole answer."}, "finish_reason": "stop"}],\n "usage": {"prompt_tokens": 9,'
        ' "completion_tokens": 6}}'
    )

    @pytest.mark.parametrize("kind", [JSON, "text/event-stream", "text/plain"])
    def test_are_answers(self, server: Server, kind: str) -> None:
        done, pieces = ask(server, page(self.BODY, kind))
        assert (done.text, done.finish_reason, done.served_model) == ("A whole answer.", "stop", "m-1")
        assert done.usage == Usage(9, 6, 15, source="server") and pieces == ["A whole answer."]

    def test_lines_of_json_are_chunks(self, server: Server) -> None:
        lines = '{"choices": [{"delta": {"content": "a"}}]}\n{"choices": [{"text": "b", "finish_reason": "stop"}]}\n'
        assert ask(server, page(lines, "application/x-ndjson"))[0].text == "ab"

    @pytest.mark.parametrize(
        "body",
        ['{"error": {"message": "overloaded", "type": "overloaded", "code": 429}}',
         '[{"error": {"message": "overloaded", "code": 429, "status": "RESOURCE_EXHAUSTED"}}]',
         '{"code": 429, "message": "overloaded"}', '{"error": "overloaded", "code": 429}',
         '{\n "error": {"message": "overloaded", "code": "rate_limit_exceeded"}\n}'],
    )  # fmt: skip
    def test_errors_have_the_status_that_they_name(self, server: Server, body: str) -> None:
        done, _ = ask(server, *[page(body, JSON)] * 3)
        assert (done.finish_reason, done.error, done.retries) == ("error", "RateLimitError", 2)
        assert done.message == "The model is busy. Please try again in a moment."

    def test_another_body_is_no_answer(self, server: Server) -> None:
        assert ask(server, page('{"ok": true}', JSON))[0].error == "NoAnswer"
        assert ask(server, page('{"detail": "Not Found"}', JSON))[0].error == "APIError"


def of(index: int | None, delta: Any = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a chunk with a piece of the choice of this index."""
    return {"choices": [{"index": index, "delta": {"content": delta} if isinstance(delta, str) else delta or {},
                         "finish_reason": reason, **more}]}  # fmt: skip


def together(*chunks: dict[str, Any]) -> dict[str, Any]:
    return {"choices": [choice for one in chunks for choice in one["choices"]]}


class TestSeveralChoices:
    @pytest.mark.parametrize(
        "steps",
        [
            [of(0, "It "), of(1, "Other "), of(0, "is."), of(1, "words."), of(1, {}, "length"), of(0, {}, "stop")],
            [of(1, "Other "), of(0, "It "), of(1, "words."), of(1, {}, "length"), of(0, "is."), of(0, {}, "stop")],
            [together(of(1, "Other "), of(0, "It ")), together(of(0, "is.", "stop"), of(1, "words.", "length"))],
            [of(0, "It "), of(0, "is."), of(0, {}, "stop"), of(1, "Other "), of(1, "words."), of(1, {}, "length")],
            [of(0, "It "), of(0, "is."), of(0, {}, "stop"), of(1, "Other words.", "length")],
            [of(0, "It "), of(1, {"tool_calls": [{"index": 0}]}, "tool_calls"), of(0, "is."), of(0, {}, "stop"),
             of(1, {"refusal": "I cannot."})],
            [of(0, "It "), of(1, {"reasoning_content": "Hm."}), of(0, "is."), of(1, None, None, error="no"),
             of(2, {"reasoning": "So."}), of(0, {}, "stop"), of(2, {}, "content_filter")],
            [of(index, text) for text in ("It ", "is.") for index in range(10)]
            + [of(index, {}, "length" if index else "stop") for index in range(10)],
            [of(0, "It "), of(1, "Other "), of(0, "is."), of(0, {}, "stop"), of(1, {}, "content_filter")],
            [together(of(None, "It "), of(None, "Other ")), of(None, "is.", "stop")],
        ],
    )  # fmt: skip
    def test_the_first_is_the_answer_and_the_others_are_not(self, server: Server, steps: list[Any]) -> None:
        done, _ = ask(server, stream(*steps, usage(10, 5), DONE))
        assert (done.text, done.finish_reason, done.error, done.reasoning) == ("It is.", "stop", None, None)

    def test_of_a_whole_body_the_first_is_the_answer(self, server: Server) -> None:
        messages = [
            {"index": at, "message": {"content": text}, "finish_reason": "stop"} for at, text in enumerate("ab")
        ]
        for choices in (messages, messages[::-1]):
            assert ask(server, page(json.dumps({"choices": choices}), JSON))[0].text == "a"

    @pytest.mark.parametrize("first", [0, 1])
    @pytest.mark.parametrize("words", [3, 40])
    def test_numbered_pieces_are_one_answer(self, server: Server, first: int, words: int) -> None:
        pieces = [of(first + at, f"{at} ") for at in range(words)]
        done, shown = ask(server, stream(*pieces, of(first + words, {}, "length"), DONE))
        assert (done.text, done.finish_reason) == ("".join(f"{at} " for at in range(words)), "length")
        assert len(shown) > words - 20

    def test_text_after_thinking_of_another_index_is_the_answer(self, server: Server) -> None:
        thoughts = [of(0, {"role": "assistant", "content": ""}), of(0, {"reasoning_content": "Hm."})]
        done, _ = ask(server, stream(*thoughts, of(1, "It "), of(1, "is."), of(1, {}, "stop"), DONE))
        assert (done.text, done.reasoning, done.finish_reason) == ("It is.", "Hm.", "stop")


class TestParts:
    def test_texts_are_shown_and_the_rest_is_not(self, server: Server) -> None:
        parts = chunk({"content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "So "},
            {"type": "reference", "reference_ids": [1]}, "it ", {"text": {"value": "is", "annotations": []}},
            {"type": "image_url", "image_url": {}},
        ]})  # fmt: skip
        bare = {"choices": [{"index": 0, "delta": "."}]}
        done, _ = ask(server, stream(parts, bare, finish(), DONE))
        assert (done.text, done.reasoning) == ("So it is.", "Hm.")


class TestThinking:
    @pytest.mark.parametrize(
        "steps",
        [
            (chunk({"reasoning_content": "Hm, "}), chunk({"reasoning_content": "so."})),
            (chunk({"reasoning": "Hm, "}), chunk({"reasoning_text": "so.", "reasoning_opaque": "x"})),
            (chunk({"thinking_blocks": [{"type": "thinking", "thinking": "Hm, "}]}), chunk({"reasoning": "so."})),
            (chunk({"reasoning": "Hm, ", "reasoning_details": [{"type": "reasoning.text", "text": "Hm, "}]}),
             chunk({"reasoning_details": [{"type": "reasoning.text", "text": "so."}]})),
            (chunk({"content": [{"type": "thinking", "thinking": "Hm, "}]}),
             chunk({"content": [{"type": "reasoning", "text": "so."}]})),
            ("<th", "ink>\nHm, ", "so.", "</thi", "nk>\n\n"),
            ("\n<think>Hm, ", "so.</think>"),
            ("<|channel|>analysis<|mess", "age|>Hm, so.<|end|><|start|>assistant", "<|channel|>final<|message|>"),
            ("◁think▷Hm, ", "so.◁/think▷"),
            ("<|START_THINKING|>Hm, ", "so.<|END_THINKING|>", "<|START_RESPONSE|>"),
            ("<think>Hm, so.", "</think>\n<answer>"),
        ],
    )  # fmt: skip
    def test_stays_outside_the_answer(self, server: Server, steps: Any) -> None:
        done, pieces = ask(server, stream(*steps[:-1], Pause(0.2), steps[-1], "42", finish(), DONE))
        assert (done.text, done.reasoning, pieces) == ("42", "Hm, so.", ["42"])
        assert done.reasoning_time and done.time_to_first_token
        assert 0 < done.reasoning_time <= done.time_to_first_token and done.time_to_first_token >= 0.2

    def test_without_an_opening_tag_is_taken_back_when_it_ends(self, server: Server) -> None:
        unopened = stream("Let me ", Pause(0.2), "see.\n</think>", "\n\n", "42", finish(), DONE)
        done, pieces = ask(server, unopened)
        assert (done.text, done.reasoning) == ("42", "Let me see.")
        assert [isinstance(piece, Anew) for piece in pieces].count(True) == 1
        assert done.reasoning_time and done.time_to_first_token and done.time_to_first_token >= 0.2

    def test_of_a_model_that_did_so_before_is_not_shown_at_all(self, server: Server) -> None:
        unopened = stream("Let me ", "see.\n</think>\n", "42", finish(), DONE)
        done, pieces = ask(server, unopened, unopened, times=2)
        assert (done.text, pieces) == ("42", ["42"])
        plain = stream("No thinking ", "today.", finish(), DONE)
        done, pieces = ask(server, unopened, plain, plain, times=3)
        assert (done.text, pieces) == ("No thinking today.", ["No thinking ", "today."])

    def test_alone_is_no_answer(self, server: Server) -> None:
        for steps in ((chunk({"reasoning": "hm"}),), ("<think>hm",), ()):
            done, _ = ask(server, stream(*steps, finish("length"), usage(9, 50), DONE))
            assert (done.text, done.finish_reason, done.error) == ("", "error", "EmptyAnswer")
            assert done.message == "The model used up its tokens while thinking. Please try again."
            assert done.usage.completion_tokens == 50
            assert ask(server, stream(*steps, finish(), DONE))[0].error == "NoAnswer"

    def test_without_end_is_given_up(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lib.models.chunks.MAX_THOUGHT", 1_000)
        done, _ = ask(server, Reply(itertools.repeat(chunk({"reasoning": "hm " * 10}))))
        assert (done.finish_reason, done.error) == ("error", "EmptyAnswer")
        assert server.requests[0].gone.wait(ENOUGH_S)

    def test_inside_code_or_later_is_text(self, server: Server) -> None:
        for text in ("`<think>` opens, `</think>` closes.", "So: <think>a</think> b", "```\n</think>\n```\nDone."):
            done, _ = ask(server, stream(*text, finish(), DONE))
            assert (done.text, done.reasoning) == (text, None)


class TestCounts:
    @pytest.mark.parametrize("counts", [(0, 0), (12, 0), (0, 5)])
    def test_of_zero_are_unknown(self, server: Server, counts: tuple[int, int]) -> None:
        done, _ = ask(server, stream("x" * 40, finish(), usage(*counts), DONE))
        assert done.usage.source == "estimated"
        assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (counts[0] or 9, counts[1] or 10)

    def test_the_latest_that_count_something_are_taken(self, server: Server) -> None:
        steps = [text_chunk("x", None, usage=counts) for counts in (
            {"prompt_tokens": 5, "completion_tokens": 1}, {"prompt_tokens": 5, "completion_tokens": 2},
            {"prompt_tokens": 0, "completion_tokens": 0})]  # fmt: skip
        assert ask(server, stream(*steps, finish(), DONE))[0].usage == Usage(5, 2, 7, source="server")

    @pytest.mark.parametrize(
        "counts",
        [({"input_tokens": 5, "output_tokens": 2},), ({"prompt_tokens": 5.0, "completion_tokens": "2"},),
         ({"prompt_tokens": 5}, {"completion_tokens": 2}), ({"prompt_tokens": 5, "total_tokens": 7},),
         ({"input_tokens": 5, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 2})],
    )  # fmt: skip
    def test_are_read_under_every_name_and_put_together(self, server: Server, counts: Any) -> None:
        steps = [text_chunk("x", None, usage=count) for count in counts]
        assert ask(server, stream(*steps, finish(), DONE))[0].usage == Usage(5, 2, 7, source="server")

    def test_are_found_where_groq_and_moonshot_put_them(self, server: Server) -> None:
        inside = chunk({}, "stop")
        inside["choices"][0]["usage"] = {"prompt_tokens": 5, "completion_tokens": 2}
        for last in (inside, chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 5, "completion_tokens": 2}})):
            assert ask(server, stream("Hi", last, DONE))[0].usage == Usage(5, 2, 7, source="server")

    def test_a_cost_of_the_server_is_better_than_a_table(self, server: Server) -> None:
        header = {"content-type": "text/event-stream", "x-litellm-response-cost": "0.002"}
        priced = usage(10, 10, cost=0.001)
        for steps, headers, expected in (((priced,), header, 0.001), ((usage(10, 10),), header, 0.002),
                                         ((usage(10, 10, cost=0),), header, 0.0)):  # fmt: skip
            done, _ = ask(server, stream("Hi", finish(), *steps, DONE, headers=headers))
            assert done.cost_usd == expected


def test_a_server_that_loads_its_model_is_asked_until_it_is_there(server: Server) -> None:
    loading = Reply([b'{"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}'], status=503,
                    headers={"content-type": JSON})  # fmt: skip
    done, _ = ask(server, *[loading] * 8, answer("Here I am."))
    assert (done.text, done.retries) == ("Here I am.", 8)


def test_an_answer_that_is_cut_while_it_thinks_is_no_answer(server: Server) -> None:
    done, _ = ask(server, stream(chunk({"reasoning": "hm"}), CUT), answer("Hi"))
    assert (done.text, done.retries, done.reasoning) == ("Hi", 1, None)
