"""What a model server streams: bytes to events, and events to what an answer says.

Owns the wire format of chat completions, with every irregularity that servers are known for. Pure: it knows no
connection, no clock and no client.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from lib.domain.completion import FinishReason, Usage
from lib.domain.text import clean
from lib.models.faults import Fault

MAX_EVENT_BYTES = 16_000_000
"""One event (or a body that is no event stream) may have so many bytes before the stream counts as broken."""
_MAX_BLANK = 1000
_FINISH: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_BROKEN = ("error", "abort")


class Events:
    """Splits a stream of bytes into the data of its server-sent events."""

    def __init__(self) -> None:
        self._line: list[bytes] = []  # pieces of a line that has not ended yet
        self._size = 0
        self._data: list[bytes] = []  # lines of an event that has not ended yet

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of every event that this chunk completes. Raises Fault when one never ends.

        >>> events = Events()
        >>> [list(events.feed(chunk)) for chunk in (b"data: {", b"}\\n\\n: hello\\n", b"data: 1\\r\\n\\r\\ndata: 2")]
        [[], [b'{}'], [b'1']]
        >>> events.rest()
        b'2'
        """
        self._line.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_EVENT_BYTES:
            raise Fault("EventTooLong", text=f"an event of more than {MAX_EVENT_BYTES} bytes")
        if b"\n" not in chunk:
            return
        *lines, rest = b"".join(self._line).split(b"\n")
        self._line, self._size = [rest], len(rest) + sum(map(len, self._data))
        for line in lines:
            line = line.rstrip(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data = []

    def rest(self) -> bytes:
        """The data of an event that the end of the stream left without its empty line."""
        line = b"".join(self._line).rstrip(b"\r")
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        return b"\n".join(self._data)


class Reading:
    """What one answer has said so far. Feed it events; `text` and the rest are its facts at any time."""

    def __init__(self, max_chars: int) -> None:
        self.model: str | None = None
        self.usage: Usage | None = None
        self.finish_reason: FinishReason | None = None  # the server's own word, in ours
        self.done = False  # [DONE] arrived
        self.heard = False  # the last event said something: not only a role, a comment or nothing at all
        self.any_event = False
        self._refused = False
        self._called = False
        self._max_chars = max_chars
        self._chars = 0  # shown
        self._received = 0  # the same, with what is not shown
        self._pieces: list[str] = []
        self._held = ""  # blank text before the first word, or half a character

    @property
    def text(self) -> str:
        """All text that was shown."""
        return "".join(self._pieces)

    @property
    def begun(self) -> bool:
        """Whether any text was shown."""
        return self._chars > 0

    @property
    def full(self) -> bool:
        """Whether the answer has reached its cap."""
        return self._received >= self._max_chars

    @property
    def outcome(self) -> FinishReason | None:
        """How an answer that came to its end has ended; None when it is cut off or says nothing.

        Text without a finish reason but with a clean [DONE] is whole: some servers never send the reason.
        """
        if self._refused:
            return "refusal"
        if self.full and self.begun:
            return "length"
        if self._called and not self.begun and (self.done or self.finish_reason):
            return "tool_calls"
        if self.begun:
            return self.finish_reason or ("stop" if self.done else None)
        return None if self.finish_reason == "stop" else self.finish_reason

    def take(self, data: bytes) -> str:
        """Read one event; returns the text in it that is to be shown, often none.

        Raises Fault for an error that the server reports, ValueError for what is not JSON or not UTF-8.
        """
        self.heard = False
        if data.startswith(b"[DONE]"):
            self.done = self.heard = self.any_event = True
            return ""
        chunk = json.loads(data.decode())  # decoded here, because json.loads would let half characters in bytes pass
        self.any_event = True
        if not isinstance(chunk, dict):
            return ""
        if chunk.get("error") or chunk.get("object") == "error":
            raise Fault.reported(chunk.get("error") or chunk)
        if not self.model and isinstance(model := chunk.get("model"), str):
            self.model = clean(model) or None
        if usage := chunk.get("usage"):
            self.usage = read_usage(usage) or self.usage
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        return self._choice(choice) if isinstance(choice, dict) else ""

    def _choice(self, choice: dict[str, Any]) -> str:
        delta = choice.get("delta")
        shown = self._delta(delta) if isinstance(delta, dict) else ""
        if (reason := choice.get("finish_reason")) and isinstance(reason, str):
            if reason in _BROKEN:
                raise Fault("APIError", text=f"finish_reason {reason}")
            self.finish_reason = _FINISH.get(reason, "stop")
            self.heard = True
        return shown

    def _delta(self, delta: dict[str, Any]) -> str:
        content = delta.get("content")
        if isinstance(content, str) and content:
            self.heard = True
            return self._show(content)
        if isinstance(refusal := delta.get("refusal"), str) and refusal:
            self.heard = self._refused = True
            return self._show(refusal)
        if delta.get("tool_calls") or delta.get("function_call"):
            self._called = True
        self.heard = any(value for name, value in delta.items() if name != "role")  # reasoning is a sign of life
        return ""

    def _show(self, piece: str) -> str:
        self._received += len(piece)
        piece, self._held = self._held + piece, ""
        if not self._chars and piece.isspace():
            self._held = piece[-_MAX_BLANK:]
            return ""
        if "\ud800" <= piece[-1] <= "\udbff":  # the other half comes with the next event
            piece, self._held = piece[:-1], piece[-1]
        piece = clean(piece)[: self._max_chars - self._chars]
        if piece:
            self._chars += len(piece)
            self._pieces.append(piece)
        return piece


def read_usage(raw: object) -> Usage | None:
    """Usage as a server counts it; None where it says nothing that can be used. Unknown is None, never zero.

    >>> read_usage({"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}})
    Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7, cached_tokens=2, reasoning_tokens=None, source='server')
    >>> read_usage({"prompt_tokens": "many"})
    """
    prompt, completion = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    if prompt is None and completion is None:
        return None
    total = _count(raw, "total_tokens")
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    cached = _count(raw, "prompt_tokens_details", "cached_tokens")
    reasoning = _count(raw, "completion_tokens_details", "reasoning_tokens")
    return Usage(prompt, completion, total, cached, reasoning, "server")


def _count(raw: object, *path: str) -> int | None:
    for name in path:
        raw = raw.get(name) if isinstance(raw, Mapping) else None
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0 else None
