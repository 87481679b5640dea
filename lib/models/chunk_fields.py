"""Fields of a chat completion's chunk, in every spelling that model servers are known for."""

import json
from collections.abc import Mapping
from typing import Any

from lib.domain.completion import FinishReason

FINISH_REASONS: Mapping[str, FinishReason] = {
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit", "error_limit",
         "model_context_window_exceeded", "context_length_exceeded", "max_context_length"), "length",
    ),
    **dict.fromkeys(
        ("content_filter", "content_filtered", "safety", "image_safety", "recitation", "prohibited_content",
         "blocklist", "spii", "sensitive", "guardrail_intervened", "error_toxic"), "content_filter",
    ),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    "refusal": "refusal",
}  # fmt: skip
"""Finish reasons of OpenAI, Gemini, Mistral, Anthropic, Bedrock, Cohere and Zhipu that are more than a stop."""
BROKEN = (
    "error", "abort", "insufficient_system_resource", "network_error", "malformed_function_call", "timeout",
    "cancelled",
)  # fmt: skip
NO_REASON = ("", "null", "none")
LITERALS = ("null", "true", "false")
THOUGHT_FIELDS = (
    "reasoning_content", "reasoning", "thinking", "reasoning_text", "reasoning_details", "thinking_blocks",
)  # fmt: skip
"""Fields in which servers send thinking; OpenRouter and LiteLLM send the same text in two of them."""


def loaded_error(text: str) -> object:
    """Return an error's data as JSON where possible, else as text.

    >>> loaded_error('{"code": 1}'), loaded_error("out of memory"), loaded_error("")
    ({'code': 1}, 'out of memory', 'the server sent an error without words')
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text or "the server sent an error without words"


def plain_reason(reason: object) -> str:
    """Return a finish reason as the table spells it; "" for none.

    >>> [plain_reason(reason) for reason in ("FinishReason.MAX_TOKENS", "content_filter: SAFETY", "NULL", 0)]
    ['max_tokens', 'content_filter', '', '']
    """
    if not isinstance(reason, str):
        return ""
    plain = reason.partition(":")[0].rpartition(".")[2].strip().lower().replace("-", "_")
    return "" if plain in NO_REASON else plain


def error_in(chunk: Mapping[str, Any]) -> object:
    """Return the error that a chunk is, or carries; None without one.

    >>> error_in({"error": None, "choices": []}), error_in({"detail": "no"}), error_in({"ok": True})
    (None, {'detail': 'no'}, None)
    """
    if error := chunk.get("error"):
        return chunk if isinstance(error, str) else error
    if chunk.get("object") == "error" or chunk.get("type") == "error":
        return chunk
    if "choices" in chunk:
        return None
    if isinstance(outcome := chunk.get("base_resp"), dict) and outcome.get("status_code"):  # MiniMax
        return outcome
    if isinstance(chunk.get("code"), str) and isinstance(chunk.get("message"), str):  # DashScope
        return chunk
    failed = chunk.get("success") is False or any(
        isinstance(status := chunk.get(name), int) and status >= 400 for name in ("code", "status", "statusCode")
    )
    return chunk if chunk.get("detail") or chunk.get("errors") or failed else None


def text_of(value: object) -> str:
    """Return the text of a part, however deeply it is nested.

    >>> text_of({"thinking": [{"type": "text", "text": "so "}, {"text": "then"}]}), text_of("so"), text_of(7)
    ('so then', 'so', '')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(text_of(part) for part in value)
    if isinstance(value, dict):
        names = ("text", "thinking", "reasoning", "content", "summary", "value")
        return next((text for name in names if (text := text_of(value.get(name)))), "")
    return ""


def inside(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None
