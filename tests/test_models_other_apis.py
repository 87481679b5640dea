"""Responses that are not a stream of chat completions.

The operator reads which kind of response came and which setting to change, the tester reads a plain sentence, and
neither reads the text of the response.
"""

import json
from typing import Any, ClassVar

import pytest

from tests.support.completions import ask, completion_of
from tests.support.openai_server import DONE, Reply, Server, chunk, finish, page, stream

JSON = "application/json"


class TestNoStream:
    INSTEAD: ClassVar = {
        "an HTML page": [
            page("<html></html>"),
            page("\n<!DOCTYPE html>\n<p>knee", "text/plain"),
            page("x", "text/html"),
        ],
        "an empty body": [page("", "text/event-stream"), page(" \n\n", JSON), page("")],
        "JSON without choices": [page('{"ok": true}', JSON), page("[1, 2]", JSON)],
        "plain text": [page("Your knee hurts", "text/plain")],
        "broken JSON": [page("Your knee hurts", JSON)],
        "data of another kind": [page("Your knee", "application/knee")],
    }

    @pytest.mark.parametrize("what", INSTEAD)
    def test_the_operator_reads_the_kind_of_response_that_came_instead(self, server: Server, what: str) -> None:
        for reply in self.INSTEAD[what]:
            server.script(reply)
            answering = ask(server)
            assert answering.cause == (
                f"NoAnswer (HTTP 200): {what} came instead of a stream; is OPENAI_BASE_URL the whole address? It "
                "usually ends in /v1"
            )
            assert answering.completion.error == "NoAnswer"

    @pytest.mark.parametrize(
        ("reply", "words"),
        [
            (stream(DONE), "the stream had no answer"),
            (stream(b": knee\n\n"), "the stream had no answer"),
            (stream(chunk({"role": "assistant", "content": ""}), finish(), DONE), "the stream had no text"),
        ],
    )
    def test_a_stream_without_an_answer_is_called_one(self, server: Server, reply: Reply, words: str) -> None:
        server.script(reply)
        answering = ask(server)
        assert answering.completion.error == "NoAnswer"
        assert (answering.cause or "").rpartition(": ")[2] == words


ANTHROPIC = (
    {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": []}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Your knee"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
)
OLLAMA = [
    {"model": "m", "created_at": "now", "message": {"role": "assistant", "content": "Your knee"}, "done": False},
    {"model": "m", "created_at": "now", "message": {"role": "assistant", "content": ""}, "done": True,
     "done_reason": "stop", "eval_count": 9},
]  # fmt: skip
GEMINI = {"candidates": [{"content": {"parts": [{"text": "Your knee"}], "role": "model"}, "finishReason": "STOP"}],
          "usageMetadata": {"totalTokenCount": 9}}  # fmt: skip


def lines(*bodies: Any) -> str:
    return "".join(json.dumps(body) + "\n" for body in bodies)


class TestOtherAPIs:
    """A base URL, or a gateway, that leads to a server's own API instead of its OpenAI-compatible one."""

    REPLIES: ClassVar = {
        "Anthropic's Messages API": [
            stream(*(f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode() for body in ANTHROPIC)),
            page(lines({"type": "message", "content": [{"type": "text", "text": "Your knee"}]}), JSON),
        ],
        "Ollama's own API": [
            page(lines(*OLLAMA), "application/x-ndjson"),
            page(lines(OLLAMA[0] | {"done": True}), JSON),
            page(lines({"model": "m", "response": "Your knee", "done": False}), "application/x-ndjson"),
        ],
        "Gemini's own API": [
            stream(GEMINI),
            page(json.dumps([GEMINI, GEMINI], indent=1), JSON),
            page(lines({"promptFeedback": {"blockReason": "SAFETY"}}), JSON),
        ],
        "OpenAI's Responses API": [
            stream({"type": "response.output_text.delta", "delta": "Your knee"}, {"type": "response.completed"}),
            page(lines({"object": "response", "output": []}), JSON),
        ],
        "llama.cpp's own API": [stream({"content": "Your knee", "stop": False}, {"content": "", "stop": True})],
        "Text Generation Inference's own API": [
            stream({"index": 1, "token": {"id": 5, "text": "Your knee"}, "generated_text": None}),
            page(lines([{"generated_text": "Your knee"}]), JSON),
        ],
        "Cohere's own API": [stream({"type": "content-delta", "delta": {"message": {"content": "Your knee"}}})],
        "Bedrock's Converse API": [page(lines({"output": {"message": {}}, "stopReason": "end_turn"}), JSON)],
    }  # fmt: skip

    @pytest.mark.parametrize("api", REPLIES)
    def test_are_named_to_the_operator_with_the_setting_to_change(self, server: Server, api: str) -> None:
        for reply in self.REPLIES[api]:
            server.script(reply)
            answering = ask(server)
            completion, cause = answering.completion, answering.cause or ""
            assert (completion.text, completion.finish_reason, completion.error) == ("", "error", "OtherAPI")
            assert completion.message == "No answer came back. Please try again."
            assert cause.startswith(
                f"OtherAPI (HTTP 200): an answer of {api} came instead of a stream; set OPENAI_BASE_URL"
            )
            assert "/v1" in cause and "knee" not in cause
        assert len(server.requests) == len(self.REPLIES[api])  # none is asked again

    def test_are_not_confused_with_fields_of_the_same_names_beside_an_answer(self, server: Server) -> None:
        done = completion_of(server, stream({"type": "message_start"}, chunk({"content": "Hi"}), finish(), DONE))
        assert (done.text, done.error) == ("Hi", None)

    def test_an_error_of_theirs_is_an_error(self, server: Server) -> None:
        body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        done = completion_of(server, *[stream(b"event: error\ndata: " + json.dumps(body).encode() + b"\n\n")] * 3)
        assert done.message == "The model is busy. Please try again in a moment."
