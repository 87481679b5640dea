"""OpenAI's wire format for the demo model server: requests, answers and errors.

Owns the JSON and nothing else: no HTTP, no time, no content.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

RANGES = {
    "temperature": (0, 2), "top_p": (0, 1), "presence_penalty": (-2, 2), "frequency_penalty": (-2, 2),
    "max_tokens": (1, 16_384), "max_completion_tokens": (1, 16_384), "n": (1, 1),
}  # fmt: skip
WHOLE = ("max_tokens", "max_completion_tokens", "n", "seed")
IGNORED = ("stream_options", "user", "metadata", "store", "service_tier", "logit_bias", "response_format")
ACCEPTED = {"model", "messages", "stream", "seed", "stop", *RANGES, *IGNORED}


class Refused(Exception):
    """A request that is answered with an error in OpenAI's shape."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """One answer, whole, before it is sent. `pieces` are its tokens; `created` is in seconds since 1970."""

    id: str
    model: str
    created: int
    pieces: list[str]
    finish_reason: str
    prompt_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        """The token counts in OpenAI's format."""
        completion = len(self.pieces)
        total = self.prompt_tokens + completion
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": completion, "total_tokens": total}


def checked(raw: bytes, models: Collection[str]) -> dict[str, Any]:
    """Return the validated request for a completion by one of `models`; raises `Refused` in the words of OpenAI's
    servers."""
    body = _parsed(raw)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Refused(400, "you must provide a model parameter", "model")
    check_model(body["model"], models)
    _check_messages(body.get("messages"))
    for name, value in body.items():
        if value is not None:
            _check_parameter(name, value)
    return body


def check_model(model: str, models: Collection[str]) -> None:
    """Raise `Refused` with 404 for any other model."""
    if model not in models:
        message = f"The model `{model}` does not exist here. The demo has {', '.join(models)}."
        raise Refused(404, message, "model", "model_not_found")


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
        if b"\\ud" in raw.lower():  # perhaps a lone surrogate, which is not text
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refused(400, "We could not parse the JSON body of your request.")
    return body


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "Invalid 'messages': expected a non-empty array.", "messages", "invalid_type")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("system", "developer", "user", "assistant"):
            raise Refused(400, f"Invalid 'messages[{number}]': expected a role.", f"messages[{number}].role")
        if not isinstance(message.get("content"), str | list):
            raise Refused(400, f"Invalid 'messages[{number}].content'.", f"messages[{number}].content", "invalid_type")


def _check_parameter(name: str, value: Any) -> None:
    if name not in ACCEPTED:
        message = f"Unsupported parameter: '{name}' is not supported with this model."
        raise Refused(400, message, name, "unsupported_parameter")
    if name in RANGES or name == "seed":
        _check_number(name, value)
    if name == "stop" and not _is_stop(value):
        raise Refused(400, "Invalid 'stop': expected a string or up to four.", name, "invalid_type")
    if name == "stream" and not isinstance(value, bool):
        raise Refused(400, "Invalid type for 'stream': expected a boolean.", name, "invalid_type")
    if name == "stream_options" and not isinstance(value, dict):
        raise Refused(400, "Invalid type for 'stream_options': expected an object.", name, "invalid_type")


def _check_number(name: str, value: Any) -> None:
    kinds = (int,) if name in WHOLE else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise Refused(400, f"Invalid type for '{name}': expected a number.", name, "invalid_type")
    low, high = RANGES.get(name, (-(2**63), 2**63 - 1))
    if not low <= value <= high:
        message = f"Invalid '{name}': expected a value between {low} and {high}, but got {value} instead."
        raise Refused(400, message, name, "invalid_value")


def _is_stop(value: Any) -> bool:
    several = isinstance(value, list) and len(value) <= 4 and all(isinstance(item, str) for item in value)
    return isinstance(value, str) or several


def _text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whose content may come in parts."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def question(body: Mapping[str, Any]) -> str:
    """Return the user's last message."""
    return next((_text(message) for message in reversed(body["messages"]) if message["role"] == "user"), "")


def tokens(text: str) -> list[str]:
    """Split a text into pieces of about a token; joined they are the text.

    >>> tokens("Nothing is returned.")
    ['Nothing', ' is', ' returne', 'd', '.']
    """
    return re.findall(r"\s?\w{1,7}|\s?[^\w\s]|\s+", text)


def prompt_tokens(body: Mapping[str, Any]) -> int:
    """Return the token count of a request's messages."""
    return 3 + sum(4 + len(tokens(_text(message))) for message in body["messages"])


def limited(text: str, body: Mapping[str, Any]) -> tuple[list[str], str]:
    """Return the pieces up to the request's first stop sequence or its limit, and the finish reason.

    >>> limited("one two three", {"max_tokens": 2}), limited("one two three", {"stop": " two"})
    ((['one', ' two'], 'length'), (['one'], 'stop'))
    """
    stop = body.get("stop") or []
    for sequence in filter(None, [stop] if isinstance(stop, str) else stop):
        text = text.partition(sequence)[0]
    pieces, limit = tokens(text), body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is not None and len(pieces) > limit:
        return pieces[:limit], "length"
    return pieces, "stop"


def described(model: str) -> dict[str, Any]:
    """Return a model as `/v1/models` lists it."""
    return {"id": model, "object": "model", "created": 0, "owned_by": "parley-demo"}


def _head(answer: DemoAnswer, object_type: str = "chat.completion.chunk") -> dict[str, Any]:
    return {"id": answer.id, "object": object_type, "created": answer.created, "model": answer.model}


def frames(answer: DemoAnswer, include_usage: bool) -> Iterator[str]:
    """Yield the chunks of a stream, as text to send: the role, each piece, the end, and the usage where it was asked
    for."""
    head, tail = _head(answer), {"usage": None} if include_usage else {}

    def frame(delta: dict[str, Any], finish_reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse(head | {"choices": [choice]} | tail)

    opening = frame({"role": "assistant", "content": "", "refusal": None})
    for piece in answer.pieces:  # the role is sent with the first token, as other servers do
        yield opening + frame({"content": piece})
        opening = ""
    yield opening + frame({}, answer.finish_reason) + _ending(answer, include_usage)


def _ending(answer: DemoAnswer, include_usage: bool) -> str:
    usage = sse(_head(answer) | {"choices": [], "usage": answer.usage}) if include_usage else ""
    return usage + "data: [DONE]\n\n"


def sse(chunk: Mapping[str, Any]) -> str:
    """Return one event of a stream."""
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


def whole(answer: DemoAnswer) -> dict[str, Any]:
    """Return an answer that is not streamed."""
    message = {"role": "assistant", "content": "".join(answer.pieces), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    return _head(answer, "chat.completion") | {"choices": [choice], "usage": answer.usage}
