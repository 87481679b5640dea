"""Responses that are no stream of chat completions: a page, another API's answer, other JSON, nothing. Pure.

The words about them are Parley's own: they name the kind of the response and the setting to look at, and quote nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lib.domain.providers import Provider, setting_of
from lib.models.faults import Fault

Body = Mapping[str, Any]


def _has(*names: str) -> Callable[[Body], bool]:
    return lambda body: all(name in body for name in names)


def _typed(*beginnings: str) -> Callable[[Body], bool]:
    return lambda body: str(body.get("type", "")).startswith(beginnings)


_V1 = "its OpenAI-compatible address usually ends in /v1"
_APIS: tuple[tuple[str, str, Callable[[Body], bool]], ...] = (
    ("Anthropic's Messages API", "its OpenAI-compatible address is https://api.anthropic.com/v1",
     lambda body: body.get("type") == "message" or _typed("message_", "content_block_")(body)),
    ("Gemini's own API", "its OpenAI-compatible address ends in /v1beta/openai",
     lambda body: _has("candidates")(body) or _has("promptFeedback")(body)),
    ("Ollama's own API", "its OpenAI-compatible address ends in /v1",
     lambda body: _has("done", "message")(body) or _has("done", "response")(body)),
    ("OpenAI's Responses API", _V1, lambda body: body.get("object") == "response" or _typed("response.")(body)),
    ("llama.cpp's own API", "its OpenAI-compatible address ends in /v1", _has("content", "stop")),
    ("Text Generation Inference's own API", "its OpenAI-compatible address ends in /v1",
     lambda body: _has("generated_text")(body) or isinstance(body.get("token"), Mapping)),
    ("Cohere's own API", "its OpenAI-compatible address ends in /compatibility/v1",
     lambda body: _has("event_type")(body) or _typed("content-", "message-")(body)),
    ("Bedrock's Converse API", "its OpenAI-compatible address ends in /openai/v1",
     lambda body: _has("contentBlockDelta")(body) or _has("output", "stopReason")(body)),
)  # fmt: skip
"""APIs that are not OpenAI's chat completions: name, remedy, and a test of one of their bodies."""


_KINDS = {"text/plain": "plain text", "application/json": "broken JSON", "text/event-stream": "a stream without events"}


def api_of(body: Body) -> str | None:
    """Return the name of the API whose answer this is; None where it is not known.

    >>> api_of({"type": "content_block_delta", "delta": {}}), api_of({"done": False, "message": {"content": "Hi"}})
    ("Anthropic's Messages API", "Ollama's own API")
    >>> api_of({"candidates": []}), api_of({"ok": True})
    ("Gemini's own API", None)
    """
    return next((name for name, _, matches in _APIS if matches(body)), None)


def lists_as(body: object) -> str | None:
    """Return the name of the API that lists models like this; None for OpenAI's.

    >>> lists_as({"models": [{"name": "models/a", "supportedGenerationMethods": []}]}), lists_as({"data": []})
    ("Gemini's own API", None)
    >>> lists_as({"models": [{"name": "a:latest", "digest": "0"}]})
    "Ollama's own API"
    """
    rows = body.get("models") if isinstance(body, Mapping) and "data" not in body else None
    first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], Mapping) else {}
    if "supportedGenerationMethods" in first:
        return "Gemini's own API"
    return "Ollama's own API" if "digest" in first else None


def remedy(api: str, provider: Provider) -> str:
    """Return what to do about an address that leads to another API."""
    usual = next(usual for name, usual, _ in _APIS if name == api)
    return f"set {setting_of(provider.name, 'URL')} to the OpenAI-compatible API: {usual}"


def kind_of(beginning: bytes, content_type: str) -> str:
    """Return the kind of a body that is not JSON, in words of Parley's own: a header may repeat the question, too.

    >>> [kind_of(body, "text/plain; charset=utf-8") for body in (b" ", b"\\n<!doctype html>", b"Hello")]
    ['an empty body', 'an HTML page', 'plain text']
    >>> kind_of(b"PK", "application/x-my-knee-hurts")
    'data of another kind'
    """
    content_type = content_type.partition(";")[0].strip().lower()
    if not beginning.strip():
        return "an empty body"
    if content_type in ("text/html", "application/xhtml+xml") or beginning.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] == b"<":
        return "an HTML page"
    return _KINDS.get(content_type, "data of another kind")


def no_answer(provider: Provider, status: int, kind: str, api: str | None = None) -> Fault:
    """Return the fault of a response that is no stream: its `kind`, and the `api` whose answer it is.

    >>> fault = no_answer(Provider("local", "http://x"), 200, "an HTML page")
    >>> fault.scrub([], ["Which page?"])
    >>> fault.line.split("; ")[0]
    'NoAnswer (HTTP 200): an HTML page came instead of a stream'
    >>> fault.line.split("; ")[1]
    'is PARLEY_PROVIDER_LOCAL_URL the whole address? It usually ends in /v1'
    """
    if api:
        note = f"an answer of {api} came instead of a stream; {remedy(api, provider)}"
        return Fault("OtherAPI", status=status, note=note)
    address = f"is {setting_of(provider.name, 'URL')} the whole address? It usually ends in /v1"
    return Fault("NoAnswer", status=status, note=f"{kind} came instead of a stream; {address}")
